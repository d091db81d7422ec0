import { h } from "../shared/dom";

/** Shows the demo view in `root`; `start` is the start data of the page. */
export function mount(root: HTMLElement, start: unknown): void {
  root.append(h("pre", { "data-testid": "demo" }, JSON.stringify(start, null, 2)));
}
