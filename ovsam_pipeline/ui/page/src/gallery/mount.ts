import { h } from "../shared/dom";

/** Shows the gallery view in `root`; `start` is the start data of the page. */
export function mount(root: HTMLElement, start: unknown): void {
  root.append(h("pre", { "data-testid": "gallery" }, JSON.stringify(start, null, 2)));
}
