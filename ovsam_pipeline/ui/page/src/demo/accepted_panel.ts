// The list of accepted objects of the open image: rename, remove; pointing at one highlights it.

import { h } from "../shared/dom";
import type { DrawnObject } from "../shared/types";

const COPIED_MS = 1500;

export interface AcceptedActions {
  highlight(key: string | null): void;
  rename(object: DrawnObject, category: string): void;
  /** Whether removing an object can be undone. */
  canRestore(object: DrawnObject): boolean;
  remove(object: DrawnObject): void;
  writeAnnotations(): void;
}

export class AcceptedPanel {
  readonly element: HTMLElement;
  private readonly list = h("ul", { class: "demo-objects", "data-testid": "accepted" });
  private readonly empty = h("p", { class: "hint" }, "None in this image yet.");
  private readonly count = h("span", { class: "demo-count" });

  constructor(
    private readonly actions: AcceptedActions,
    output: string,
  ) {
    this.element = h(
      "section",
      { class: "demo-panel", "aria-labelledby": "accepted-title" },
      h("h2", { id: "accepted-title" }, "Accepted ", this.count),
      this.empty,
      this.list,
      h("p", { class: "hint" }, "They are kept in ", h("code", {}, output), "; to export them:"),
      buildCommand("ovsam export", quote(output), "--format yolo"),
      h(
        "button",
        { type: "button", "data-testid": "write", onclick: () => actions.writeAnnotations() },
        "Write annotations.json now",
      ),
    );
  }

  show(objects: readonly DrawnObject[]): void {
    this.empty.hidden = objects.length > 0;
    this.count.textContent = objects.length > 0 ? String(objects.length) : "";
    this.list.replaceChildren(...objects.map((object) => this.buildRow(object)));
  }

  private buildRow(object: DrawnObject): HTMLElement {
    const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
    swatch.style.setProperty("--colour", object.colour);
    const row = h("li", { class: "demo-object", "data-testid": "accepted-object" });
    const name = h(
      "button",
      { type: "button", class: "plain", title: "Rename", "aria-label": `Rename ${object.category}` },
      h("bdi", {}, object.category),
    );
    name.addEventListener("click", () => this.startRenaming(row, object));
    const remove = h(
      "button",
      { type: "button", class: "plain icon", "aria-label": `Remove ${object.category}`, title: "Remove" },
      "×",
    );
    let isSure = this.actions.canRestore(object);
    remove.addEventListener("click", () => {
      if (isSure) return this.actions.remove(object);
      // Nothing brings it back: ask once more.
      isSure = true;
      remove.textContent = "Remove?";
    });
    row.append(swatch, name, remove);
    const { highlight } = this.actions;
    for (const event of ["pointerenter", "focusin"]) {
      row.addEventListener(event, () => highlight(object.key));
    }
    for (const event of ["pointerleave", "focusout"]) {
      row.addEventListener(event, () => highlight(null));
    }
    return row;
  }

  /** Turn a row into a field: Enter renames, Escape or leaving it does not. */
  private startRenaming(row: HTMLElement, object: DrawnObject): void {
    const field = h("input", {
      type: "text",
      class: "field",
      list: "names",
      maxlength: "200",
      autocomplete: "off",
      "aria-label": `New name of ${object.category}`,
      "data-testid": "rename-accepted",
    });
    field.value = object.category;
    const before = [...row.childNodes];
    const stop = (): void => {
      if (field.isConnected) row.replaceChildren(...before);
    };
    field.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Escape") stop();
      if (event.key !== "Enter") return;
      const name = field.value.trim();
      stop();
      if (name !== "" && name !== object.category) this.actions.rename(object, name);
    });
    field.addEventListener("blur", stop);
    row.replaceChildren(field);
    field.focus();
    field.select();
  }
}

/** A command to type, with a button that copies it; a line may break in the path, not in an option. */
function buildCommand(command: string, path: string, options: string): HTMLElement {
  const text = `${command} ${path} ${options}`;
  const copy = h("button", { type: "button", "aria-label": "Copy the command" }, "Copy");
  // Browsers give the clipboard to pages of this machine only.
  copy.hidden = !window.isSecureContext;
  copy.addEventListener("click", () => {
    void navigator.clipboard.writeText(text).then(() => {
      copy.textContent = "Copied";
      setTimeout(() => (copy.textContent = "Copy"), COPIED_MS);
    });
  });
  const whole = (part: string): HTMLElement => h("span", {}, part);
  const shown = [whole(command), ` ${path} `, whole(options)];
  return h("div", { class: "line" }, h("code", { class: "command", "data-testid": "export" }, ...shown), copy);
}

/** Quote a path for a shell where it needs that. */
function quote(path: string): string {
  return /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}
