/** Short messages at the lower edge, read out by screen readers. */
import { h } from "./dom";

const SECONDS = { status: 5, error: 12 };
let regions: { status: HTMLElement; error: HTMLElement } | undefined;

/** Makes the regions: screen readers watch only those that were there before their texts. */
export function startToasts(): void {
  findRegions();
}

/** Says what happened; it goes after some seconds. */
export function say(text: string): void {
  show(text, "status");
}

/** Says what went wrong; read out at once, stays longer, can be closed. */
export function sayError(text: string): void {
  show(text, "error");
}

function show(text: string, kind: "status" | "error"): void {
  const region = findRegions()[kind];
  const close = h("button", { type: "button", class: "toast-close", "aria-label": "Dismiss", onclick: () => toast.remove() }, "×");
  const toast = h("div", { class: `toast toast-${kind}`, "data-testid": `toast-${kind}` }, h("span", {}, text), close);
  while (region.childElementCount >= 3) region.firstElementChild?.remove();
  region.append(toast);
  setTimeout(() => toast.remove(), SECONDS[kind] * 1000);
}

function findRegions(): { status: HTMLElement; error: HTMLElement } {
  if (!regions || !regions.status.isConnected) {
    regions = { status: h("div", { "aria-live": "polite" }), error: h("div", { "aria-live": "assertive" }) };
    document.body.append(h("div", { class: "toasts" }, regions.error, regions.status));
  }
  // A modal dialog hides what lies outside it.
  const host = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
  const box = regions.status.parentElement as HTMLElement;
  if (box.parentElement !== host) host.append(box);
  return regions;
}
