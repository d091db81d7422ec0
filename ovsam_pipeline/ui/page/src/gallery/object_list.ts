/** The objects of one image by risk: of this run, and those in which another run differs. */
import { h } from "../shared/dom";
import { buildChip } from "../shared/overlay";
import { formatShare } from "./format";
import type { DrawnObject } from "./source";

export class ObjectList {
  readonly element = h("ol", { class: "objects", "aria-label": "Objects by risk" });

  /** `onRestore` brings back what was rejected; null: nothing can be. */
  constructor(
    private readonly onPick: (object: DrawnObject) => void,
    private readonly onRestore: ((object: DrawnObject) => void) | null,
  ) {}

  /** Shows objects; `others` are the different ones of a run called `otherName`, `notes` come first. */
  show(
    objects: readonly DrawnObject[],
    rejected: readonly DrawnObject[],
    others: readonly DrawnObject[],
    otherName: string,
    notes: readonly string[],
  ): void {
    const title = others.length > 0 ? [h("li", { class: "muted" }, h("bdi", {}, `Different in ${otherName}`))] : [];
    this.element.replaceChildren(
      ...notes.map((note) => h("li", { class: "muted" }, note)),
      ...objects.map((object) => this.buildRow(object, false)),
      ...rejected.map((object) => this.buildRejected(object)),
      ...title,
      ...others.map((object) => this.buildRow(object, true)),
    );
  }

  /** Marks one object; null for none. */
  select(object: DrawnObject | null, isOther: boolean): void {
    for (const row of this.element.querySelectorAll<HTMLElement>(".object-row")) {
      const number = isOther ? row.dataset["other"] : row.dataset["number"];
      const isSelected = object !== null && number === String(object.number);
      if (isSelected) {
        row.setAttribute("aria-current", "true");
        row.scrollIntoView({ block: "nearest" });
      } else {
        row.removeAttribute("aria-current");
      }
    }
  }

  private buildRejected(object: DrawnObject): HTMLElement {
    const restore = this.onRestore;
    const name = `Restore ${object.category}`;
    return h(
      "li",
      { class: "rejected-row", "data-testid": "rejected-row" },
      h("s", {}, buildChip(object.category, object.colour)),
      h("span", { class: "muted" }, object.reviewed_by === null ? "rejected" : `rejected by ${object.reviewed_by}`),
      restore === null
        ? null
        : h(
            "button",
            { type: "button", "aria-label": name, "data-testid": "restore", onclick: () => restore(object) },
            "Restore",
          ),
    );
  }

  private buildRow(object: DrawnObject, isOther: boolean): HTMLElement {
    const facts = [
      object.differs && !isOther ? "differs" : "",
      object.risk === null ? "" : `risk ${formatShare(object.risk)}`,
      object.verdict === null ? "" : "✓",
    ];
    const button = h(
      "button",
      {
        type: "button",
        class: object.differs ? "object-row differs" : "object-row",
        "data-testid": isOther ? "other-row" : "object-row",
        "data-number": isOther ? null : object.number,
        "data-other": isOther ? object.number : null,
        onclick: () => this.onPick(object),
      },
      buildChip(object.category, object.colour),
      h("span", { class: "muted" }, facts.filter(Boolean).join(" · ")),
    );
    return h("li", {}, button);
  }
}
