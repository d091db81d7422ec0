/** Curves of precision over recall, of all classes or of one; the range below reads their values. */
import { h, svg } from "../shared/dom";
import { percent } from "./format";
import type { Curves, Results } from "./source";

const NAMES = ["precision_50", "precision_75", "precision"] as const;
type Name = (typeof NAMES)[number];
const TITLES: Readonly<Record<Name, string>> = {
  precision_50: "IoU .50",
  precision_75: "IoU .75",
  precision: "IoU .50:.95",
};
const KINDS: Readonly<Record<string, string>> = { segm: "Masks", bbox: "Boxes" };
const RECALLS = 101;
// Of the drawing, in its own units.
const WIDTH = 520;
const HEIGHT = 320;
const LEFT = 44;
const BOTTOM = 40;
const TOP = 8;
const RIGHT = 12;

type Lines = Readonly<Record<Name, readonly number[]>>;

/** Returns the curves of the class in a row of the table, null: the mean of all; null if it has none. */
export function readCurves(curves: Curves, row: number | null): Lines | null {
  if (row === null) {
    const { precision_50, precision_75, precision } = curves;
    return precision_50 && precision_75 && precision ? { precision_50, precision_75, precision } : null;
  }
  const place = curves.classes.indexOf(row);
  if (place < 0) return null;
  const bytes = Uint8Array.from(atob(curves.data), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  const read = (kind: number): number[] =>
    Array.from({ length: RECALLS }, (_, at) => view.getUint16(2 * ((place * NAMES.length + kind) * RECALLS + at), true) / 65535);
  return { precision_50: read(0), precision_75: read(1), precision: read(2) };
}

export class CurvePanel {
  readonly element: HTMLElement;
  private kind: string;
  private row: number | null = null;
  private readonly title = h("h3", { "data-testid": "curve-title" });
  private readonly body = h("div");
  private readonly kinds: ReadonlyMap<string, HTMLButtonElement>;

  constructor(private readonly results: Results) {
    const names = Object.keys(results.curves);
    this.kind = names[0] ?? "";
    this.kinds = new Map(
      names.map((kind) => [kind, h("button", { type: "button", onclick: () => this.choose(kind) }, KINDS[kind] ?? kind)]),
    );
    const switches = names.length > 1 && h("div", { class: "results-controls no-print" }, ...this.kinds.values());
    this.element = h("div", { class: "curves", "data-testid": "curves" }, this.title, switches, this.body);
    this.show();
  }

  /** Shows the class of a row of the table; null shows the mean of all. */
  setClass(row: number | null): void {
    this.row = row;
    this.show();
  }

  private choose(kind: string): void {
    this.kind = kind;
    this.show();
  }

  private show(): void {
    for (const [kind, button] of this.kinds) button.setAttribute("aria-pressed", String(kind === this.kind));
    const curves = this.results.curves[this.kind];
    if (!curves) return;
    const many = curves.classes.length;
    const name = this.row === null ? null : this.results.classes.rows[this.row]?.[this.results.classes.columns.indexOf("name")];
    const of = name === null || name === undefined ? `mean of ${many === 1 ? "one class" : `${many} classes`}` : String(name);
    this.title.textContent = `${KINDS[this.kind] ?? this.kind}, precision over recall: ${of}`;
    const lines = readCurves(curves, this.row);
    this.body.replaceChildren(lines ? buildPlot(lines) : h("p", { class: "muted" }, "It has no annotation to be found, so no curve."));
  }
}

function buildPlot(lines: Lines): HTMLElement {
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: HEIGHT - BOTTOM });
  const dots = NAMES.map((name) => svg("circle", { class: `dot ${name}`, r: 3.5 }));
  const drawing = svg(
    "svg",
    { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": "Precision over recall; the table below has its values" },
    drawAxes(),
    ...NAMES.map((name) => svg("path", { class: `line ${name}`, d: drawLine(lines[name]) })),
    svg("g", { class: "reading" }, cursor, ...dots),
  );
  const told = h("p", { class: "reading-text", "aria-live": "polite", "data-testid": "curve-reading" });
  const range = h("input", {
    type: "range", min: 0, max: RECALLS - 1, value: 50, "aria-label": "Recall to read precision at", class: "no-print",
    oninput: () => read(range.valueAsNumber),
  });
  const read = (at: number): void => {
    cursor.setAttribute("x1", String(toX(at)));
    cursor.setAttribute("x2", String(toX(at)));
    dots.forEach((dot, number) => {
      dot.setAttribute("cx", String(toX(at)));
      dot.setAttribute("cy", String(toY(lines[NAMES[number] ?? "precision"][at] ?? 0)));
    });
    const values = NAMES.map((name) => `${TITLES[name]}: ${percent(lines[name][at])}`).join(", ");
    told.textContent = `At recall ${at} %, precision at ${values}`;
    range.value = String(at);
  };
  drawing.addEventListener("pointermove", (event) => {
    const matrix = drawing.getScreenCTM();
    if (!matrix) return;
    const { x } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    const share = (x - LEFT) / (WIDTH - LEFT - RIGHT);
    read(Math.round(Math.min(1, Math.max(0, share)) * (RECALLS - 1)));
  });
  read(50);
  return h("div", {}, drawing, buildLegend(lines), range, told, buildTable(lines));
}

function buildLegend(lines: Lines): HTMLElement {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const items = NAMES.map((name) =>
    h(
      "li",
      {},
      svg("svg", { class: "plot sample", viewBox: "0 0 28 8", "aria-hidden": "true" }, svg("path", { class: `line ${name}`, d: "M0 4H28" })),
      `${TITLES[name]}: AP ${percent(mean(lines[name]))}`,
    ),
  );
  return h("ul", { class: "legend" }, ...items);
}

function buildTable(lines: Lines): HTMLElement {
  const rows = Array.from({ length: 11 }, (_, step) => 10 * step).map((at) =>
    h("tr", {}, h("th", { scope: "row" }, `${at} %`), ...NAMES.map((name) => h("td", {}, percent(lines[name][at])))),
  );
  return h(
    "details",
    { class: "no-print" },
    h("summary", {}, "Values as a table"),
    h(
      "table",
      { class: "grid", "data-testid": "curve-table" },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, "Recall"), ...NAMES.map((name) => h("th", { scope: "col" }, TITLES[name])))),
      h("tbody", {}, ...rows),
    ),
  );
}

function drawAxes(): SVGElement {
  const ticks = [0, 20, 40, 60, 80, 100];
  return svg(
    "g",
    { class: "axes" },
    ...ticks.flatMap((tick) => [
      svg("line", { x1: toX(tick), x2: toX(tick), y1: TOP, y2: HEIGHT - BOTTOM }),
      svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: toY(tick / 100), y2: toY(tick / 100) }),
      svg("text", { x: toX(tick), y: HEIGHT - BOTTOM + 16, "text-anchor": "middle" }, tick),
      svg("text", { x: LEFT - 6, y: toY(tick / 100) + 4, "text-anchor": "end" }, tick),
    ]),
    svg("text", { x: (LEFT + WIDTH - RIGHT) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "Recall, percent"),
    svg("text", { transform: `translate(12 ${(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)`, "text-anchor": "middle" }, "Precision, percent"),
  );
}

function drawLine(values: readonly number[]): string {
  return values.map((value, at) => `${at ? "L" : "M"}${toX(at).toFixed(1)} ${toY(value).toFixed(1)}`).join("");
}

function toX(at: number): number {
  return LEFT + (at / (RECALLS - 1)) * (WIDTH - LEFT - RIGHT);
}

function toY(value: number): number {
  return HEIGHT - BOTTOM - value * (HEIGHT - BOTTOM - TOP);
}
