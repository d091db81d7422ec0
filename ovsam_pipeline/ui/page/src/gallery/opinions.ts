/** What is known about one object, as a list of terms. */
import { h } from "../shared/dom";
import { buildChip } from "../shared/overlay";
import { formatShare } from "./format";
import type { DrawnObject } from "./source";

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
      value === null ? [] : [h("dt", {}, term), h("dd", {}, typeof value === "string" ? h("bdi", {}, value) : value)],
    ),
  );
}

function formatKnown(value: number | null): string | null {
  return value === null ? null : formatShare(value);
}

function joinKnown(...parts: (string | null)[]): string | null {
  return parts.filter((part) => part !== null).join(", ") || null;
}
