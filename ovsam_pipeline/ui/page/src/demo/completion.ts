// Names of the vocabulary for what is typed into a field with list="names".

import { h } from "../shared/dom";
import { Newest } from "./newest";
import { findNames } from "./server";

/** Build the list that such fields below `root` share; it is filled while one is typed into. */
export function buildCompletion(root: HTMLElement): HTMLElement {
  const list = h("datalist", { id: "names" });
  const asking = new Newest();
  const complete = async (event: Event): Promise<void> => {
    const field = event.target;
    if (!(field instanceof HTMLInputElement) || field.list !== list) return;
    try {
      const names = await asking.ask((signal) => findNames(field.value, signal));
      if (names !== undefined) list.replaceChildren(...names.map((name) => h("option", { value: name })));
    } catch {
      // Any name can be typed in full.
      list.replaceChildren();
    }
  };
  root.addEventListener("focusin", (event) => void complete(event));
  root.addEventListener("input", (event) => void complete(event));
  return list;
}
