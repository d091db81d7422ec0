/** What is known about one object, as a list of terms. */
import { h } from "../shared/dom";
import { buildChip } from "../shared/overlay";
import { formatShare } from "./format";
import type { DrawnObject } from "./source";

const MEANINGS: Readonly<Record<string, string>> = {
  Risk: "how likely the label is wrong (0 to 1), and why",
  Score: "of the name",
  Head: "score by the head that was trained on masks",
  CLIP: "score by CLIP alone",
  Model: "the model's own name and score",
  Detector: "the detector's name, where it has one, and score",
  Margin: "the probability of the model's best name minus that of its second",
  "Detector's margin": "the model's probability of its name minus that of the detector's",
  "Mask stability": "how little the mask changes with the threshold",
  Verdict: "what a person said",
};

/** Returns the opinions on an object; what is unknown is left out. */
export function buildOpinions(object: DrawnObject): HTMLElement {
  const { opinions } = object;
  const rows: [string, string | Node | null][] = [
    ["Label", buildChip(object.category, object.colour)],
    ["Risk", joinKnown(object.risk === null ? null : formatShare(object.risk), object.reason)],
    ["Score", formatKnown(object.score)],
    ["Head", formatKnown(opinions.head_score)],
    ["CLIP", formatKnown(opinions.clip_score)],
    ["Model", joinKnown(opinions.model_category, formatKnown(opinions.model_score))],
    ["Detector", joinKnown(opinions.detector_category, formatKnown(opinions.detector_score))],
    ["Margin", formatKnown(opinions.margin)],
    ["Detector's margin", formatKnown(opinions.detector_margin)],
    ["Mask stability", formatKnown(opinions.mask_score)],
    ["Verdict", joinKnown(object.verdict, object.reviewed_by === null ? null : `by ${object.reviewed_by}`)],
  ];
  return h(
    "dl",
    { class: "opinions", "data-testid": "opinions" },
    ...rows.flatMap(([term, value]) =>
      value === null ? [] : [h("dt", { title: MEANINGS[term] }, term), h("dd", {}, typeof value === "string" ? h("bdi", {}, value) : value)],
    ),
  );
}

function formatKnown(value: number | null): string | null {
  return value === null ? null : formatShare(value);
}

function joinKnown(...parts: (string | null)[]): string | null {
  return parts.filter((part) => part !== null).join(", ") || null;
}
