// Strokes of a brush → a coarse mask in COCO's compressed run lengths.

import type { Size, XY } from "./prompt";

/** The path of a round brush; radius and points in pixels of the original image. */
export interface Stroke {
  readonly radius: number;
  readonly points: readonly XY[];
}

/** COCO's compressed run lengths of a mask, column by column; size is height, width. */
export interface RunLengths {
  readonly size: readonly [number, number];
  readonly counts: string;
}

// The networks see scribbles at 256 pixels; twice that keeps thin strokes.
const LONGEST_SIDE = 512;
const OPAQUE = 128;

/** Paint the strokes at a reduced size with the image's proportions and encode the mask. */
export function encodeStrokes(strokes: readonly Stroke[], image: Size): RunLengths {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height));
  const width = Math.max(1, Math.round(image.width * scale));
  const height = Math.max(1, Math.round(image.height * scale));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  if (context === null) throw new Error("this browser cannot paint on a canvas");
  context.scale(width / image.width, height / image.height);
  context.lineCap = context.lineJoin = "round";
  for (const stroke of strokes) {
    context.lineWidth = Math.max(2 * stroke.radius, 1 / scale);
    context.beginPath();
    stroke.points.forEach(([x, y]) => context.lineTo(x, y));
    // A tap: a line of no length is drawn as a disc, by its round ends.
    const last = stroke.points.at(-1);
    if (last !== undefined) context.lineTo(last[0], last[1]);
    context.stroke();
  }
  const { data } = context.getImageData(0, 0, width, height);
  const isPainted = (x: number, y: number): boolean => (data[4 * (y * width + x) + 3] ?? 0) >= OPAQUE;
  return { size: [height, width], counts: writeCounts(countRuns(isPainted, width, height)) };
}

/** Count runs of equal pixels, column by column, beginning with those outside. */
function countRuns(
  isPainted: (x: number, y: number) => boolean,
  width: number,
  height: number,
): number[] {
  const runs: number[] = [];
  let value = false;
  let length = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (isPainted(x, y) !== value) {
        runs.push(length);
        length = 0;
        value = !value;
      }
      length++;
    }
  }
  runs.push(length);
  return runs;
}

/**
 * Write run lengths as COCO's text: differences to the run before last, five bits a character from
 * the lowest, the sixth says that more follow. Source: pycocotools' maskApi.c, rleToString.
 */
function writeCounts(runs: readonly number[]): string {
  let text = "";
  runs.forEach((run, index) => {
    let rest = index > 2 ? run - (runs[index - 2] ?? 0) : run;
    let hasMore = true;
    while (hasMore) {
      const bits = rest & 31;
      rest >>= 5;
      hasMore = bits & 16 ? rest !== -1 : rest !== 0;
      text += String.fromCharCode((hasMore ? bits | 32 : bits) + 48);
    }
  });
  return text;
}
