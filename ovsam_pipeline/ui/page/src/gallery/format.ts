/** Numbers as the gallery writes them. */

const WHOLE = new Intl.NumberFormat("en");

/** Returns "1,234". */
export function formatCount(value: number): string {
  return WHOLE.format(value);
}

/** Returns "1,234 images", or "1 image". */
export function formatAmount(value: number, noun: string): string {
  return `${formatCount(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** Returns a value in [0, 1] with two digits; "–" where it is unknown. */
export function formatShare(value: number | null | undefined): string {
  return value === null || value === undefined || Number.isNaN(value) ? "–" : value.toFixed(2);
}
