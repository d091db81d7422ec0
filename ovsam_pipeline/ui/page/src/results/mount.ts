/** The results of an evaluation on one page: numbers, classes, curves, confusions, the worst. */
import { describe } from "../shared/api";
import { h } from "../shared/dom";
import { buildThemeSwitch } from "../shared/theme";
import { ClassTable } from "./classes";
import { Confusions } from "./confusions";
import { CurvePanel } from "./curves";
import { buildCards, buildLegend } from "./examples";
import { things } from "./format";
import { buildNumbers, buildProtocol } from "./numbers";
import { EmbeddedSource, ServerSource, type Results, type Source } from "./source";

interface Start {
  readonly embedded?: boolean;
}

/** Shows the results view in `root`; `start` is the start data of the page. */
export function mount(root: HTMLElement, start: unknown): void {
  const source = (start as Start).embedded ? new EmbeddedSource() : new ServerSource();
  root.append(h("p", { class: "muted results-wait" }, "Reading the results …"));
  source
    .results()
    .then((results) => root.replaceChildren(build(results, source)))
    .catch((error: unknown) => root.replaceChildren(h("p", { class: "error results-wait", role: "alert" }, describe(error))));
}

function build(results: Results, source: Source): HTMLElement {
  const { metrics } = results;
  const name = String(metrics.dataset["name"] ?? "");
  document.title = `${name}: results of ovsam eval`;
  const curves = Object.keys(results.curves).length > 0 ? new CurvePanel(results) : null;
  const confusions = results.pairs.length > 0 ? new Confusions(results, source) : null;
  const classes = new ClassTable(results.classes, (row) => {
    classes.select(row);
    curves?.setClass(row);
    confusions?.setClass(row === null ? null : String(results.classes.rows[row]?.[results.classes.columns.indexOf("name")]));
  });
  const sections: readonly (readonly [string, string, HTMLElement | null])[] = [
    ["numbers", "Numbers", buildNumbers(metrics)],
    ["classes", "Classes", h("div", { class: curves ? "with-side" : "" }, classes.element, curves?.element)],
    ["confusions", "Confusions", confusions?.element ?? null],
    ["worst", "Worst instances", results.worst > 0 ? buildWorst(results, source) : null],
    ["protocol", "How it was measured", buildProtocol(metrics)],
  ];
  const shown = sections.filter(([, , element]) => element);
  return h(
    "div",
    { class: "results", "data-testid": "results" },
    h(
      "header",
      {},
      h("h1", {}, "Results on ", h("bdi", {}, name)),
      h("nav", { class: "no-print", "aria-label": "Parts of the page" }, ...shown.map(([id, title]) => h("a", { href: `#${id}` }, title))),
      buildThemeSwitch(),
    ),
    h(
      "main",
      {},
      h("p", { class: "muted" }, summarise(results)),
      ...results.notes.map((note) => h("p", { class: "note" }, note)),
      ...shown.map(([id, title, element]) => h("section", { id, "aria-labelledby": `${id}-title` }, h("h2", { id: `${id}-title` }, title), element)),
    ),
  );
}

function summarise(results: Results): string {
  const { counts = {}, protocol } = results.metrics;
  const seen = ["images", "annotations", "predictions"].map((name) => things(counts[name] ?? 0, name.replace(/s$/, "")));
  return `${seen.join(", ")}. Predictions: ${String(protocol["predictions"] ?? "")}`;
}

function buildWorst(results: Results, source: Source): HTMLElement {
  const body = h("div", {}, h("p", { class: "muted" }, "Reading …"));
  source
    .examples("worst")
    .then((examples) => body.replaceChildren(buildLegend(), buildCards(examples)))
    .catch((error: unknown) => body.replaceChildren(h("p", { class: "error" }, describe(error))));
  return h("div", { "data-testid": "worst" }, h("p", { class: "muted" }, describeWorst(results)), body);
}

function describeWorst(results: Results): string {
  return "instances" in results.metrics.metrics
    ? `${things(results.worst, "instance")} of the lowest IoU, wrong names first.`
    : "Half are the surest wrong predictions, half the largest annotations that nothing found.";
}
