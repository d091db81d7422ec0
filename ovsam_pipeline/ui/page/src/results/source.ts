/**
 * Where the results of an evaluation are from: `ovsam view SCORES` over HTTP, or the elements of a
 * self-contained report, which has all in <script type="application/json" id="results">.
 * What the fields mean: ui/results/data.py.
 */
import { getJson } from "../shared/api";
import { byId } from "../shared/dom";
import type { DrawnObject } from "../shared/types";

export type Cell = string | number | null;

export interface Curves {
  /** Rows of `classes` that have a curve; -1: all classes together. */
  readonly classes: readonly number[];
  readonly recall?: readonly number[];
  readonly precision_50?: readonly number[];
  readonly precision_75?: readonly number[];
  readonly precision?: readonly number[];
  readonly data: string;
}

export interface Pair {
  readonly truth: string;
  readonly predicted: string;
  readonly count: number;
  /** How many of them can be looked at. */
  readonly examples: number;
}

export interface Matrix {
  readonly classes: readonly string[];
  readonly counts: readonly (readonly number[])[];
  readonly others: readonly number[];
  readonly missed: readonly number[];
}

export interface Metrics {
  readonly finished?: string;
  readonly ovsam?: string;
  readonly dataset: Readonly<Record<string, unknown>>;
  readonly protocol: Readonly<Record<string, unknown>>;
  readonly counts?: Readonly<Record<string, number>>;
  readonly metrics: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
  readonly problems?: readonly string[];
  readonly seconds?: Readonly<Record<string, number>>;
  readonly [more: string]: unknown;
}

export interface Results {
  readonly output: string;
  readonly iou_of: string;
  readonly images: boolean;
  readonly metrics: Metrics;
  readonly classes: { readonly columns: readonly string[]; readonly rows: readonly (readonly Cell[])[] };
  readonly curves: Readonly<Record<string, Curves>>;
  readonly pairs: readonly Pair[];
  readonly num_pairs: number;
  readonly matrix: Matrix | null;
  readonly worst: number;
  readonly notes: readonly string[];
}

/** One object as annotated and as predicted; boxes, paths and windows in pixels of the image. */
export interface Example {
  readonly image_id: number;
  readonly file_name: string | null;
  readonly width: number;
  readonly height: number;
  readonly words: string;
  readonly iou: number | null;
  readonly truth: DrawnObject | null;
  readonly prediction: DrawnObject | null;
  readonly annotation_id: number | null;
  /** Left, top, width, height of what `crop` shows. */
  readonly window: readonly [number, number, number, number];
  readonly crop: string | null;
  readonly picture: string | null;
}

export interface Source {
  results(): Promise<Results>;
  /** Examples of the worst instances ("worst") or of the pair of a number ("0", …). */
  examples(of: string): Promise<readonly Example[]>;
}

export class ServerSource implements Source {
  results(): Promise<Results> {
    return getJson("api/results");
  }

  examples(of: string): Promise<readonly Example[]> {
    return getJson(`api/results/examples?of=${encodeURIComponent(of)}`);
  }
}

interface Embedded {
  readonly results: Results;
  readonly examples: Readonly<Record<string, readonly Example[]>>;
}

export class EmbeddedSource implements Source {
  private readonly held = JSON.parse(byId("results").textContent ?? "") as Embedded;

  results(): Promise<Results> {
    return Promise.resolve(this.held.results);
  }

  examples(of: string): Promise<readonly Example[]> {
    return Promise.resolve(this.held.examples[of] ?? []);
  }
}
