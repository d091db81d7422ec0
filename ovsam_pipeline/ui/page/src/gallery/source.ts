/**
 * Where the gallery's data are from: `ovsam view` over HTTP, or elements of a self-contained report.
 *
 * A report has the index as base64 in <script type="text/plain" id="index"> and its images as JSON,
 * a list of EmbeddedImage in the order of rows, in <script type="application/json" id="images">.
 */

import { parseIndex, type Index } from "./index";

/** What was thought of an object; null where unknown. */
export interface Opinions {
  readonly head_score: number | null;
  readonly clip_score: number | null;
  readonly detector_score: number | null;
  readonly detector_category: string | null;
  readonly model_category: string | null;
  readonly model_score: number | null;
  readonly margin: number | null;
  readonly detector_margin: number | null;
  readonly mask_score: number | null;
}

/** An object as the pages draw it (`ui/objects.py`); boxes and paths in pixels of the upright image. */
export interface DrawnObject {
  /** Index in the row's objects, answers applied. */
  readonly number: number;
  /** Short hash of its mask: an answer that names another is refused. */
  readonly key: string;
  readonly category: string;
  readonly category_id: number;
  readonly colour: string;
  readonly score: number | null;
  readonly risk: number | null;
  readonly reason: string | null;
  /** Left, top, width, height. */
  readonly bbox: readonly [number, number, number, number];
  /** SVG path of the mask, fill rule evenodd; "" for boxes. */
  readonly path: string;
  readonly opinions: Opinions;
  readonly reviewed_by: string | null;
  readonly verdict: string | null;
  /** In a comparison: whether the other run has no such object (`ui/gallery/compare.py`). */
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

export interface Source {
  index(): Promise<Index>;
  /** At most SLICE rows a call. */
  images(rows: readonly number[], signal?: AbortSignal): Promise<ImageRow[]>;
  /** Address of a picture whose larger side is about `side` pixels; "" where there is none. */
  thumbnail(row: number, side: number): string;
  /** Address of the picture to look at large, at most 2,048 pixels a side. */
  picture(row: number): string;
  /** File names of all images. */
  names(): Promise<readonly string[]>;
  /** Store an answer and return its image as it is now; absent where nothing can be stored. */
  answer?(answer: Answer): Promise<ImageRow>;
}

/** Rows that the server gives at once. */
export const SLICE = 50;

/** The routes of `ovsam view` (`ui/gallery/routes.py`); addresses are relative to the page. */
export class ServerSource implements Source {
  readonly answer?: (answer: Answer) => Promise<ImageRow>;

  constructor(canAnswer: boolean) {
    if (canAnswer) {
      this.answer = async (answer) => {
        const response = await request("api/answers", {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(answer),
        });
        return (await response.json()) as ImageRow;
      };
    }
  }

  async index(): Promise<Index> {
    return parseIndex(await (await request("api/index")).arrayBuffer());
  }

  async images(rows: readonly number[], signal?: AbortSignal): Promise<ImageRow[]> {
    const response = await request(`api/images?rows=${rows.join(",")}`, signal ? { signal } : {});
    return (await response.json()) as ImageRow[];
  }

  thumbnail(row: number, side: number): string {
    return `thumbnail/${row}?side=${side}`;
  }

  picture(row: number): string {
    return `picture/${row}`;
  }

  async names(): Promise<readonly string[]> {
    return (await (await request("api/names")).json()) as string[];
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

  private get(row: number): EmbeddedImage {
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

/** Return the answer of the server; an Error whose message is its sentence where it refuses. */
async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") {
      throw error;
    }
    throw new Error("the server does not answer; is `ovsam view` still running?");
  }
  if (!response.ok) {
    throw new Error(await readSentence(response));
  }
  return response;
}

async function readSentence(response: Response): Promise<string> {
  try {
    return ((await response.json()) as { error: string }).error;
  } catch {
    return `the server answered with status ${response.status}`;
  }
}
