/** Mounts the view that the start data of the page names. */
import * as demo from "./demo/mount";
import * as editors from "./editors/mount";
import * as gallery from "./gallery/mount";
import * as results from "./results/mount";
import { byId, h } from "./shared/dom";
import { startTheme } from "./shared/theme";
import { startToasts } from "./shared/toast";

type Mount = (root: HTMLElement, start: unknown) => void;

const mounts: Readonly<Record<string, Mount>> = {
  demo: demo.mount,
  editors: editors.mount,
  gallery: gallery.mount,
  results: results.mount,
};

function main(): void {
  startTheme();
  startToasts();
  const start: unknown = JSON.parse(byId("start").textContent ?? "");
  const kind = String((start as { kind?: unknown }).kind);
  const root = byId("root");
  const mount = Object.hasOwn(mounts, kind) ? mounts[kind] : undefined;
  root.replaceChildren();
  if (mount) mount(root, start);
  else root.append(h("p", { role: "alert" }, `This page has no view of the kind ${kind}.`));
}

main();
