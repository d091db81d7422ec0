/** What is above the grid: what is looked at, how much of it, and in which order. */
import { h } from "../shared/dom";
import { buildThemeSwitch } from "../shared/theme";
import { formatAmount, formatCount } from "./format";
import { isDescending, type Counted } from "./select";
import type { Sort, View } from "./view";

const SORT_TEXTS: Readonly<Record<Sort, string>> = {
  risk: "Risk",
  score: "Score",
  margin: "Margin",
  objects: "Number of objects",
  row: "Order of the output",
  name: "File name",
  difference: "Difference",
};

export interface ToolbarOptions {
  readonly title: HTMLElement;
  readonly images: number;
  readonly sorts: readonly Sort[];
  readonly onChange: (part: Partial<Pick<View, "mode" | "sort" | "reversed">>) => void;
  /** Shows or hides the filters where there is no room for both; returns whether they are shown. */
  readonly onToggleFilters: () => boolean;
  readonly onKeys: () => void;
}

export class Toolbar {
  readonly element: HTMLElement;
  private readonly counts = h("p", { class: "counts", role: "status", "data-testid": "counts" });
  private readonly modes = new Map<View["mode"], HTMLButtonElement>();
  private readonly sort = h("select", { "aria-label": "Sort by", "data-testid": "sort" });
  private readonly direction = h("button", { type: "button", "data-testid": "direction" });
  private isReversed = false;

  constructor(private readonly options: ToolbarOptions) {
    const tools = [
      this.buildFiltersToggle(),
      this.buildModes(),
      this.buildSort(),
      this.buildKeysButton(),
      buildThemeSwitch(),
    ];
    this.element = h(
      "header",
      { class: "toolbar" },
      options.title,
      this.counts,
      h("div", { class: "tools" }, ...tools),
    );
  }

  /** Shows which view is chosen. */
  update(view: View): void {
    for (const [mode, button] of this.modes) button.setAttribute("aria-pressed", String(mode === view.mode));
    this.sort.value = view.sort;
    this.isReversed = view.reversed;
    const falls = isDescending(view);
    const [now, other] = falls ? ["Largest first", "smallest first"] : ["Smallest first", "largest first"];
    this.direction.replaceChildren(falls ? "↓" : "↑");
    this.direction.setAttribute("aria-label", `${now}; switch to ${other}`);
    this.direction.title = now;
  }

  /** Shows how much the view holds. */
  count({ images, objects }: Counted): void {
    const all = formatAmount(this.options.images, "image");
    this.counts.replaceChildren(`${formatCount(images)} of ${all}, ${formatAmount(objects, "object")}`);
  }

  private buildFiltersToggle(): HTMLElement {
    const button = h(
      "button",
      {
        type: "button",
        class: "filters-toggle",
        "aria-controls": "filters",
        "aria-expanded": "false",
        "data-testid": "filters-toggle",
        onclick: () => {
          const isShown = this.options.onToggleFilters();
          button.setAttribute("aria-expanded", String(isShown));
          button.textContent = isShown ? "Close" : "Filters";
        },
      },
      "Filters",
    );
    return button;
  }

  private buildModes(): HTMLElement {
    const build = (mode: View["mode"], text: string): HTMLElement => {
      const onclick = (): void => this.options.onChange({ mode });
      const button = h("button", { type: "button", "data-testid": `mode-${mode}`, onclick }, text);
      this.modes.set(mode, button);
      return button;
    };
    const buttons = [build("images", "Images"), build("objects", "Objects")];
    return h("div", { class: "modes", role: "group", "aria-label": "Look at" }, ...buttons);
  }

  private buildSort(): HTMLElement {
    this.sort.append(...this.options.sorts.map((value) => h("option", { value }, SORT_TEXTS[value])));
    this.sort.addEventListener("change", () =>
      this.options.onChange({ sort: this.sort.value as Sort, reversed: false }),
    );
    this.direction.addEventListener("click", () => this.options.onChange({ reversed: !this.isReversed }));
    return h("div", { class: "sort" }, this.sort, this.direction);
  }

  private buildKeysButton(): HTMLElement {
    const name = "Keys (?)";
    return h(
      "button",
      { type: "button", class: "quiet keys-button", "aria-label": name, title: name, onclick: this.options.onKeys },
      "?",
    );
  }
}
