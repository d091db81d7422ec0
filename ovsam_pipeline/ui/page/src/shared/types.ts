/** Data that several views share: what ui/objects.py writes. */

export interface Opinions {
  head_score: number | null;
  clip_score: number | null;
  detector_score: number | null;
  detector_category: string | null;
  model_category: string | null;
  model_score: number | null;
  margin: number | null;
  detector_margin: number | null;
  mask_score: number | null;
}

/** One object of an image, ready to be drawn; boxes and paths in pixels of the original image. */
export interface DrawnObject {
  number: number;
  key: string;
  category: string;
  category_id: number;
  colour: string;
  score: number | null;
  risk: number | null;
  reason: string | null;
  /** Left, top, width, height. */
  bbox: readonly [number, number, number, number];
  /** SVG path data, evenodd; empty where there is no mask. */
  path: string;
  opinions: Opinions;
  reviewed_by: string | null;
  verdict: string | null;
}
