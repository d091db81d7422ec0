/** Printing: all cards one after the other, and not only those in view; on white. */
import { h } from "../shared/dom";

/** While the page is printed, shows all cards instead of the grid, and the light theme. */
export function printWholeGrid(grid: HTMLElement, buildCards: () => HTMLElement[]): void {
  const page = document.documentElement;
  let sheet: HTMLElement | null = null;
  let theme: string | undefined;
  addEventListener("beforeprint", () => {
    sheet?.remove();
    sheet = h("div", { class: "print-grid" }, ...buildCards());
    grid.before(sheet);
    theme = page.dataset["theme"];
    page.dataset["theme"] = "light";
  });
  addEventListener("afterprint", () => {
    sheet?.remove();
    sheet = null;
    if (theme === undefined) delete page.dataset["theme"];
    else page.dataset["theme"] = theme;
  });
}
