/** The table of classes: sorted by any column, filtered by name, split and frequency. */
import { h } from "../shared/dom";
import { UNDEFINED, count, percent, things } from "./format";
import type { Cell, Results } from "./source";

const LABELS: Readonly<Record<string, string>> = {
  category_id: "Id",
  name: "Class",
  split: "Split",
  frequency: "Frequency",
  annotations: "Annotations",
  instances: "Instances",
  iou: "IoU",
  accuracy: "Accuracy",
  segm_predictions: "Masks",
  segm_AP: "Mask AP",
  segm_AP50: "Mask AP50",
  segm_AR: "Mask AR",
  bbox_predictions: "Boxes",
  bbox_AP: "Box AP",
  bbox_AP50: "Box AP50",
  bbox_AR: "Box AR",
};
const TEXTS: readonly string[] = ["name", "split", "frequency"];
const WHOLE: readonly string[] = ["category_id", "annotations", "instances", "segm_predictions", "bbox_predictions"];
const FREQUENCIES: Readonly<Record<string, string>> = { r: "rare", c: "common", f: "frequent" };
const NAME_ORDER = new Intl.Collator("en", { numeric: true });
// More rows take the browser seconds to lay out.
const MOST_ROWS = 2000;

/** The table; `onSelect` is called with the row of a class, or null for all classes. */
export class ClassTable {
  readonly element: HTMLElement;
  private readonly body = h("tbody");
  private readonly told = h("p", { class: "muted", "aria-live": "polite", "data-testid": "class-count" });
  private readonly rows: readonly HTMLTableRowElement[];
  private readonly columns: readonly number[];
  private readonly heads = new Map<number, HTMLElement>();
  private readonly search = h("input", {
    type: "search",
    placeholder: "Class name",
    "aria-label": "Filter classes by name",
    "data-testid": "class-filter",
    oninput: () => this.show(),
  });
  private readonly choices: ReadonlyMap<number, HTMLSelectElement>;
  private readonly withAny = h("input", { type: "checkbox", checked: true, onchange: () => this.show() });
  private sortedBy: number;
  private isFalling = true;
  private selected: number | null = null;

  constructor(
    private readonly classes: Results["classes"],
    private readonly onSelect: (row: number | null) => void,
  ) {
    const { columns, rows } = classes;
    // Columns without a value say nothing; the id comes last.
    const filled = columns.map((_, place) => place).filter((place) => rows.some((row) => row[place] !== null));
    const id = columns.indexOf("category_id");
    this.columns = [...filled.filter((place) => place !== id), id];
    this.sortedBy = columns.indexOf("annotations");
    this.choices = new Map(
      ["split", "frequency"]
        .map((name) => columns.indexOf(name))
        .filter((place) => this.columns.includes(place))
        .map((place) => [place, this.buildChoice(place)]),
    );
    this.rows = rows.map((row, number) => this.buildRow(row, number));
    this.element = h("div", { class: "classes" }, this.buildControls(), this.told, this.buildTable());
    this.show();
  }

  /** Marks a class, or none; does not call `onSelect`. */
  select(row: number | null): void {
    if (this.selected !== null) this.rows[this.selected]?.removeAttribute("aria-current");
    this.selected = row;
    if (row !== null) this.rows[row]?.setAttribute("aria-current", "true");
  }

  private buildControls(): HTMLElement {
    return h(
      "div",
      { class: "results-controls" },
      this.search,
      ...this.choices.values(),
      h("label", {}, this.withAny, " only classes with annotations"),
    );
  }

  private buildChoice(place: number): HTMLSelectElement {
    const name = this.classes.columns[place] ?? "";
    const values = [...new Set(this.classes.rows.map((row) => row[place]))].filter((value) => value !== null).sort();
    const options = values.map((value) => h("option", { value }, FREQUENCIES[String(value)] ?? String(value)));
    return h(
      "select",
      { "aria-label": LABELS[name] ?? name, "data-testid": `class-${name}`, onchange: () => this.show() },
      h("option", { value: "" }, `any ${name}`),
      ...options,
    );
  }

  private buildTable(): HTMLElement {
    const heads = this.columns.map((place) => {
      const name = this.classes.columns[place] ?? "";
      const button = h("button", { type: "button", class: "sort", onclick: () => this.sort(place) }, LABELS[name] ?? name);
      const head = h("th", { scope: "col", class: TEXTS.includes(name) ? "" : "number" }, button);
      this.heads.set(place, head);
      return head;
    });
    return h(
      "div",
      { class: "table-frame", tabindex: 0, role: "region", "aria-label": "Classes" },
      h("table", { class: "grid class-table", "data-testid": "classes" }, h("thead", {}, h("tr", {}, ...heads)), this.body),
    );
  }

  private buildRow(row: readonly Cell[], number: number): HTMLTableRowElement {
    const cells = this.columns.map((place) => {
      const name = this.classes.columns[place] ?? "";
      const value = row[place] ?? null;
      if (name === "name") {
        const button = h("button", { type: "button", class: "link" }, h("bdi", {}, value));
        return h("th", { scope: "row" }, button);
      }
      return h("td", { class: TEXTS.includes(name) ? "" : "number" }, showCell(name, value));
    });
    return h("tr", { "data-testid": "class-row", onclick: () => this.choose(number) }, ...cells);
  }

  private choose(number: number): void {
    this.onSelect(this.selected === number ? null : number);
  }

  private sort(place: number): void {
    const isText = TEXTS.includes(this.classes.columns[place] ?? "");
    this.isFalling = place === this.sortedBy ? !this.isFalling : !isText;
    this.sortedBy = place;
    this.show();
  }

  private show(): void {
    const numbers = this.filter();
    const way = this.isFalling ? -1 : 1;
    const value = (number: number): Cell => this.classes.rows[number]?.[this.sortedBy] ?? null;
    numbers.sort((a, b) => compare(value(a), value(b), way));
    const shown = numbers.slice(0, MOST_ROWS).flatMap((number) => this.rows[number] ?? []);
    this.body.replaceChildren(...shown);
    for (const [place, head] of this.heads) {
      if (place === this.sortedBy) head.setAttribute("aria-sort", this.isFalling ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    const cut = numbers.length > MOST_ROWS ? `; the first ${count(MOST_ROWS)} are shown: filter or sort to see others` : "";
    this.told.textContent = `${count(numbers.length)} of ${things(this.rows.length, "class", "classes")}${cut}. Numbers are percent.`;
  }

  private filter(): number[] {
    const wanted = this.search.value.trim().toLowerCase();
    const { columns, rows } = this.classes;
    const name = columns.indexOf("name");
    const annotations = columns.indexOf("annotations");
    const chosen = [...this.choices].filter(([, choice]) => choice.value);
    return rows.flatMap((row, number) => {
      if (wanted && !String(row[name]).toLowerCase().includes(wanted)) return [];
      if (this.withAny.checked && !row[annotations]) return [];
      return chosen.every(([place, choice]) => String(row[place]) === choice.value) ? [number] : [];
    });
  }
}

function showCell(name: string, value: Cell): string {
  if (value === null) return name === "split" || name === "frequency" ? "" : UNDEFINED;
  if (typeof value === "string") return name === "frequency" ? (FREQUENCIES[value] ?? value) : value;
  if (name === "category_id") return String(value);
  return WHOLE.includes(name) ? count(value) : percent(value);
}

// What has no value comes last, whichever way.
function compare(a: Cell, b: Cell, way: number): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  if (typeof a === "string" || typeof b === "string") return way * NAME_ORDER.compare(String(a), String(b));
  return way * (a - b);
}
