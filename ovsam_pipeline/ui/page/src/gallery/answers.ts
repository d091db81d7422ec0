/** Answers of this session: given, and taken back, the last one first. */
import { ApiError } from "../shared/api";
import type { Loader } from "./loader";
import type { ObjectIds } from "./object_ids";
import type { Answer, DrawnObject, ImageRow, Source } from "./source";

export interface AnswersOptions {
  readonly source: Source;
  readonly loader: Loader;
  readonly ids: ObjectIds;
  readonly isCompared: boolean;
  /** Called with the row of each answer, when all else knows how it is now. */
  readonly onChange: (row: number) => void;
}

/** An answer that was taken back, and its image as it is now. */
export interface Undone {
  /** What had been said: "rejected dog". */
  readonly about: string;
  readonly image: ImageRow;
  /** The object that it had been said of; undefined where that is not there any more. */
  readonly object: DrawnObject | undefined;
}

interface Given {
  readonly row: number;
  readonly answer: string;
  readonly about: string;
  readonly key: string;
}

const CONFLICT = 409;

export class Answers {
  private readonly given: Given[] = [];

  constructor(private readonly options: AnswersOptions) {}

  get canUndo(): boolean {
    return this.given.length > 0;
  }

  /** Stores an answer on an object of an image; returns the image as it is now. */
  async give(before: ImageRow, object: DrawnObject, verdict: Answer["verdict"], category?: string): Promise<ImageRow> {
    const { source } = this.options;
    if (!source.answer) throw new Error("nothing can be answered here");
    const { row } = before;
    const answer = { row, number: object.number, key: object.key, verdict };
    const after = await source.answer(category === undefined ? answer : { ...answer, category });
    if (after.answer !== null) {
      this.given.push({ row, answer: after.answer, about: describeAnswer(object, verdict, category), key: object.key });
    }
    return this.show(before, after);
  }

  /** Takes back the last answer of this session; null where there is none. */
  async undo(): Promise<Undone | null> {
    const last = this.given.pop();
    if (!last) return null;
    try {
      const image = await this.withdraw(await this.options.loader.load(last.row), last.answer);
      return { about: last.about, image, object: image.objects.find(({ key }) => key === last.key) };
    } catch (error) {
      // What is not the last answer any more cannot be taken back, however often one tries.
      if (!(error instanceof ApiError && error.status === CONFLICT)) this.given.push(last);
      throw error;
    }
  }

  /** Brings a rejected object back; returns its image as it is now. */
  async restore(before: ImageRow, rejected: DrawnObject): Promise<ImageRow> {
    const after = await this.withdraw(before, rejected.key);
    const place = this.given.findIndex(({ answer }) => answer === rejected.key);
    if (place >= 0) this.given.splice(place, 1);
    return after;
  }

  /** Lets all know how a row is now; returns it as it is shown. */
  async show(before: ImageRow, after: ImageRow): Promise<ImageRow> {
    const { source, loader, ids, isCompared, onChange } = this.options;
    // What differs from the other run is told with rows that are asked for.
    const [compared] = isCompared ? await source.images([before.row]) : [];
    const now = compared ?? after;
    ids.update(before, now);
    loader.put(now);
    onChange(before.row);
    return now;
  }

  private async withdraw(before: ImageRow, answer: string): Promise<ImageRow> {
    if (!this.options.source.withdraw) throw new Error("nothing can be answered here");
    return this.show(before, await this.options.source.withdraw({ row: before.row, answer }));
  }
}

/** Returns an answer in words: "rejected dog", "renamed dog to cat". */
export function describeAnswer(object: DrawnObject, verdict: Answer["verdict"], category?: string): string {
  return verdict === "renamed" ? `renamed ${object.category} to ${category ?? ""}` : `${verdict} ${object.category}`;
}
