/** Rows of images: asked for in slices as they come into view, given up when they leave it, kept. */
import { describe, isAbort } from "../shared/api";
import { SLICE, type ImageRow, type Source } from "./source";

/** Rows that are kept; an image of 100 objects takes some 50 kB. */
const MOST_KEPT = 1_000;
/** While one scrolls on, nothing is asked for: most of it would be given up again. */
const SETTLING_MS = 60;

interface Slice {
  readonly rows: ReadonlySet<number>;
  readonly control: AbortController;
}

export class Loader {
  private readonly kept = new Map<number, ImageRow>();
  private readonly loading = new Set<Slice>();
  private readonly failed = new Map<number, string>();
  private wanted: ReadonlySet<number> = new Set();
  private timer: number | undefined;
  private lastWanted = -Infinity;

  /** `onChange` is called with rows that came, or that could not be read. */
  constructor(
    private readonly source: Source,
    private readonly onChange: (rows: readonly number[]) => void,
  ) {}

  /** Returns a row where it is here already. */
  get(row: number): ImageRow | undefined {
    return this.kept.get(row) ?? this.source.get?.(row);
  }

  /** Returns why a row could not be read; undefined where it was not tried or is here. */
  getError(row: number): string | undefined {
    return this.failed.get(row);
  }

  /** Keeps a row that came otherwise: with an answer. */
  put(image: ImageRow): void {
    this.keep([image]);
  }

  /** Says which rows are in view; those asked for before and no longer wanted are cancelled. */
  want(rows: readonly number[]): void {
    this.wanted = new Set(rows);
    for (const slice of this.loading) {
      if (!rows.some((row) => slice.rows.has(row))) {
        slice.control.abort();
        this.loading.delete(slice);
      }
    }
    clearTimeout(this.timer);
    const isScrolling = performance.now() - this.lastWanted < SETTLING_MS;
    this.lastWanted = performance.now();
    if (this.listMissing().length === 0) return;
    if (isScrolling) this.timer = window.setTimeout(() => this.request(), SETTLING_MS);
    else this.request();
  }

  /** Returns one row, which is asked for on its own where it is not here; throws as the source does. */
  async load(row: number, signal?: AbortSignal): Promise<ImageRow> {
    const here = this.get(row);
    if (here) return here;
    const [image] = await this.source.images([row], signal);
    if (!image) throw new Error(`there is no image in row ${row} of this output`);
    this.keep([image]);
    return image;
  }

  private listMissing(): number[] {
    if (this.source.get) return [];
    const pending = [...this.loading];
    return [...this.wanted].filter((row) => !this.kept.has(row) && !pending.some((slice) => slice.rows.has(row)));
  }

  private request(): void {
    const missing = this.listMissing();
    for (let start = 0; start < missing.length; start += SLICE) {
      void this.requestSlice(missing.slice(start, start + SLICE));
    }
  }

  private async requestSlice(rows: readonly number[]): Promise<void> {
    const slice = { rows: new Set(rows), control: new AbortController() };
    this.loading.add(slice);
    try {
      this.keep(await this.source.images(rows, slice.control.signal));
    } catch (error) {
      if (isAbort(error)) return;
      rows.forEach((row) => this.failed.set(row, describe(error)));
    } finally {
      this.loading.delete(slice);
    }
    this.onChange(rows);
  }

  private keep(images: readonly ImageRow[]): void {
    for (const image of images) {
      this.failed.delete(image.row);
      this.kept.delete(image.row);
      this.kept.set(image.row, image);
    }
    for (const row of this.kept.keys()) {
      if (this.kept.size <= MOST_KEPT) break;
      if (!this.wanted.has(row)) this.kept.delete(row);
    }
  }
}
