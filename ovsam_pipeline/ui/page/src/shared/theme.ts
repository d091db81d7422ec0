/** Light and dark: as the system has it, or as chosen by the switch. */
import { h } from "./dom";

type Theme = "light" | "dark";
const KEY = "ovsam-theme";

/** Applies the theme that was chosen before; without one the system's counts. */
export function startTheme(): void {
  apply(readChoice());
}

/** Returns a button that switches between light and dark, and remembers it. */
export function buildThemeSwitch(): HTMLButtonElement {
  const button = h("button", {
    type: "button",
    class: "quiet",
    "data-testid": "theme",
    onclick: () => {
      const other = current() === "dark" ? "light" : "dark";
      apply(other);
      keepChoice(other);
      name();
    },
  });
  const name = (): void => {
    const other = current() === "dark" ? "light" : "dark";
    button.replaceChildren(other === "dark" ? "Dark" : "Light");
    button.setAttribute("aria-label", `Switch to the ${other} theme`);
  };
  name();
  return button;
}

function current(): Theme {
  const set = document.documentElement.dataset["theme"];
  if (set === "light" || set === "dark") return set;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function apply(theme: Theme | null): void {
  if (theme) document.documentElement.dataset["theme"] = theme;
  else delete document.documentElement.dataset["theme"];
}

// Pages opened from files, and private windows, may have no storage.
function readChoice(): Theme | null {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === "light" || kept === "dark" ? kept : null;
  } catch {
    return null;
  }
}

function keepChoice(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Then it lasts until the page is closed.
  }
}
