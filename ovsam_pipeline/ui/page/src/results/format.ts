/** Numbers as texts: fractions in percent with one decimal, as `ovsam eval` prints them. */

export const UNDEFINED = "–";

export function percent(value: number | null | undefined): string {
  return value === null || value === undefined || value < 0 ? UNDEFINED : (100 * value).toFixed(1);
}

export function count(value: number): string {
  return value.toLocaleString("en");
}

export function things(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
