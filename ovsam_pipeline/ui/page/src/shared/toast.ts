/** Short messages at the lower edge, read out by screen readers. */
import { h } from "./dom";

const SECONDS = { status: 5, error: 12 };
let regions: { status: HTMLElement; error: HTMLElement } | undefined;

/** Makes the regions: screen readers watch only those that were there before their texts. */
export function startToasts(): void {
  findRegions();
}

/** What can be done about what a toast says. */
export interface ToastAction {
  readonly text: string;
  readonly run: () => void;
}

/** Says what happened; it goes after some seconds. An action takes the place of the one before. */
export function say(text: string, action?: ToastAction): void {
  show(text, "status", action);
}

/** Says what went wrong; read out at once, stays longer, can be closed. */
export function sayError(text: string): void {
  show(text, "error");
}

function show(text: string, kind: "status" | "error", action?: ToastAction): void {
  const region = findRegions()[kind];
  const close = h("button", { type: "button", class: "toast-close", "aria-label": "Dismiss", onclick: () => toast.remove() }, "×");
  const toast = h("div", { class: `toast toast-${kind}`, "data-testid": `toast-${kind}` }, h("span", {}, text));
  if (action) {
    for (const old of region.querySelectorAll(".has-action")) old.remove();
    toast.classList.add("has-action");
    const run = (): void => {
      toast.remove();
      action.run();
    };
    toast.append(h("button", { type: "button", class: "toast-action", "data-testid": "toast-action", onclick: run }, action.text));
  }
  toast.append(close);
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
