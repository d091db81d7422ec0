/** The order in which one goes through images and objects, as it was when the first was opened. */
import { SEEN, VERDICTS, type Index } from "./index";
import type { ObjectIds } from "./object_ids";
import { countObjects } from "./select";

const REJECTED = VERDICTS.indexOf("rejected");

export interface Stop {
  readonly place: number;
  readonly row: number;
  /** Which object of the row; null: whichever comes first. */
  readonly number: number | null;
}

/**
 * Places are positions in `items`: numbers of images, or of objects where `owner` gives their images.
 * Filters do not move what one walks through, so that an answer never makes the next object jump.
 */
export class Walk {
  constructor(
    private readonly index: Index,
    private readonly ids: ObjectIds,
    private readonly items: Uint32Array,
    private readonly owner: Uint32Array | null,
  ) {}

  get length(): number {
    return this.items.length;
  }

  get isByObject(): boolean {
    return this.owner !== null;
  }

  /** Returns what is at a place; null outside. */
  at(place: number): Stop | null {
    const item = this.items[place];
    if (item === undefined) return null;
    if (!this.owner) return { place, row: item, number: null };
    const row = this.owner[item] ?? 0;
    const number = this.ids.of(row).indexOf(item);
    return { place, row, number: number < 0 ? null : number };
  }

  /** Returns the place of an object in a walk by object; null where it is not part of it. */
  findObject(row: number, number: number | null): number | null {
    const id = this.ids.of(row)[number ?? -1];
    const place = id === undefined ? -1 : this.items.indexOf(id);
    return place < 0 ? null : place;
  }

  /** Returns the stop at an image, or at an object of it in a walk by object; null where there is none. */
  findStop(row: number, number: number | null): Stop | null {
    const place = this.owner ? (this.findObject(row, number) ?? -1) : this.items.indexOf(row);
    return place < 0 ? null : { place, row, number };
  }

  /** Returns the next stop (direction 1) or the one before (-1) at another image. */
  findImage(place: number, direction: 1 | -1, withObjects = false): Stop | null {
    const row = this.at(place)?.row;
    return this.find(
      place,
      direction,
      (stop) => stop.row !== row && (!withObjects || countObjects(this.index, stop.row) > 0),
    );
  }

  /** Returns the next stop (direction 1) or the one before (-1) with an object. */
  findObjectFrom(place: number, direction: 1 | -1): Stop | null {
    if (!this.owner) return this.findImage(place, direction, true);
    return this.find(place, direction, (stop) => stop.number !== null);
  }

  /** Returns the next stop with an object that no person saw, after the last place from the first on. */
  findUnseen(place: number): Stop | null {
    const isUnseen = (stop: Stop): boolean => {
      const ids = this.ids.of(stop.row);
      return stop.number === null
        ? !this.owner && ids.some((id) => this.isUnseen(id))
        : this.isUnseen(ids[stop.number] ?? -1);
    };
    return this.find(place, 1, isUnseen) ?? this.find(-1, 1, isUnseen);
  }

  private isUnseen(id: number): boolean {
    return id >= 0 && !((this.index.flags[id] ?? 0) & SEEN) && this.index.verdict[id] !== REJECTED;
  }

  private find(place: number, direction: 1 | -1, fits: (stop: Stop) => boolean): Stop | null {
    for (let next = place + direction; ; next += direction) {
      const stop = this.at(next);
      if (!stop || fits(stop)) return stop;
    }
  }
}
