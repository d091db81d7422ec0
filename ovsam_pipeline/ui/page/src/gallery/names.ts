/** Search and order of file names. */

let folded: { readonly of: readonly string[]; readonly names: readonly string[] } | null = null;

/** Returns (N,) 1 where a name contains a text, whatever the case. */
export function findNames(names: readonly string[], text: string): Uint8Array {
  const wanted = text.toLowerCase();
  // A million names take longest to bring to lower case: once is enough.
  if (folded?.of !== names) folded = { of: names, names: names.map((name) => name.toLowerCase()) };
  return Uint8Array.from(folded.names, (name) => (name.includes(wanted) ? 1 : 0));
}

/** Returns (N,) the rank of each name in the order of its letters. */
export function rankNames(names: readonly string[]): Float32Array {
  const order = names.map((_, place) => place);
  order.sort((one, other) => {
    const [a, b] = [names[one] ?? "", names[other] ?? ""];
    return a < b ? -1 : a > b ? 1 : one - other;
  });
  const ranks = new Float32Array(names.length);
  order.forEach((place, rank) => (ranks[place] = rank));
  return ranks;
}
