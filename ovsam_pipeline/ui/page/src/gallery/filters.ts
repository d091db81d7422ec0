/** The panel of filters: classes, ranges with histograms, choices with counts. */
import { h, svg } from "../shared/dom";
import { buildChip } from "../shared/overlay";
import { formatCount } from "./format";
import type { Index } from "./index";
import type { Category } from "./object_ids";
import type { Choices } from "./select";
import {
  countFilters,
  DIFFERENCES,
  isAny,
  RANGES,
  REVIEWS,
  STATUSES,
  type DifferenceChoice,
  type Range,
  type RangeName,
  type Review,
  type StatusChoice,
  type View,
} from "./view";

/** Failure reasons that are listed: the most frequent ones. */
const MOST_ERRORS = 100;
const TYPING_MS = 150;

/** What is changed of a view; of ranges only those that are named. */
export type ViewPart = Partial<Omit<View, "ranges">> & { readonly ranges?: Partial<View["ranges"]> };

type Change = (part: ViewPart) => void;

interface Part {
  readonly element: HTMLElement;
  update(view: View, choices: Choices): void;
}

export class Filters {
  readonly element: HTMLElement;
  private readonly parts: readonly Part[];
  private readonly clear: HTMLButtonElement;

  constructor(index: Index, categories: readonly Category[], onChange: Change, onClear: () => void) {
    this.parts = [
      buildNameField(onChange),
      buildClassList(index, categories, onChange),
      ...RANGES.filter((name) => index[name].some((value) => !Number.isNaN(value))).map((name) =>
        buildRange(name, onChange),
      ),
      ...buildChoices(index, onChange),
    ];
    this.clear = h("button", { type: "button", "data-testid": "clear", onclick: onClear }, "Clear all");
    this.element = h(
      "form",
      { class: "filters", "aria-label": "Filters", id: "filters", onsubmit: (event: Event) => event.preventDefault() },
      h("div", { class: "filters-title" }, h("h2", {}, "Filters"), this.clear),
      ...this.parts.map((part) => part.element),
    );
  }

  /** Shows what is set, and what each choice would show. */
  update(view: View, choices: Choices): void {
    for (const part of this.parts) part.update(view, choices);
    const set = countFilters(view);
    this.clear.hidden = set === 0;
    this.clear.replaceChildren(`Clear all (${set})`);
  }
}

function buildNameField(onChange: Change): Part {
  let timer: number | undefined;
  const input = h("input", {
    type: "search",
    id: "filter-name",
    placeholder: "part of a path",
    autocomplete: "off",
    "data-testid": "filter-name",
    oninput: () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => onChange({ name: input.value }), TYPING_MS);
    },
  });
  return {
    element: h("div", { class: "filter" }, h("label", { for: "filter-name" }, "File name"), input),
    update: (view) => {
      if (document.activeElement !== input) input.value = view.name;
    },
  };
}

interface ClassRow {
  readonly place: number;
  readonly category: Category;
  readonly box: HTMLInputElement;
  readonly count: HTMLElement;
  readonly element: HTMLElement;
  shown: number;
}

/** A list of all classes; the order is by their number of objects in the output, and stays. */
function buildClassList(index: Index, categories: readonly Category[], onChange: Change): Part {
  const total = new Uint32Array(categories.length);
  for (const category of index.category) total[category] = (total[category] ?? 0) + 1;
  const chosen = new Set<string>();
  const buildRow = (category: Category, place: number): ClassRow => {
    const count = h("span", { class: "count" });
    const box = h("input", {
      type: "checkbox",
      onchange: () => {
        if (box.checked) chosen.add(category.name);
        else chosen.delete(category.name);
        onChange({ classes: [...chosen] });
      },
    });
    const element = h(
      "label",
      { class: "class-row", "data-testid": "class-row" },
      box,
      buildChip(category.name, category.colour),
      count,
    );
    return { place, category, box, count, element, shown: -1 };
  };
  const rows = categories.map(buildRow);
  rows.sort((one, other) => (total[other.place] ?? 0) - (total[one.place] ?? 0));
  const list = h(
    "div",
    { class: "class-list", role: "group", "aria-label": "Classes" },
    ...rows.map((row) => row.element),
  );
  const rove = makeRoving(list);
  const search = h("input", {
    type: "search",
    id: "filter-class",
    placeholder: `find in ${formatCount(categories.length)} classes`,
    autocomplete: "off",
    "data-testid": "filter-class",
    oninput: () => {
      const wanted = search.value.trim().toLowerCase();
      for (const row of rows) row.element.hidden = !row.category.name.toLowerCase().includes(wanted);
      rove();
    },
  });
  return {
    element: h("div", { class: "filter" }, h("label", { for: "filter-class" }, "Classes"), search, list),
    update: (view, choices) => {
      chosen.clear();
      for (const name of view.classes) chosen.add(name);
      // Answers bring new names.
      for (let place = rows.length; place < categories.length; place++) {
        const row = buildRow(categories[place] as Category, place);
        rows.push(row);
        list.append(row.element);
        rove();
      }
      for (const row of rows) {
        row.box.checked = chosen.has(row.category.name);
        const count = choices.classes[row.place] ?? 0;
        if (count === row.shown) continue;
        row.shown = count;
        row.count.replaceChildren(formatCount(count));
        row.element.classList.toggle("is-none", count === 0);
      }
    },
  };
}

/**
 * Makes one stop for Tab of a list of boxes, between which the arrow keys move: there may be a
 * thousand. Returns what is to be called when boxes come, or are shown or hidden.
 */
function makeRoving(list: HTMLElement): () => void {
  const findBoxes = (): HTMLInputElement[] => [
    ...list.querySelectorAll<HTMLInputElement>("label:not([hidden]) > input"),
  ];
  const rove = (active = findBoxes()[0]): void => {
    for (const box of list.querySelectorAll("input")) box.tabIndex = box === active ? 0 : -1;
  };
  list.addEventListener("focusin", (event) => rove(event.target as HTMLInputElement));
  list.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const boxes = findBoxes();
    boxes[boxes.indexOf(event.target as HTMLInputElement) + step]?.focus();
  });
  rove();
  return () => rove();
}

const RANGE_TITLES: Readonly<Record<RangeName, readonly [string, string]>> = {
  risk: ["Risk", "how likely an object is wrong"],
  score: ["Score", "how sure the label is"],
  margin: ["Margin", "of the best name to the next one"],
};

/** Two sliders over a histogram of what the other filters leave. */
function buildRange(name: RangeName, onChange: Change): Part {
  const [title, about] = RANGE_TITLES[name];
  const bars = svg("svg", { class: "histogram", preserveAspectRatio: "none", "aria-hidden": "true" });
  const text = h("span", { class: "range-text muted" });
  const build = (bound: string): HTMLInputElement =>
    h("input", {
      type: "range",
      min: 0,
      max: 1,
      step: 0.01,
      "aria-label": `${title}, ${bound}`,
      "data-testid": `${name}-${bound}`,
      oninput: (event: Event) => onChange({ ranges: { [name]: read(event.target) } }),
    });
  const [low, high] = [build("lowest"), build("highest")];
  // A bound that is moved past the other one takes it along.
  const read = (moved: EventTarget | null): Range => {
    const value = Number((moved as HTMLInputElement).value);
    return moved === low
      ? { low: value, high: Math.max(value, Number(high.value)) }
      : { low: Math.min(value, Number(low.value)), high: value };
  };
  const element = h(
    "fieldset",
    { class: "filter range", "data-testid": `range-${name}` },
    h("legend", { title: about }, title, text),
    bars,
    h("div", { class: "sliders" }, low, high),
  );
  return {
    element,
    update: (view, choices) => {
      const range = view.ranges[name];
      [low.value, high.value] = [String(range.low), String(range.high)];
      text.replaceChildren(isAny(range) ? "" : `${range.low.toFixed(2)} – ${range.high.toFixed(2)}`);
      drawHistogram(bars, choices.ranges[name], range);
    },
  };
}

/** Heights are square roots of counts: the few in the tail are what one looks for. */
function drawHistogram(element: SVGElement, counts: Uint32Array, range: Range): void {
  const highest = Math.sqrt(counts.reduce((most, count) => Math.max(most, count), 1));
  const top = (count: number): number => (count === 0 ? 0 : Math.max(0.04, Math.sqrt(count) / highest));
  const draw = (isIn: boolean): string =>
    Array.from(counts, (count, bar) => {
      const middle = (bar + 0.5) / counts.length;
      if ((middle >= range.low && middle <= range.high) !== isIn || count === 0) return "";
      return `M${bar} 1V${(1 - top(count)).toFixed(3)}h.85V1z`;
    }).join("");
  element.setAttribute("viewBox", `0 0 ${counts.length} 1`);
  element.replaceChildren(
    svg("path", { class: "bar", d: draw(true) }),
    svg("path", { class: "bar is-out", d: draw(false) }),
  );
}

const REVIEW_TEXTS: Readonly<Record<Review, string>> = {
  any: "Any",
  unseen: "Not seen by a person",
  seen: "Seen by a person",
  accepted: "Accepted",
  renamed: "Renamed",
  redrawn: "Redrawn",
  rejected: "Rejected since the page was loaded",
  added: "Added",
};
const STATUS_TEXTS: Readonly<Record<StatusChoice, string>> = {
  any: "Any",
  labelled: "With objects",
  empty: "Without objects",
  failed: "Failed",
};
const DIFFERENCE_TEXTS: Readonly<Record<DifferenceChoice, string>> = {
  any: "Any",
  different: "Different",
  same: "Same",
  alone: "In one run alone",
};

function buildChoices(index: Index, onChange: Change): Part[] {
  const parts: Part[] = [];
  if (index.flags.some((flags) => (flags & 2) !== 0)) parts.push(buildDisagreement(onChange));
  if (index.objects > 0) {
    parts.push(
      buildSelect(
        "review",
        "Answers",
        (view) => view.review,
        (value) => onChange({ review: value as Review }),
        (choices) =>
          REVIEWS.map((value, place) => ({ value, text: REVIEW_TEXTS[value], count: choices.reviews[place] ?? 0 })),
      ),
    );
  }
  parts.push(
    buildSelect(
      "status",
      "Images",
      (view) => view.status,
      (value) => onChange({ status: value as StatusChoice }),
      (choices) =>
        STATUSES.map((value, place) => ({
          value,
          text: STATUS_TEXTS[value],
          count:
            place === 0 ? choices.statuses.reduce((sum, count) => sum + count, 0) : (choices.statuses[place - 1] ?? 0),
        })),
    ),
  );
  if (index.errors.length > 0) parts.push(buildErrors(index, onChange));
  if (index.difference !== null) {
    parts.push(
      buildSelect(
        "difference",
        "Comparison",
        (view) => view.difference,
        (value) => onChange({ difference: value as DifferenceChoice }),
        (choices) =>
          DIFFERENCES.map((value, place) => ({
            value,
            text: DIFFERENCE_TEXTS[value],
            count:
              place === 0
                ? choices.differences.reduce((sum, count) => sum + count, 0)
                : (choices.differences[place - 1] ?? 0),
          })),
      ),
    );
  }
  return parts;
}

function buildDisagreement(onChange: Change): Part {
  const count = h("span", { class: "count" });
  const box = h("input", {
    type: "checkbox",
    "data-testid": "filter-disagreement",
    onchange: () => onChange({ disagreement: box.checked }),
  });
  return {
    element: h("label", { class: "filter class-row" }, box, h("span", {}, "Detector and model disagree"), count),
    update: (view, choices) => {
      box.checked = view.disagreement;
      count.replaceChildren(formatCount(choices.disagreement));
    },
  };
}

function buildErrors(index: Index, onChange: Change): Part {
  return buildSelect(
    "error",
    "Why images failed",
    (view) => view.error,
    (error) => onChange({ error }),
    (choices) => [
      { value: "", text: "Any", count: choices.errors.reduce((sum, count) => sum + count, 0) },
      ...index.errors
        .map((error, place) => ({ value: error, text: error, count: choices.errors[place] ?? 0 }))
        .sort((one, other) => other.count - one.count)
        .slice(0, MOST_ERRORS),
    ],
  );
}

interface Option {
  readonly value: string;
  readonly text: string;
  readonly count: number;
}

function buildSelect(
  name: string,
  title: string,
  get: (view: View) => string,
  set: (value: string) => void,
  list: (choices: Choices) => readonly Option[],
): Part {
  const id = `filter-${name}`;
  const field = h("select", { id, "data-testid": id, onchange: () => set(field.value) });
  let shown = "";
  return {
    element: h("div", { class: "filter" }, h("label", { for: id }, title), field),
    update: (view, choices) => {
      const value = get(view);
      const options = list(choices).filter(
        (option) => option.count > 0 || option.value === value || option === list(choices)[0],
      );
      const texts = options.map((option) => `${option.text} (${formatCount(option.count)})`);
      // Replacing options closes a list that is open.
      if (texts.join("\n") !== shown) {
        shown = texts.join("\n");
        field.replaceChildren(...options.map((option, place) => h("option", { value: option.value }, texts[place])));
      }
      field.value = value;
    },
  };
}

/** Returns a view with a part of it changed. */
export function changeView(view: View, part: ViewPart): View {
  return { ...view, ...part, ranges: { ...view.ranges, ...part.ranges } };
}
