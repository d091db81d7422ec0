/**
 * Filter and sort: columns of all images and objects → what is shown, in order, and the counts of
 * each filter's choices.
 *
 * An image is shown where it passes the filters on images and, if any filter on objects is set, one
 * of its objects passes all of them. A choice of a filter counts what would be shown if that filter
 * alone were set to it.
 */

import { DISAGREES, FAILED, NO_ERROR, SEEN, VERDICTS, type Index } from "./index";
import { orderBy } from "./order";
import { isAny, RANGES, REVIEWS, type Range, type RangeName, type Sort, type View } from "./view";

/** Bars of a histogram over [0, 1]. */
export const BARS = 40;

const REJECTED = VERDICTS.indexOf("rejected");

// One bit for each filter that an image or an object fails.
const NAME = 1, STATUS = 2, ERROR = 4, DIFFERENCE = 8;
const CLASS = 16, DISAGREEMENT = 32, REVIEW = 64;
const RANGE_BITS: Readonly<Record<RangeName, number>> = { score: 128, risk: 256, margin: 512 };

export interface Choices {
  /** Objects by category, as `start.categories` numbers them. */
  readonly classes: Uint32Array;
  readonly ranges: Readonly<Record<RangeName, Uint32Array>>;
  readonly disagreement: number;
  /** Objects by kind of review, as REVIEWS numbers them. */
  readonly reviews: Uint32Array;
  /** Images: labelled, empty, failed. */
  readonly statuses: Uint32Array;
  /** Failed images by error, as `index.errors` numbers them. */
  readonly errors: Uint32Array;
  /** Images: different, same, in one run alone. */
  readonly differences: Uint32Array;
}

export interface Selection {
  /** Numbers of images or of objects, by the view's mode, in order. */
  readonly items: Uint32Array;
  readonly images: number;
  readonly objects: number;
  readonly choices: Choices;
  /** Whether the filters on objects let an object through. */
  passes(object: number): boolean;
}

/** What the columns do not hold. */
export interface Extra {
  /** Names of classes, as `category` numbers them. */
  readonly categories: readonly string[];
  /** (N,) 1 where the name has what is looked for; null: not looked for, or not known yet. */
  readonly nameMatches: Uint8Array | null;
  /** (N,) rank of each image by its file name; null: not known yet. */
  readonly nameRanks: Float32Array | null;
}

/** Returns what a view shows of an index. */
export function select(index: Index, view: View, extra: Extra): Selection {
  const imageFails = testImages(index, view, extra);
  const objectFails = testObjects(index, view, extra);
  const choices = startCounting(index, extra);
  const needsObject = filtersObjects(view);
  const shownImages = new Uint32Array(index.images);
  const shownObjects = new Uint32Array(index.objects);
  let images = 0;
  let objects = 0;
  for (let image = 0; image < index.images; image++) {
    const fails = imageFails[image] ?? 0;
    let isShown = !needsObject;
    const end = index.firstObject[image + 1] ?? 0;
    for (let object = index.firstObject[image] ?? 0; object < end; object++) {
      const objectFail = objectFails[object] ?? 0;
      countObject(index, choices, object, objectFail | fails);
      if (objectFail === 0) {
        isShown = true;
        if (fails === 0) shownObjects[objects++] = object;
      }
    }
    if (isShown) {
      countImage(index, choices, image, fails);
      if (fails === 0) shownImages[images++] = image;
    }
  }
  const passing = shownObjects.subarray(0, objects);
  const items = view.mode === "images" ? shownImages.subarray(0, images) : passing;
  const passes = (object: number): boolean => objectFails[object] === 0;
  return { items: sort(index, view, extra, items, passes), images, objects, choices, passes };
}

function filtersObjects(view: View): boolean {
  return (
    view.classes.length > 0 ||
    view.disagreement ||
    view.review !== "any" ||
    RANGES.some((name) => !isAny(view.ranges[name]))
  );
}

/** Returns the filters that each image fails: (N,) bits. */
function testImages(index: Index, view: View, extra: Extra): Uint8Array {
  const fails = new Uint8Array(index.images);
  const status = ["labelled", "empty", "failed"].indexOf(view.status);
  const error = index.errors.indexOf(view.error);
  for (let image = 0; image < index.images; image++) {
    let bits = 0;
    if (view.name !== "" && extra.nameMatches !== null && !extra.nameMatches[image]) bits |= NAME;
    if (status >= 0 && index.status[image] !== status) bits |= STATUS;
    if (view.error !== "" && index.error[image] !== error) bits |= ERROR;
    if (view.difference !== "any" && nameDifference(index, image) !== view.difference) {
      bits |= DIFFERENCE;
    }
    fails[image] = bits;
  }
  return fails;
}

function nameDifference(index: Index, image: number): "different" | "same" | "alone" {
  const difference = index.difference?.[image] ?? 0;
  return Number.isNaN(difference) ? "alone" : difference > 0 ? "different" : "same";
}

/** Returns the filters that each object fails by itself: (M,) bits. */
function testObjects(index: Index, view: View, extra: Extra): Uint16Array {
  const fails = new Uint16Array(index.objects);
  failClasses(fails, index, view, extra);
  for (const name of RANGES) failRange(fails, index[name], view.ranges[name], RANGE_BITS[name]);
  for (let object = 0; object < index.objects; object++) {
    let bits = 0;
    if (view.disagreement && !((index.flags[object] ?? 0) & DISAGREES)) bits |= DISAGREEMENT;
    if (!fitsReview(index, object, view)) bits |= REVIEW;
    if (bits) fails[object] = (fails[object] ?? 0) | bits;
  }
  return fails;
}

function failClasses(fails: Uint16Array, index: Index, view: View, extra: Extra): void {
  if (view.classes.length === 0) return;
  const chosen = new Set(view.classes);
  const isChosen = Uint8Array.from(extra.categories, (name) => (chosen.has(name) ? 1 : 0));
  for (let object = 0; object < fails.length; object++) {
    if (!isChosen[index.category[object] ?? 0]) fails[object] = CLASS;
  }
}

function failRange(fails: Uint16Array, values: Float32Array, range: Range, bit: number): void {
  if (isAny(range)) return;
  // Bounds are hundredths, stored values are float32: .7 as a bound lets the float32 of .7 through.
  const low = range.low <= 0 ? -Infinity : Math.fround(range.low);
  const high = range.high >= 1 ? Infinity : Math.fround(range.high);
  for (let object = 0; object < fails.length; object++) {
    const value = values[object] ?? NaN;
    if (!(value >= low && value <= high)) fails[object] = (fails[object] ?? 0) | bit;
  }
}

/** What a person rejected is gone from the labels: it is shown only where that is asked for. */
function fitsReview(index: Index, object: number, view: View): boolean {
  const verdict = index.verdict[object] ?? 0;
  if (verdict === REJECTED) return view.review === "rejected";
  if (view.review === "any") return true;
  const isSeen = ((index.flags[object] ?? 0) & SEEN) !== 0;
  if (view.review === "seen") return isSeen;
  if (view.review === "unseen") return !isSeen;
  return VERDICTS[verdict] === view.review;
}

function startCounting(index: Index, extra: Extra): { -readonly [K in keyof Choices]: Choices[K] } {
  return {
    classes: new Uint32Array(extra.categories.length),
    ranges: {
      score: new Uint32Array(BARS),
      risk: new Uint32Array(BARS),
      margin: new Uint32Array(BARS),
    },
    disagreement: 0,
    reviews: new Uint32Array(REVIEWS.length),
    statuses: new Uint32Array(3),
    errors: new Uint32Array(index.errors.length),
    differences: new Uint32Array(3),
  };
}

type Counts = ReturnType<typeof startCounting>;

function countObject(index: Index, counts: Counts, object: number, fails: number): void {
  // Most objects fail two filters or none: either way there is little to count.
  if (fails === 0 || fails === CLASS) add(counts.classes, index.category[object] ?? 0);
  for (const name of RANGES) {
    if ((fails & ~RANGE_BITS[name]) === 0) {
      const value = index[name][object] ?? NaN;
      if (!Number.isNaN(value)) {
        add(counts.ranges[name], Math.max(0, Math.min(BARS - 1, Math.floor(value * BARS))));
      }
    }
  }
  if ((fails & ~DISAGREEMENT) === 0 && (index.flags[object] ?? 0) & DISAGREES) {
    counts.disagreement++;
  }
  if ((fails & ~REVIEW) === 0) countReview(index, counts.reviews, object);
}

function countReview(index: Index, reviews: Uint32Array, object: number): void {
  const verdict = VERDICTS[index.verdict[object] ?? 0] ?? "none";
  if (verdict !== "rejected") {
    add(reviews, 0);
    const isSeen = ((index.flags[object] ?? 0) & SEEN) !== 0;
    add(reviews, REVIEWS.indexOf(isSeen ? "seen" : "unseen"));
  }
  if (verdict !== "none") add(reviews, REVIEWS.indexOf(verdict));
}

function countImage(index: Index, counts: Counts, image: number, fails: number): void {
  if ((fails & ~STATUS) === 0) add(counts.statuses, index.status[image] ?? 0);
  // A reason is of failed images alone, so the two filters count as one.
  const error = index.error[image] ?? NO_ERROR;
  if ((fails & ~(ERROR | STATUS)) === 0 && error !== NO_ERROR) add(counts.errors, error);
  if ((fails & ~DIFFERENCE) === 0 && index.difference !== null) {
    const name = nameDifference(index, image);
    add(counts.differences, name === "different" ? 0 : name === "same" ? 1 : 2);
  }
}

function add(counts: Uint32Array, place: number): void {
  counts[place] = (counts[place] ?? 0) + 1;
}

/** Whether a sort begins with its largest value, where it is not reversed. */
function isDescending(name: Sort): boolean {
  return name === "risk" || name === "objects" || name === "difference";
}

function sort(
  index: Index, view: View, extra: Extra, items: Uint32Array, passes: (object: number) => boolean,
): Uint32Array {
  const descending = isDescending(view.sort) !== view.reversed;
  if (view.sort === "row" && !view.reversed) return items.slice();
  const values =
    view.mode === "images"
      ? imageKeys(index, view.sort, extra, items, passes)
      : objectKeys(index, view.sort, extra, items);
  return orderBy(items, values, descending);
}

/** Returns what images are sorted by: of their objects that pass, the most doubtful one counts. */
function imageKeys(
  index: Index, by: Sort, extra: Extra, items: Uint32Array, passes: (object: number) => boolean,
): Float32Array {
  return Float32Array.from(items, (image) => {
    const whole = imageKey(index, by, extra, image);
    if (whole !== null) return whole;
    const values = by === "risk" ? index.risk : by === "score" ? index.score : index.margin;
    const end = index.firstObject[image + 1] ?? 0;
    let found = NaN;
    for (let object = index.firstObject[image] ?? 0; object < end; object++) {
      const value = values[object] ?? NaN;
      if (!passes(object) || Number.isNaN(value)) continue;
      if (Number.isNaN(found) || (by === "risk" ? value > found : value < found)) found = value;
    }
    return found;
  });
}

function objectKeys(index: Index, by: Sort, extra: Extra, items: Uint32Array): Float32Array {
  if (by === "risk" || by === "score" || by === "margin") {
    const values = index[by];
    return Float32Array.from(items, (object) => values[object] ?? NaN);
  }
  let image = 0; // items come in the order of rows
  return Float32Array.from(items, (object) => {
    while ((index.firstObject[image + 1] ?? Infinity) <= object) image++;
    return imageKey(index, by, extra, image) ?? NaN;
  });
}

/** Returns a value of an image itself; null where it is of its objects. */
function imageKey(index: Index, by: Sort, extra: Extra, image: number): number | null {
  switch (by) {
    case "row":
      return image;
    case "name":
      return extra.nameRanks?.[image] ?? image;
    case "objects":
      return (index.firstObject[image + 1] ?? 0) - (index.firstObject[image] ?? 0);
    case "difference":
      // What is in one run alone differs most.
      return Number.isNaN(index.difference?.[image] ?? 0) ? 3e38 : (index.difference?.[image] ?? 0);
    default:
      return null;
  }
}

/** Returns the highest risk of an image's objects, rejected ones left out; NaN where unknown. */
export function findHighestRisk(index: Index, image: number): number {
  let highest = NaN;
  const end = index.firstObject[image + 1] ?? 0;
  for (let object = index.firstObject[image] ?? 0; object < end; object++) {
    const risk = index.risk[object] ?? NaN;
    if (index.verdict[object] !== REJECTED && !(risk <= highest) && !Number.isNaN(risk)) {
      highest = risk;
    }
  }
  return highest;
}

/** Returns how many objects of an image are left, rejected ones left out. */
export function countObjects(index: Index, image: number): number {
  const start = index.firstObject[image] ?? 0;
  const end = index.firstObject[image + 1] ?? 0;
  let count = end - start;
  for (let object = start; object < end; object++) {
    if (index.verdict[object] === REJECTED) count--;
  }
  return count;
}

export function hasFailed(index: Index, image: number): boolean {
  return index.status[image] === FAILED;
}
