/** Every number of metrics.json: the paper's columns first, then what it was measured by. */
import { h } from "../shared/dom";
import { UNDEFINED, count, percent } from "./format";
import type { Metrics } from "./source";

type Values = Readonly<Record<string, number | null>>;

const TITLES: Readonly<Record<string, string>> = { instances: "Instances", segm: "Masks", bbox: "Boxes" };
const GROUPS: readonly (readonly [string, string])[] = [
  ["all", ""],
  ["base", "_base"],
  ["novel", "_novel"],
];
const PRECISION: Readonly<Record<string, string>> = {
  AP: "IoU .50:.95",
  AP50: "IoU .50",
  AP75: "IoU .75",
  APs: "small, area < 32²",
  APm: "medium",
  APl: "large, area > 96²",
  AP_base: "base classes",
  AP_novel: "novel classes",
  AP50_base: "base, IoU .50",
  AP50_novel: "novel, IoU .50",
  APr: "rare classes",
  APc: "common classes",
  APf: "frequent classes",
};
const LEFT_OUT: Readonly<Record<string, string>> = {
  instances_unanswered: "left out: their images have no predictions",
  instances_missing: "without an answer: IoU 0 and wrong",
  instances_repeated: "further predictions of one prompt: left out",
  instances_in_neither_split: "left out: their class is neither base nor novel",
};

/** Returns the tables of all numbers measured, in percent. */
export function buildNumbers(metrics: Metrics): HTMLElement {
  const tables = Object.entries(metrics.metrics).flatMap(([group, values]) =>
    group === "instances" ? [buildInstances(values)] : buildDetections(TITLES[group] ?? group, values),
  );
  return h("div", { class: "numbers", "data-testid": "numbers" }, ...tables);
}

/** Returns how it was measured: settings, counts, odd input, seconds. */
export function buildProtocol(metrics: Metrics): HTMLElement {
  const { dataset, counts = {}, seconds = {}, problems = [], matching } = metrics;
  const { made_with: madeWith, ...protocol } = metrics.protocol;
  const lists: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ["Data set", dataset],
    ["Protocol", protocol],
    ["Predictions were made with", isRecord(madeWith) ? withoutHashes(madeWith) : {}],
    ["Counts", counts],
    ["How images were found", isRecord(matching) ? matching : {}],
    ["Seconds", seconds],
    ["Made", { ovsam: metrics.ovsam, finished: metrics.finished }],
  ];
  return h(
    "div",
    { class: "protocol", "data-testid": "protocol" },
    ...lists.filter(([, values]) => Object.keys(values).length).map(([title, values]) => buildList(title, values)),
    problems.length > 0 &&
      h("section", { class: "odd" }, h("h3", {}, "Odd input"), h("ul", {}, ...problems.map((text) => h("li", {}, text)))),
  );
}

function buildInstances(values: Values): HTMLElement {
  const groups = GROUPS.filter(([, suffix]) => suffix === "" || values[`instances${suffix}`]);
  const rows = groups.map(([name, suffix]) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      h("td", {}, percent(values[`iou${suffix}`])),
      h("td", {}, percent(values[`accuracy${suffix}`])),
      h("td", {}, count(values[`instances${suffix}`] ?? 0)),
    ),
  );
  const more = Object.entries(LEFT_OUT).filter(([name]) => values[name]);
  return h(
    "section",
    {},
    h("h3", {}, "Instances, percent"),
    h(
      "table",
      { class: "grid" },
      h("thead", {}, h("tr", {}, ...["", "IoU", "Accuracy", "Instances"].map((name) => h("th", { scope: "col" }, name)))),
      h("tbody", {}, ...rows),
    ),
    more.length > 0 && h("p", { class: "muted" }, more.map(([name, about]) => `${count(values[name] ?? 0)} ${about}`).join("; ")),
  );
}

function buildDetections(title: string, values: Values): HTMLElement[] {
  const isRecall = (name: string): boolean => name.startsWith("AR");
  const precision = Object.keys(values).filter((name) => !isRecall(name));
  const recall = Object.keys(values).filter(isRecall);
  return [
    buildColumn(`${title}: precision, percent`, precision, values),
    buildColumn(`${title}: recall, percent`, recall, values),
  ];
}

function buildColumn(title: string, names: readonly string[], values: Values): HTMLElement {
  const rows = names.map((name) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name.replace("_", " ")),
      h("td", {}, percent(values[name])),
      h("td", { class: "muted about" }, PRECISION[name] ?? describeRecall(name)),
    ),
  );
  return h("section", {}, h("h3", {}, title), h("table", { class: "grid" }, h("tbody", {}, ...rows)));
}

const SIZES: Readonly<Record<string, string>> = { s: "small", m: "medium", l: "large" };

function describeRecall(name: string): string {
  const found = /^AR([sml]?)(?:@(\d+))?$/.exec(name);
  if (!found) return "";
  const size = found[1] ? (SIZES[found[1]] ?? "") : "";
  return [size, found[2] ? `${found[2]} an image` : ""].filter(Boolean).join(", ");
}

function buildList(title: string, values: Readonly<Record<string, unknown>>): HTMLElement {
  const items = Object.entries(values).flatMap(([name, value]) => [
    h("dt", {}, name.replaceAll("_", " ")),
    h("dd", {}, show(value)),
  ]);
  return h("section", {}, h("h3", {}, title), h("dl", {}, ...items));
}

function show(value: unknown): string {
  if (value === null || value === undefined) return UNDEFINED;
  if (isRecord(value)) {
    const parts = Object.entries(value).map(([name, part]) => `${name.replaceAll("_", " ")} ${show(part)}`);
    return parts.join(", ");
  }
  if (typeof value === "object") return JSON.stringify(value);
  return typeof value === "number" && Number.isInteger(value) ? count(value) : String(value);
}

function withoutHashes(values: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([name]) => !/_(hash|version)$/.test(name)));
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
