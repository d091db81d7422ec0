import { Demo } from "./demo";
import type { DemoStart } from "./server";

/** Shows the demo in `root`; `start` is the start data of the page. */
export function mount(root: HTMLElement, start: unknown): void {
  new Demo(root, start as DemoStart).start();
}
