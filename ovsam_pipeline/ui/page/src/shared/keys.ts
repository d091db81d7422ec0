/** Keys of a view, and the dialog that lists them. */
import { h } from "./dom";

export interface Key {
  /** As KeyboardEvent.key has it; letters in lower case, with "Shift+" before the others where needed. */
  readonly key: string;
  readonly about: string;
  readonly run: (event: KeyboardEvent) => void;
  /** Listed under this text instead of the key's name; empty: not listed. */
  readonly shown?: string;
}

const NAMES: Readonly<Record<string, string>> = {
  " ": "Space",
  ArrowLeft: "←",
  ArrowRight: "→",
  ArrowUp: "↑",
  ArrowDown: "↓",
  Escape: "Esc",
};

/**
 * Listens to keys until the returned function is called. Keys typed into a field, with Ctrl, Alt or
 * Meta, or while a modal dialog is open that `within` is not a part of, are left alone. `?` lists them.
 */
export function listenToKeys(keys: readonly Key[], within: HTMLElement = document.body): () => void {
  const map = new Map(keys.map((key) => [key.key, key]));
  const handle = (event: KeyboardEvent): void => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    if (isTyping(event.target) || isBehindDialog(within)) return;
    if (isPressing(event)) return;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (name === "?") {
      event.preventDefault();
      showKeys(keys);
      return;
    }
    const found = (event.shiftKey ? map.get(`Shift+${name}`) : undefined) ?? map.get(name);
    if (!found) return;
    event.preventDefault();
    found.run(event);
  };
  document.addEventListener("keydown", handle);
  return () => document.removeEventListener("keydown", handle);
}

/** Opens the dialog that lists keys. */
export function showKeys(keys: readonly Key[]): void {
  const rows = keys
    .filter((key) => key.shown !== "")
    .map((key) =>
      h("tr", {}, h("td", {}, h("kbd", {}, key.shown ?? nameKey(key.key))), h("td", {}, key.about)),
    );
  const close = h("button", { type: "button", onclick: () => dialog.close() }, "Close");
  const dialog = h(
    "dialog",
    { class: "keys", "aria-label": "Keys", "data-testid": "keys", onclose: () => dialog.remove() },
    h("h2", {}, "Keys"),
    h("table", {}, h("tbody", {}, ...rows)),
    h("p", {}, close),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function nameKey(key: string): string {
  return key
    .split("+")
    .map((part) => NAMES[part] ?? (part.length === 1 ? part.toUpperCase() : part))
    .join("+");
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.isContentEditable || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement) return true;
  return target instanceof HTMLInputElement && !["checkbox", "radio", "button", "range"].includes(target.type);
}

/** Whether a key presses the button or follows the link that has the focus. */
function isPressing(event: KeyboardEvent): boolean {
  const isPress = event.key === "Enter" || event.key === " ";
  return isPress && event.target instanceof Element && event.target.closest("button, a, summary") !== null;
}

function isBehindDialog(within: HTMLElement): boolean {
  const open = [...document.querySelectorAll("dialog:modal")].at(-1);
  return open !== undefined && !open.contains(within);
}
