/**
 * Which object of the index an object of a row is.
 *
 * The index is read once, rows later, and an answer may take an object away: what follows it in its
 * row then has a smaller number, while the index stays as it is. Masks tell which is which.
 */
import { SEEN, VERDICTS, type Index } from "./index";
import type { DrawnObject, ImageRow } from "./source";

/** A class as it is shown. */
export interface Category {
  readonly name: string;
  readonly colour: string;
}

export class ObjectIds {
  private readonly changed = new Map<number, readonly number[]>();
  /** Objects that answers took away, by row and key: they may be brought back. */
  private readonly gone = new Map<string, number[]>();

  constructor(
    private readonly index: Index,
    private readonly categories: Category[],
  ) {}

  /** Returns the objects of a row by their numbers; -1 where the index does not know them. */
  of(row: number): readonly number[] {
    const known = this.changed.get(row);
    if (known) return known;
    const start = this.index.firstObject[row] ?? 0;
    const length = (this.index.firstObject[row + 1] ?? start) - start;
    return Array.from({ length }, (_, number) => start + number);
  }

  /**
   * Takes note of a row that came; returns whether its objects are those of the index. Where somebody
   * else changed their number, none of them can be told from the others.
   */
  note(image: ImageRow): boolean {
    const known = this.of(image.row);
    if (known.length === image.objects.length) return !known.includes(-1);
    this.changed.set(
      image.row,
      image.objects.map(() => -1),
    );
    return image.objects.length === 0;
  }

  /** Brings the index up to date with a row that came back with an answer. */
  update(before: ImageRow, after: ImageRow): void {
    const ids = this.of(before.row);
    const byKey = new Map<string, number[]>();
    before.objects.forEach((object, number) => {
      byKey.set(object.key, [...(byKey.get(object.key) ?? []), ids[number] ?? -1]);
    });
    const find = (key: string): number =>
      byKey.get(key)?.shift() ?? this.gone.get(nameGone(before, key))?.shift() ?? -1;
    const now = after.objects.map((object) => find(object.key));
    this.changed.set(before.row, now);
    for (const [key, left] of byKey) {
      const name = nameGone(before, key);
      this.gone.set(name, [...(this.gone.get(name) ?? []), ...left]);
      for (const id of left) this.mark(id, true, "rejected");
    }
    after.objects.forEach((object, number) => {
      const id = now[number] ?? -1;
      if (id < 0) return;
      this.index.category[id] = this.findCategory(object);
      this.index.risk[id] = object.risk ?? NaN;
      this.mark(id, object.reviewed_by !== null, object.verdict ?? "none");
    });
  }

  private mark(id: number, isSeen: boolean, verdict: string): void {
    if (id < 0) return;
    const flags = this.index.flags[id] ?? 0;
    this.index.flags[id] = isSeen ? flags | SEEN : flags & ~SEEN;
    this.index.verdict[id] = Math.max(
      0,
      VERDICTS.findIndex((name) => name === verdict),
    );
  }

  /** Returns the number of a class; a name that nobody had before gets one. */
  private findCategory({ category, colour }: DrawnObject): number {
    const found = this.categories.findIndex(({ name }) => name === category);
    return found >= 0 ? found : this.categories.push({ name: category, colour }) - 1;
  }
}

function nameGone(image: ImageRow, key: string): string {
  return `${image.row} ${key}`;
}
