/** The field for another name of an object, which completes the names of known classes. */
import { h } from "../shared/dom";
import { sayError } from "../shared/toast";

export interface RenameOptions {
  readonly categories: readonly { readonly name: string }[];
  readonly onName: (name: string) => void;
  /** Called when the field is left without a name. */
  readonly onLeave: () => void;
}

export class RenameForm {
  readonly element: HTMLFormElement;
  private readonly field = h("input", {
    list: "category-names",
    "aria-label": "New name",
    autocomplete: "off",
    "data-testid": "rename-field",
  });
  private readonly names = h("datalist", { id: "category-names" });

  constructor(private readonly options: RenameOptions) {
    this.field.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.preventDefault(); // closes the field, not the dialog around it
      this.close();
    });
    this.element = h(
      "form",
      { class: "rename", hidden: true },
      this.field,
      h("button", { class: "primary", type: "submit" }, "Rename"),
      this.names,
    );
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
  }

  /** Asks for another name than the present one. */
  open(present: string): void {
    const { categories } = this.options;
    if (this.names.childElementCount !== categories.length) {
      this.names.replaceChildren(...categories.map(({ name }) => h("option", { value: name })));
    }
    this.element.hidden = false;
    this.field.value = present;
    this.field.focus();
    this.field.select();
  }

  close(): void {
    if (this.element.hidden) return;
    this.element.hidden = true;
    this.options.onLeave();
  }

  private submit(): void {
    const name = this.field.value.trim();
    if (name === "") sayError("expected a name; type one, or press Esc");
    else this.options.onName(name);
  }
}
