/** Printing: all cards one after the other, and not only those in view; on white. */
import { h } from "../shared/dom";
import { formatCount } from "./format";

/**
 * While the page is printed, shows cards in columns instead of the grid, and the light theme.
 *
 * `buildCards` gives those that are here, of `count` in all.
 */
export function printWholeGrid(grid: HTMLElement, buildCards: () => HTMLElement[], count: () => number): void {
  const page = document.documentElement;
  let sheet: HTMLElement | null = null;
  let theme: string | undefined;
  addEventListener("beforeprint", () => {
    sheet?.remove();
    const cards = buildCards();
    const note =
      cards.length < count()
        ? h(
            "p",
            {},
            `${formatCount(cards.length)} of ${formatCount(count())}: those that were in view. A page with all: ovsam report OUT --html FILE`,
          )
        : null;
    sheet = h("div", { class: "print-sheet" }, note, h("div", { class: "print-grid" }, ...cards));
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
