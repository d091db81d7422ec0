/** Printing: all cards one after the other, and not only those in view. */
import { h } from "../shared/dom";

/** While the page is printed, shows all cards instead of the grid. */
export function printWholeGrid(grid: HTMLElement, buildCards: () => HTMLElement[]): void {
  let sheet: HTMLElement | null = null;
  addEventListener("beforeprint", () => {
    sheet?.remove();
    sheet = h("div", { class: "print-grid" }, ...buildCards());
    grid.before(sheet);
  });
  addEventListener("afterprint", () => {
    sheet?.remove();
    sheet = null;
  });
}
