// The demo's requests and what comes back; pixels are those of the upright original image.

import { deleteJson, getJson, postFile, postJson } from "../shared/api";
import type { DrawnObject } from "../shared/types";
import type { PromptJson, Size } from "./prompt";
import type { StripImage } from "./strip";

export interface DemoStart {
  readonly kind: "demo";
  /** Tells the previews of this page from those of others. */
  readonly page: string;
  readonly images: readonly StripImage[];
  readonly model: { readonly name: string; readonly licence: string | null };
  readonly vocabularies: readonly BuiltIn[];
  readonly vocabulary: { readonly text: string; readonly classes: number };
  readonly examples: readonly Example[];
  readonly output: string;
}

export interface BuiltIn {
  readonly name: string;
  readonly classes: number;
}

export interface Opened extends Size {
  readonly row: number;
  readonly seconds: number;
  /** What is not quite right with the file. */
  readonly warning: string | null;
  readonly accepted: readonly DrawnObject[];
}

export interface Name {
  readonly category: string;
  readonly score: number;
  /** Of a class that competes and never comes out: `ovsam label` leaves such objects out. */
  readonly ignored?: boolean;
}

/** The answer to a preview. */
export interface Previewed {
  /** SVG path of the mask, fill rule evenodd; empty for no mask. */
  readonly path: string;
  /** The best name, none for a model that names nothing. */
  readonly names: readonly Name[];
  /** A newer preview had come: there is no answer. */
  readonly skipped?: boolean;
}

/** The answer to a prompt: the best name and the five next, best first. */
export interface Found extends Previewed {
  readonly area: number;
  readonly mask_score: number | null;
  readonly risk: number | null;
  readonly reason: string | null;
  readonly seconds: number;
  readonly model_seconds: number;
}

export interface Vocabulary {
  readonly classes: number;
  /** The first of them. */
  readonly names: readonly string[];
  readonly seconds: number;
}

export interface Example {
  readonly number: number;
  readonly name: string;
  readonly row: number;
}

export interface Accepted {
  readonly accepted: readonly DrawnObject[];
}

export function openImage(row: number, signal: AbortSignal): Promise<Opened> {
  return postJson("api/open", { row }, signal);
}

export function uploadImage(file: File): Promise<StripImage> {
  return postFile("api/upload", file);
}

export function predict(row: number, prompt: PromptJson, signal: AbortSignal): Promise<Found> {
  return postJson("api/predict", { row, ...prompt, hover: false }, signal);
}

/** The server answers the newest preview of a page only: `sequence` rises. */
export function preview(
  row: number,
  prompt: PromptJson,
  page: string,
  sequence: number,
): Promise<Previewed> {
  return postJson("api/predict", { row, ...prompt, hover: true, page, sequence });
}

export function setVocabulary(
  choice: { readonly text: string } | { readonly builtin: string },
  signal: AbortSignal,
): Promise<Vocabulary> {
  return postJson("api/vocabulary", choice, signal);
}

/** The names of the vocabulary that begin with a text or have it in them, a few. */
export function findNames(text: string, signal: AbortSignal): Promise<string[]> {
  return getJson(`api/names?text=${encodeURIComponent(text)}`, signal);
}

export function addExample(name: string, row: number, prompt: PromptJson): Promise<Example[]> {
  return postJson("api/examples", { name, row, prompt });
}

export function removeExample(number: number): Promise<Example[]> {
  return deleteJson(`api/examples/${number}`);
}

export function accept(row: number, prompt: PromptJson, category: string): Promise<Accepted> {
  return postJson("api/accept", { row, prompt, category });
}

export function withdraw(row: number, object: DrawnObject): Promise<Accepted> {
  return postJson("api/withdraw", { row, number: object.number, key: object.key });
}

export function rename(row: number, object: DrawnObject, category: string): Promise<Accepted> {
  return postJson("api/rename", { row, number: object.number, key: object.key, category });
}

/** Bring the output's annotations.json up to date. */
export function writeAnnotations(): Promise<{ readonly annotations: string }> {
  return postJson("api/export", {});
}
