// The panel of the object that is being pointed out: its name, other names, what to do with it.

import { h } from "../shared/dom";
import type { Found } from "./server";

export interface CurrentActions {
  rename(category: string): void;
  accept(): void;
  clear(): void;
  addExample(name: string): void;
}

export class CurrentPanel {
  readonly element: HTMLElement;
  readonly field = h("input", {
    type: "text",
    class: "field",
    list: "names",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: "200",
    placeholder: "another name",
    "aria-label": "Another name for this object",
    "data-testid": "rename",
  });
  private readonly title = h("p", { class: "object-name", "data-testid": "current-name" });
  private readonly facts = h("p", { class: "about", "data-testid": "current-facts" });
  private readonly names = h("ol", { class: "names", "aria-label": "Names, best first" });
  private readonly exampleField = h("input", {
    type: "text",
    class: "field",
    list: "names",
    autocomplete: "off",
    spellcheck: "false",
    maxlength: "200",
    placeholder: "name of the class",
    "aria-label": "Class that this object is an example of",
    "data-testid": "example-name",
  });
  /** Name and buttons again, for phones: right below the image. */
  readonly quick: HTMLElement;
  private readonly quickName = h("bdi", { class: "name-text" });
  private readonly body: HTMLElement;
  private readonly hint: HTMLElement;

  constructor(actions: CurrentActions) {
    const form = h("form", { class: "line" }, this.field, h("button", { type: "submit" }, "Rename"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.field.value.trim();
      if (name !== "") actions.rename(name);
    });
    const example = h(
      "form",
      { class: "line" },
      this.exampleField,
      h("button", { type: "submit", "data-testid": "add-example" }, "Use as example"),
    );
    example.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = this.exampleField.value.trim();
      if (name === "") this.exampleField.focus();
      else actions.addExample(name);
    });
    this.names.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      const name = button?.getAttribute("data-name");
      if (name !== null && name !== undefined) actions.rename(name);
    });
    this.body = h(
      "div",
      { hidden: true },
      this.title,
      this.facts,
      this.names,
      form,
      h(
        "div",
        { class: "line" },
        button("Accept", "Enter", "accept", actions.accept, "primary"),
        button("Clear", "Esc", "clear", actions.clear),
      ),
      example,
    );
    this.quick = h(
      "div",
      { class: "quick line", hidden: true },
      this.quickName,
      h("button", { type: "button", class: "primary", onclick: actions.accept }, "Accept"),
      h("button", { type: "button", onclick: actions.clear }, "Clear"),
    );
    this.hint = h("p", { class: "hint" }, "Click an object in the image, or drag a box around it.");
    this.element = h(
      "section",
      { class: "demo-panel", "aria-labelledby": "current-title" },
      h("h2", { id: "current-title" }, "Object"),
      this.hint,
      this.body,
    );
  }

  /** Show an answer, or what to do where there is none. */
  show(found: Found | null, name: string | null): void {
    this.body.hidden = this.quick.hidden = found === null;
    this.hint.hidden = found !== null;
    if (found === null) {
      this.field.value = "";
      return;
    }
    this.title.textContent = this.quickName.textContent = name ?? "without a name";
    this.title.classList.toggle("is-unnamed", name === null);
    this.facts.textContent = describe(found);
    this.names.replaceChildren(
      ...found.names.map(({ category, score, ignored }) => {
        const isChosen = category === name;
        const bar = h("span", { class: "bar", "aria-hidden": "true" });
        bar.style.width = `${Math.round(100 * score)}%`;
        return h(
          "li",
          {},
          h(
            "button",
            {
              type: "button",
              class: "name",
              "aria-pressed": String(isChosen),
              "data-name": category,
              "data-testid": "name",
              title: category,
            },
            bar,
            h("bdi", { class: "name-text" }, category),
            ignored ? h("span", { class: "muted" }, "left out by label") : null,
            h("span", { class: "name-score" }, score.toFixed(2)),
          ),
        );
      }),
    );
  }
}

function describe(found: Found): string {
  const facts = [];
  if (found.mask_score !== null) facts.push(`mask stability ${found.mask_score.toFixed(2)}`);
  if (found.risk !== null) facts.push(`risk ${found.risk.toFixed(2)}`);
  if (found.reason !== null && found.reason !== "") facts.push(found.reason);
  return facts.join(" · ");
}

function button(
  text: string,
  key: string,
  testId: string,
  onClick: () => void,
  look = "",
): HTMLButtonElement {
  const element = h(
    "button",
    { type: "button", class: look, "data-testid": testId },
    text,
    h("kbd", { "aria-hidden": "true" }, key),
  );
  element.addEventListener("click", onClick);
  return element;
}
