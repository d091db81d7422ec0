/** Sort by numbers: a million in some ten milliseconds, equal ones in the order they came in. */

const LAST = 0xffffffff;
const DIGITS = 1 << 16;

/** Returns the items, (N,), ordered by their keys, (N,); NaN is last in either direction. */
export function orderBy(
  items: Uint32Array, keys: Float32Array, isDescending: boolean,
): Uint32Array<ArrayBuffer> {
  const low = toUnsigned(keys, isDescending);
  let order = new Uint32Array(items.length).map((_, place) => place);
  order = sortByDigit(order, low, 0);
  order = sortByDigit(order, low, 16);
  return order.map((place) => items[place] ?? 0);
}

/** Returns whole numbers that are ordered as the keys are: bits of floats but for their sign. */
function toUnsigned(keys: Float32Array, isDescending: boolean): Uint32Array {
  const bits = new Uint32Array(Float32Array.from(keys).buffer);
  for (let place = 0; place < bits.length; place++) {
    const value = bits[place] ?? 0;
    const rising = value & 0x80000000 ? ~value : value | 0x80000000;
    bits[place] = Number.isNaN(keys[place]) ? LAST : isDescending ? ~rising : rising;
  }
  return bits;
}

/** One pass of a radix sort, stable, over 16 of the bits. */
function sortByDigit(
  order: Uint32Array, bits: Uint32Array, shift: number,
): Uint32Array<ArrayBuffer> {
  const starts = new Uint32Array(DIGITS + 1);
  for (const value of bits) {
    const digit = ((value >>> shift) & (DIGITS - 1)) + 1;
    starts[digit] = (starts[digit] ?? 0) + 1;
  }
  for (let digit = 1; digit <= DIGITS; digit++) {
    starts[digit] = (starts[digit] ?? 0) + (starts[digit - 1] ?? 0);
  }
  const sorted = new Uint32Array(order.length);
  for (const place of order) {
    const digit = ((bits[place] ?? 0) >>> shift) & (DIGITS - 1);
    const target = starts[digit] ?? 0;
    sorted[target] = place;
    starts[digit] = target + 1;
  }
  return sorted;
}
