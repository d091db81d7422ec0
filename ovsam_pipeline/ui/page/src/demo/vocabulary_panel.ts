// The names that objects can get: typed, a built-in list, and classes shown by examples.

import { h } from "../shared/dom";
import type { BuiltIn, Example, Vocabulary } from "./server";

export interface VocabularyActions {
  /** Use typed names; the answer is a sentence on what went wrong, or null. */
  useNames(text: string): void;
  useBuiltIn(name: string): void;
  removeExample(example: Example): void;
}

export class VocabularyPanel {
  readonly element: HTMLElement;
  private readonly text = h("textarea", {
    class: "field",
    rows: "4",
    spellcheck: "false",
    "aria-label": "Names, separated by commas or lines",
    "data-testid": "vocabulary",
  });
  private readonly lists = h("select", { "aria-label": "Built-in list", "data-testid": "built-in" });
  private readonly status = h("p", { class: "about", role: "status", "data-testid": "vocabulary-status" });
  private readonly examples = h("ul", { class: "examples", "data-testid": "examples" });
  private readonly examplesTitle = h("h3", { hidden: true }, "Classes by examples");

  constructor(
    private readonly actions: VocabularyActions,
    builtIns: readonly BuiltIn[],
  ) {
    const apply = h("button", { type: "submit", "data-testid": "apply-vocabulary" }, "Use these names");
    const form = h("form", { class: "stack" }, this.text, h("div", { class: "line" }, apply, this.lists));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      actions.useNames(this.text.value);
    });
    this.text.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    });
    this.lists.append(
      h("option", { value: "" }, "or a list…"),
      ...builtIns.map(({ name, classes }) =>
        h("option", { value: name }, `${name} (${classes.toLocaleString("en")})`),
      ),
    );
    this.lists.addEventListener("change", () => {
      if (this.lists.value !== "") actions.useBuiltIn(this.lists.value);
    });
    this.element = h(
      "section",
      { class: "demo-panel", "aria-labelledby": "vocabulary-title" },
      h("h2", { id: "vocabulary-title" }, "Names to choose from"),
      form,
      this.status,
      this.examplesTitle,
      this.examples,
    );
  }

  showText(text: string, classes: number): void {
    this.text.value = text;
    this.status.textContent = countClasses(classes);
  }

  showBusy(): void {
    this.status.classList.remove("is-error");
    this.status.textContent = "Reading the names…";
  }

  showVocabulary(vocabulary: Vocabulary, builtIn: string | null): void {
    if (builtIn !== null) this.text.value = vocabulary.names.slice(0, SHOWN).join(", ");
    if (builtIn !== null && vocabulary.classes > SHOWN) this.text.value = builtIn;
    if (builtIn === null) this.lists.value = "";
    this.status.classList.remove("is-error");
    this.status.textContent = `${countClasses(vocabulary.classes)}, ${vocabulary.seconds.toFixed(1)} s`;
  }

  showError(sentence: string): void {
    this.status.classList.add("is-error");
    this.status.textContent = sentence;
    // The names of before go on: a list that was refused is not chosen.
    this.lists.value = "";
  }

  showExamples(examples: readonly Example[]): void {
    this.examplesTitle.hidden = examples.length === 0;
    this.examples.replaceChildren(...examples.map((example) => this.buildExample(example)));
  }

  private buildExample(example: Example): HTMLElement {
    const remove = h(
      "button",
      { type: "button", class: "plain icon", "aria-label": `Remove this example of ${example.name}` },
      "×",
    );
    remove.addEventListener("click", () => this.actions.removeExample(example));
    return h("li", { class: "shown-example" }, h("bdi", { class: "name-text" }, example.name), remove);
  }
}

/** Longer built-in lists are shown by their name. */
const SHOWN = 100;

function countClasses(classes: number): string {
  return classes === 1 ? "1 class" : `${classes.toLocaleString("en")} classes`;
}
