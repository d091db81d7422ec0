/**
 * Filter and sort: columns of all images and objects → what is shown, in order, and the counts of
 * each filter's choices.
 *
 * An image is shown where it passes the filters on images and, if any filter on objects is set, one
 * of its objects passes all of them. A choice of a filter counts what would be shown if that filter
 * alone were set to it.
 */

import { DISAGREES, findImageOfObjects, NO_ERROR, SEEN, VERDICTS, type Index } from "./index";
import { orderBy } from "./order";
import { isAny, RANGES, REVIEWS, SORTS, type Range, type RangeName, type Review, type Sort, type View } from "./view";

/** Bars of a histogram over [0, 1]. */
export const BARS = 40;

const REJECTED = VERDICTS.indexOf("rejected");

// One bit for each filter that an image or an object fails.
const NAME = 1,
  STATUS = 2,
  ERROR = 4,
  DIFFERENCE = 8;
const CLASS = 16,
  DISAGREEMENT = 32,
  REVIEW = 64;
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

/** How much a view shows. */
export interface Counted {
  readonly images: number;
  readonly objects: number;
  readonly choices: Choices;
}

export interface Selection extends Counted {
  /** Numbers of images or of objects, by the view's mode, in order. */
  readonly items: Uint32Array;
  /** Whether the filters on objects let an object through. */
  passes(object: number): boolean;
}

/** What the columns do not hold. */
export interface Extra {
  /** Classes, as `category` numbers them. */
  readonly categories: readonly { readonly name: string }[];
  /** (N,) 1 where the name has what is looked for; null: not looked for, or not known yet. */
  readonly nameMatches: Uint8Array | null;
  /** (N,) rank of each image by its file name; null: not known yet. */
  readonly nameRanks: Float32Array | null;
}

/** Sorts that have a value for each object; all others have one for each image. */
const OBJECT_SORTS: ReadonlySet<Sort> = new Set(RANGES);

/** Selects from one index; it keeps what all selections need: orders, and the bars of values. */
export class Selector {
  readonly owner: Uint32Array;
  private readonly bars: Readonly<Record<RangeName, Uint8Array>>;
  private readonly orders = new Map<string, Uint32Array>();

  constructor(private readonly index: Index) {
    this.owner = findImageOfObjects(index);
    this.bars = { risk: findBars(index.risk), score: findBars(index.score), margin: findBars(index.margin) };
  }

  /** Forgets orders: after an answer, or when names are known. */
  forgetOrders(): void {
    this.orders.clear();
  }

  /** Returns what a view shows. */
  select(view: View, extra: Extra): Selection {
    const { isShown, objectFails, ...counted } = this.test(view, extra);
    const { images, objects } = counted;
    const passes = (object: number): boolean => objectFails[object] === 0;
    const items =
      view.mode === "images"
        ? this.orderImages(view, extra, isShown, images, passes)
        : this.orderObjects(view, extra, isShown, objects, passes);
    return { items, ...counted, passes };
  }

  /** Returns how much a view shows; faster than to select. */
  count(view: View, extra: Extra): Counted {
    return this.test(view, extra);
  }

  private test(view: View, extra: Extra): Counted & { isShown: Uint8Array; objectFails: Uint16Array } {
    const { index } = this;
    const imageFails = testImages(index, view, extra);
    const objectFails = testObjects(index, view, extra);
    const counter = new Counter(index, this.bars, extra.categories.length);
    const needsObject = filtersObjects(view);
    const isShown = new Uint8Array(index.images);
    let [images, objects] = [0, 0];
    for (let image = 0; image < index.images; image++) {
      const fails = imageFails[image] ?? 0;
      const end = index.firstObject[image + 1] ?? 0;
      let hasObject = !needsObject;
      for (let object = index.firstObject[image] ?? 0; object < end; object++) {
        const own = objectFails[object] ?? 0;
        counter.countObject(object, own | fails);
        if (own !== 0) continue;
        hasObject = true;
        if (fails === 0) objects++;
      }
      if (!hasObject) continue;
      counter.countImage(image, fails);
      if (fails !== 0) continue;
      isShown[image] = 1;
      images++;
    }
    return { images, objects, choices: counter.choices, isShown, objectFails };
  }

  /** An image stands where the first of its objects that pass stands; those without one are last. */
  private orderImages(
    view: View,
    extra: Extra,
    isShown: Uint8Array,
    count: number,
    passes: (object: number) => boolean,
  ): Uint32Array {
    const items = new Uint32Array(count);
    let length = 0;
    if (OBJECT_SORTS.has(view.sort)) {
      for (const object of this.findOrder(view, extra)) {
        const image = this.owner[object] ?? 0;
        if (isShown[image] !== 1 || !passes(object)) continue;
        isShown[image] = 2;
        items[length++] = image;
      }
      isShown.forEach((state, image) => {
        if (state === 1) items[length++] = image;
      });
    } else {
      for (const image of this.findOrder(view, extra)) {
        if (isShown[image]) items[length++] = image;
      }
    }
    return items;
  }

  private orderObjects(
    view: View,
    extra: Extra,
    isShown: Uint8Array,
    count: number,
    passes: (object: number) => boolean,
  ): Uint32Array {
    const items = new Uint32Array(count);
    let length = 0;
    if (OBJECT_SORTS.has(view.sort)) {
      for (const object of this.findOrder(view, extra)) {
        if (passes(object) && isShown[this.owner[object] ?? 0]) items[length++] = object;
      }
    } else {
      for (const image of this.findOrder(view, extra)) {
        if (!isShown[image]) continue;
        const end = this.index.firstObject[image + 1] ?? 0;
        for (let object = this.index.firstObject[image] ?? 0; object < end; object++) {
          if (passes(object)) items[length++] = object;
        }
      }
    }
    return items;
  }

  /** Returns all objects, or all images, in the order of a view. */
  private findOrder(view: View, extra: Extra): Uint32Array {
    const key = `${view.sort} ${view.reversed}`;
    const known = this.orders.get(key);
    if (known) return known;
    const values = OBJECT_SORTS.has(view.sort)
      ? this.index[view.sort as RangeName]
      : findImageKeys(this.index, view.sort, extra);
    const order = orderBy(values, isDescending(view));
    this.orders.set(key, order);
    return order;
  }
}

/** Returns the sorts that the data have values for: boxes have no risk. */
export function listSorts(index: Index): Sort[] {
  return SORTS.filter((name) => {
    if (name === "difference") return index.difference !== null;
    return !OBJECT_SORTS.has(name) || index[name as RangeName].some((value) => !Number.isNaN(value));
  });
}

/** Returns whether a view begins with the largest values. */
export function isDescending(view: View): boolean {
  return ["risk", "objects", "difference"].includes(view.sort) !== view.reversed;
}

/** Returns (N,) what images are sorted by. */
function findImageKeys(index: Index, by: Sort, extra: Extra): Float32Array {
  const keys = new Float32Array(index.images);
  for (let image = 0; image < index.images; image++) {
    if (by === "objects") keys[image] = (index.firstObject[image + 1] ?? 0) - (index.firstObject[image] ?? 0);
    // What is in one run alone differs most.
    else if (by === "difference")
      keys[image] = Number.isNaN(index.difference?.[image]) ? Infinity : (index.difference?.[image] ?? 0);
    else keys[image] = (by === "name" ? extra.nameRanks?.[image] : undefined) ?? image;
  }
  return keys;
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
    if (view.difference !== "any" && nameDifference(index, image) !== view.difference) bits |= DIFFERENCE;
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
  failClasses(fails, index.category, view.classes, extra.categories);
  for (const name of RANGES) failRange(fails, index[name], view.ranges[name], RANGE_BITS[name]);
  if (view.disagreement) failFlag(fails, index.flags, DISAGREES, true, DISAGREEMENT);
  failReview(fails, index, view.review);
  return fails;
}

function failClasses(
  fails: Uint16Array,
  category: Uint32Array,
  classes: readonly string[],
  categories: Extra["categories"],
): void {
  if (classes.length === 0) return;
  const chosen = new Set(classes);
  const isChosen = Uint8Array.from(categories, ({ name }) => (chosen.has(name) ? 1 : 0));
  for (let object = 0; object < fails.length; object++) {
    if (!isChosen[category[object] ?? 0]) fails[object] = CLASS;
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

function failFlag(fails: Uint16Array, flags: Uint8Array, flag: number, wanted: boolean, bit: number): void {
  for (let object = 0; object < fails.length; object++) {
    if ((((flags[object] ?? 0) & flag) !== 0) !== wanted) fails[object] = (fails[object] ?? 0) | bit;
  }
}

/** What a person rejected is gone from the labels: it is shown only where that is asked for. */
function failReview(fails: Uint16Array, index: Index, review: Review): void {
  if (review === "seen" || review === "unseen") failFlag(fails, index.flags, SEEN, review === "seen", REVIEW);
  const wanted = (VERDICTS as readonly string[]).indexOf(review);
  for (let object = 0; object < fails.length; object++) {
    const verdict = index.verdict[object] ?? 0;
    const fits = wanted > 0 ? verdict === wanted : verdict !== REJECTED;
    if (!fits) fails[object] = (fails[object] ?? 0) | REVIEW;
  }
}

/** Returns the bar of each value; BARS where it is unknown. */
function findBars(values: Float32Array): Uint8Array {
  const bars = new Uint8Array(values.length);
  for (let place = 0; place < values.length; place++) {
    const value = values[place] ?? NaN;
    bars[place] = Number.isNaN(value) ? BARS : Math.max(0, Math.min(BARS - 1, Math.floor(value * BARS)));
  }
  return bars;
}

/** Counts what each choice of each filter would show. */
class Counter {
  private readonly classes: Uint32Array;
  private readonly risk = new Uint32Array(BARS + 1);
  private readonly score = new Uint32Array(BARS + 1);
  private readonly margin = new Uint32Array(BARS + 1);
  private readonly reviews = new Uint32Array(REVIEWS.length);
  private readonly statuses = new Uint32Array(3);
  private readonly errors: Uint32Array;
  private readonly differences = new Uint32Array(3);
  private disagreement = 0;

  constructor(
    private readonly index: Index,
    private readonly bars: Readonly<Record<RangeName, Uint8Array>>,
    numClasses: number,
  ) {
    this.classes = new Uint32Array(numClasses);
    this.errors = new Uint32Array(index.errors.length);
  }

  get choices(): Choices {
    const { risk, score, margin } = this;
    return {
      classes: this.classes,
      ranges: { risk: risk.subarray(0, BARS), score: score.subarray(0, BARS), margin: margin.subarray(0, BARS) },
      disagreement: this.disagreement,
      reviews: this.reviews,
      statuses: this.statuses,
      errors: this.errors,
      differences: this.differences,
    };
  }

  /** Counts an object with the filters that it and its image fail. */
  countObject(object: number, fails: number): void {
    // What fails two filters is not shown whatever one of them is set to.
    if ((fails & (fails - 1)) !== 0) return;
    const { index, bars } = this;
    if ((fails & ~CLASS) === 0) add(this.classes, index.category[object] ?? 0);
    if ((fails & ~RANGE_BITS.risk) === 0) add(this.risk, bars.risk[object] ?? 0);
    if ((fails & ~RANGE_BITS.score) === 0) add(this.score, bars.score[object] ?? 0);
    if ((fails & ~RANGE_BITS.margin) === 0) add(this.margin, bars.margin[object] ?? 0);
    if ((fails & ~DISAGREEMENT) === 0 && (index.flags[object] ?? 0) & DISAGREES) this.disagreement++;
    if ((fails & ~REVIEW) === 0) this.countReview(object);
  }

  countImage(image: number, fails: number): void {
    const { index } = this;
    if ((fails & ~STATUS) === 0) add(this.statuses, index.status[image] ?? 0);
    // A reason is of failed images alone, so the two filters count as one.
    const error = index.error[image] ?? NO_ERROR;
    if ((fails & ~(ERROR | STATUS)) === 0 && error !== NO_ERROR) add(this.errors, error);
    if ((fails & ~DIFFERENCE) === 0 && index.difference !== null) {
      const name = nameDifference(index, image);
      add(this.differences, name === "different" ? 0 : name === "same" ? 1 : 2);
    }
  }

  private countReview(object: number): void {
    const verdict = this.index.verdict[object] ?? 0;
    if (verdict !== REJECTED) {
      add(this.reviews, ANY_REVIEW);
      add(this.reviews, (this.index.flags[object] ?? 0) & SEEN ? SEEN_REVIEW : UNSEEN_REVIEW);
    }
    if (verdict !== 0) add(this.reviews, REVIEWS.indexOf(VERDICTS[verdict] as Review));
  }
}

const ANY_REVIEW = REVIEWS.indexOf("any"),
  SEEN_REVIEW = REVIEWS.indexOf("seen"),
  UNSEEN_REVIEW = REVIEWS.indexOf("unseen");

function add(counts: Uint32Array, place: number): void {
  counts[place] = (counts[place] ?? 0) + 1;
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
