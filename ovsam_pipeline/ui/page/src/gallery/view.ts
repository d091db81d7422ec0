/** What is looked at, and in which order: the state of the gallery, and how the address holds it. */

/** Bounds of a value in [0, 1], both included. The full range also takes what has no value. */
export interface Range {
  readonly low: number;
  readonly high: number;
}

export const RANGES = ["risk", "score", "margin"] as const;
export type RangeName = (typeof RANGES)[number];

export const SORTS = ["risk", "score", "margin", "objects", "row", "name", "difference"] as const;
export type Sort = (typeof SORTS)[number];

export const REVIEWS = ["any", "unseen", "seen", "accepted", "renamed", "redrawn", "rejected", "added"] as const;
export type Review = (typeof REVIEWS)[number];

export const STATUSES = ["any", "labelled", "empty", "failed"] as const;
export type StatusChoice = (typeof STATUSES)[number];

export const DIFFERENCES = ["any", "different", "same", "alone"] as const;
export type DifferenceChoice = (typeof DIFFERENCES)[number];

/** One object of an image that is shown large; its number is null where it has none. */
export interface Place {
  readonly row: number;
  readonly number: number | null;
}

export interface View {
  readonly mode: "images" | "objects";
  readonly sort: Sort;
  readonly reversed: boolean;
  /** Names of classes; none: all. */
  readonly classes: readonly string[];
  readonly ranges: Readonly<Record<RangeName, Range>>;
  readonly disagreement: boolean;
  readonly review: Review;
  readonly status: StatusChoice;
  /** A sentence of the index's errors; "": any. */
  readonly error: string;
  readonly difference: DifferenceChoice;
  readonly name: string;
  readonly open: Place | null;
}

export const ANY: Range = { low: 0, high: 1 };

export function isAny(range: Range): boolean {
  return range.low <= 0 && range.high >= 1;
}

/** Returns the view that the page begins with; `sorts` are those that the data have values for. */
export function makeDefaultView(sorts: readonly Sort[]): View {
  const wanted: readonly Sort[] = ["difference", "risk", "score"];
  return {
    mode: "images",
    sort: wanted.find((name) => sorts.includes(name)) ?? "row",
    reversed: false,
    classes: [],
    ranges: { score: ANY, risk: ANY, margin: ANY },
    disagreement: false,
    review: "any",
    status: "any",
    error: "",
    difference: "any",
    name: "",
    open: null,
  };
}

/** Returns a view without its filters. */
export function clearFilters(view: View, initial: View): View {
  return { ...initial, mode: view.mode, sort: view.sort, reversed: view.reversed, open: view.open };
}

/** Returns how many filters are set. */
export function countFilters(view: View): number {
  return [
    view.classes.length > 0,
    ...RANGES.map((name) => !isAny(view.ranges[name])),
    view.disagreement,
    view.review !== "any",
    view.status !== "any",
    view.error !== "",
    view.difference !== "any",
    view.name !== "",
  ].filter(Boolean).length;
}

/** Returns the hash of an address, without "#": what differs from the initial view. */
export function writeHash(view: View, initial: View): string {
  const parts = new URLSearchParams();
  const keep = (name: string, value: string, usual: string): void => {
    if (value !== usual) parts.set(name, value);
  };
  keep("mode", view.mode, initial.mode);
  keep("sort", view.sort, initial.sort);
  keep("reversed", view.reversed ? "1" : "", "");
  view.classes.forEach((name) => parts.append("class", name));
  for (const name of RANGES) {
    if (!isAny(view.ranges[name])) {
      parts.set(name, `${view.ranges[name].low}-${view.ranges[name].high}`);
    }
  }
  keep("disagreement", view.disagreement ? "1" : "", "");
  keep("review", view.review, "any");
  keep("status", view.status, "any");
  keep("error", view.error, "");
  keep("difference", view.difference, "any");
  keep("name", view.name, "");
  if (view.open !== null) {
    parts.set("open", [view.open.row, view.open.number ?? []].flat().join("."));
  }
  return parts.toString();
}

/** Returns the view of an address's hash; what it says wrongly is as in the initial view. */
export function readHash(hash: string, initial: View): View {
  const parts = new URLSearchParams(hash.replace(/^#/, ""));
  const choose = <T extends string>(name: string, known: readonly T[], usual: T): T =>
    known.find((value) => value === parts.get(name)) ?? usual;
  return {
    mode: choose("mode", ["images", "objects"], initial.mode),
    sort: choose("sort", SORTS, initial.sort),
    reversed: parts.get("reversed") === "1",
    classes: [...new Set(parts.getAll("class"))],
    ranges: {
      score: readRange(parts.get("score")),
      risk: readRange(parts.get("risk")),
      margin: readRange(parts.get("margin")),
    },
    disagreement: parts.get("disagreement") === "1",
    review: choose("review", REVIEWS, "any"),
    status: choose("status", STATUSES, "any"),
    error: parts.get("error") ?? "",
    difference: choose("difference", DIFFERENCES, "any"),
    name: parts.get("name") ?? "",
    open: readPlace(parts.get("open")),
  };
}

function readRange(text: string | null): Range {
  const found = /^([\d.]+)-([\d.]+)$/.exec(text ?? "");
  const [low, high] = [Number(found?.[1]), Number(found?.[2])];
  return low >= 0 && low <= high && high <= 1 ? { low, high } : ANY;
}

function readPlace(text: string | null): Place | null {
  const found = /^(\d{1,9})(?:\.(\d{1,9}))?$/.exec(text ?? "");
  if (found === null) return null;
  return { row: Number(found[1]), number: found[2] === undefined ? null : Number(found[2]) };
}
