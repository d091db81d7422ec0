/** Sort by numbers: a million in some ten milliseconds, equal ones in the order they came in. */

const LAST = 0xffffffff;
const DIGITS = 1 << 16;

/** Returns the places of (N,) keys in their order; NaN is last in either direction. */
export function orderBy(keys: Float32Array, isDescending: boolean): Uint32Array {
  const bits = toUnsigned(keys, isDescending);
  const places = new Uint32Array(keys.length).map((_, place) => place);
  return sortByDigit(sortByDigit(places, bits, 0), bits, 16);
}

/** Returns whole numbers that are ordered as the keys are: bits of floats but for their sign. */
function toUnsigned(keys: Float32Array, isDescending: boolean): Uint32Array {
  const bits = new Uint32Array(keys.slice().buffer);
  for (let place = 0; place < bits.length; place++) {
    const value = bits[place] ?? 0;
    const rising = value & 0x80000000 ? ~value : value | 0x80000000;
    bits[place] = Number.isNaN(keys[place]) ? LAST : isDescending ? ~rising : rising;
  }
  return bits;
}

/** One pass of a radix sort, stable, over 16 of the bits. */
function sortByDigit(order: Uint32Array, bits: Uint32Array, shift: number): Uint32Array {
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
