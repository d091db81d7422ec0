// What a person has drawn on an image, as immutable values in pixels of the upright original.

import { encodeStrokes, type RunLengths, type Stroke } from "./scribble";

export type XY = readonly [x: number, y: number];
/** x, y and 1 for a point of the object, 0 for a point outside it. */
export type PromptPoint = readonly [x: number, y: number, label: 0 | 1];
/** Left, top, right, bottom. */
export type Box = readonly [number, number, number, number];
export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Prompt {
  readonly points: readonly PromptPoint[];
  readonly box: Box | null;
  readonly strokes: readonly Stroke[];
}

/** A prompt as the server reads it. */
export interface PromptJson {
  readonly points: readonly PromptPoint[];
  readonly box: Box | null;
  readonly scribble: RunLengths | null;
}

export const EMPTY: Prompt = { points: [], box: null, strokes: [] };

export function isEmpty(prompt: Prompt): boolean {
  return prompt.points.length === 0 && prompt.box === null && prompt.strokes.length === 0;
}

/** Whether something says where the object is, not only where it is not. */
export function hasObject(prompt: Prompt): boolean {
  return (
    prompt.box !== null || prompt.strokes.length > 0 || prompt.points.some(([, , label]) => label)
  );
}

export function addPoint(prompt: Prompt, [x, y]: XY, isPositive: boolean): Prompt {
  const point: PromptPoint = [roundPixel(x), roundPixel(y), isPositive ? 1 : 0];
  return { ...prompt, points: [...prompt.points, point] };
}

/** Set the box, between two corners in any order, cut to the image. */
export function setBox(prompt: Prompt, from: XY, to: XY, size: Size): Prompt {
  return { ...prompt, box: boxBetween(from, to, size) };
}

export function addStroke(prompt: Prompt, stroke: Stroke): Prompt {
  return { ...prompt, strokes: [...prompt.strokes, stroke] };
}

export function boxBetween([x0, y0]: XY, [x1, y1]: XY, { width, height }: Size): Box {
  const cutX = (x: number): number => roundPixel(Math.min(Math.max(x, 0), width));
  const cutY = (y: number): number => roundPixel(Math.min(Math.max(y, 0), height));
  return [
    cutX(Math.min(x0, x1)),
    cutY(Math.min(y0, y1)),
    cutX(Math.max(x0, x1)),
    cutY(Math.max(y0, y1)),
  ];
}

export function isInside([x, y]: XY, { width, height }: Size): boolean {
  return x >= 0 && y >= 0 && x < width && y < height;
}

export function toJson(prompt: Prompt, size: Size): PromptJson {
  const scribble = prompt.strokes.length > 0 ? encodeStrokes(prompt.strokes, size) : null;
  return { points: prompt.points, box: prompt.box, scribble };
}

/** A tenth of a pixel is finer than any network sees. */
function roundPixel(value: number): number {
  return Math.round(value * 10) / 10;
}
