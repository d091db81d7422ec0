/**
 * Where the gallery's data are from: `ovsam view` over HTTP, or elements of a self-contained report.
 *
 * A report has the index as base64 in <script type="text/plain" id="index"> and its images as JSON,
 * a list of EmbeddedImage in the order of rows, in <script type="application/json" id="images">.
 */

import { getBytes, getJson, postJson } from "../shared/api";
import type { DrawnObject as SharedObject } from "../shared/types";
import { parseIndex, type Index } from "./index";

/** An object of a gallery: in a comparison also whether the other run has no such object. */
export interface DrawnObject extends SharedObject {
  readonly differs?: boolean;
}

export interface ImageRow {
  readonly row: number;
  readonly file_name: string;
  readonly width: number | null;
  readonly height: number | null;
  readonly status: "labelled" | "empty" | "failed";
  readonly error: string | null;
  readonly warning: string | null;
  readonly objects: readonly DrawnObject[];
  /** What people rejected; the key of each is the id of the answer that did. Absent in reports. */
  readonly rejected?: readonly DrawnObject[];
  /** Of the run compared with; null where it lacks the image. */
  readonly other_objects?: readonly DrawnObject[] | null;
}

/** An image of a self-contained report. */
export interface EmbeddedImage extends ImageRow {
  /** data: URL of a WebP picture; null where the image cannot be read. */
  readonly thumbnail: string | null;
}

export interface Answer {
  readonly row: number;
  readonly number: number;
  readonly key: string;
  readonly verdict: "accepted" | "rejected" | "renamed";
  /** The new name of a renamed object. */
  readonly category?: string;
}

/** An image as it is after an answer. */
export interface AnsweredRow extends ImageRow {
  /** The id to take the answer back by; null where it had been given before. */
  readonly answer: string | null;
}

/** An answer to take back. */
export interface Withdrawal {
  readonly row: number;
  readonly answer: string;
}

export interface Source {
  index(): Promise<Index>;
  /** At most SLICE rows a call. */
  images(rows: readonly number[], signal?: AbortSignal): Promise<ImageRow[]>;
  /** Returns a row that is here without asking; absent where all have to be asked for. */
  get?(row: number): ImageRow;
  /** Address of a picture whose larger side is about `side` pixels; "" where there is none. */
  thumbnail(row: number, side: number): string;
  /** Address of the picture to look at large, at most 2,048 pixels a side. */
  picture(row: number): string;
  /** File names of all images. */
  names(): Promise<readonly string[]>;
  /** Returns how many images there are by now; absent where none can come. */
  count?(): Promise<number>;
  /** Stores an answer and returns its image as it is now; absent where nothing can be stored. */
  answer?(answer: Answer): Promise<AnsweredRow>;
  /** Takes an answer back and returns its image as it is now; there where `answer` is. */
  withdraw?(withdrawal: Withdrawal): Promise<ImageRow>;
}

/** Rows that the server gives at once. */
export const SLICE = 50;

/** The routes of `ovsam view` (`ui/gallery/routes.py`); addresses are relative to the page. */
export class ServerSource implements Source {
  readonly answer?: (answer: Answer) => Promise<AnsweredRow>;
  readonly withdraw?: (withdrawal: Withdrawal) => Promise<ImageRow>;

  constructor(canAnswer: boolean) {
    if (!canAnswer) return;
    this.answer = (answer) => postJson("api/answers", answer);
    this.withdraw = (withdrawal) => postJson("api/withdraw", withdrawal);
  }

  async index(): Promise<Index> {
    return parseIndex(await getBytes("api/index"));
  }

  images(rows: readonly number[], signal?: AbortSignal): Promise<ImageRow[]> {
    return getJson(`api/images?rows=${rows.join(",")}`, signal);
  }

  thumbnail(row: number, side: number): string {
    return `thumbnail/${row}?side=${side}`;
  }

  picture(row: number): string {
    return `picture/${row}`;
  }

  names(): Promise<readonly string[]> {
    return getJson("api/names");
  }

  async count(): Promise<number> {
    return (await getJson<{ images: number }>("api/refresh")).images;
  }
}

/** The elements of a self-contained report; both pictures of an image are its thumbnail. */
export class EmbeddedSource implements Source {
  private readonly rows: readonly EmbeddedImage[];

  constructor(private readonly page: Document = document) {
    this.rows = JSON.parse(this.read("images")) as EmbeddedImage[];
  }

  index(): Promise<Index> {
    const text = atob(this.read("index").trim());
    const bytes = new Uint8Array(text.length);
    for (let place = 0; place < text.length; place++) {
      bytes[place] = text.charCodeAt(place);
    }
    return Promise.resolve(parseIndex(bytes.buffer));
  }

  images(rows: readonly number[]): Promise<ImageRow[]> {
    return Promise.resolve(rows.map((row) => this.get(row)));
  }

  thumbnail(row: number): string {
    return this.get(row).thumbnail ?? "";
  }

  picture(row: number): string {
    return this.thumbnail(row);
  }

  names(): Promise<readonly string[]> {
    return Promise.resolve(this.rows.map((image) => image.file_name));
  }

  get(row: number): EmbeddedImage {
    const image = this.rows[row];
    if (image === undefined) {
      throw new Error(`the report has ${this.rows.length} images, and none in row ${row}`);
    }
    return image;
  }

  private read(id: string): string {
    return this.page.getElementById(id)?.textContent ?? "";
  }
}
