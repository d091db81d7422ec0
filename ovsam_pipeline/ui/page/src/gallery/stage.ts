/** One picture of the large view with its objects. */
import { describe, getBytes } from "../shared/api";
import { h, svg } from "../shared/dom";
import { Overlay } from "../shared/overlay";
import type { DrawnObject, ImageRow } from "./source";
import type { Stage } from "./zoom";

export interface Shown {
  readonly masks: boolean;
  readonly boxes: boolean;
  readonly names: boolean;
  readonly others: boolean;
}

export interface StageOptions {
  readonly address: string;
  readonly caption: string | null;
  readonly objects: readonly DrawnObject[] | null;
  readonly onSelect: (object: DrawnObject) => void;
}

export class PictureStage implements Stage {
  readonly element: HTMLElement;
  readonly overlay: Overlay;

  constructor(
    image: ImageRow,
    private readonly options: StageOptions,
  ) {
    const [width, height] = [image.width ?? 1, image.height ?? 1];
    this.overlay = new Overlay({ width, height, onSelect: (object) => options.onSelect(object) });
    const picture = svg("image", { href: options.address, width, height, preserveAspectRatio: "none" });
    picture.addEventListener("error", () => void this.explain());
    this.element = h(
      "div",
      { class: "stage", "data-testid": "stage" },
      options.caption === null ? null : h("p", { class: "stage-caption" }, h("bdi", {}, options.caption)),
    );
    this.element.prepend(this.overlay.element);
    this.setObjects(options.objects ?? []);
    // Below the masks, in the same frame: one zoom moves both.
    this.overlay.element.prepend(picture);
    if (options.objects === null) this.tell("This run does not have the image.");
    if (options.address === "") this.tell("There is no picture of this image here.");
  }

  setObjects(objects: readonly DrawnObject[]): void {
    this.overlay.setObjects(objects);
    const differing = new Set(objects.filter((object) => object.differs).map((object) => object.key));
    for (const group of this.overlay.element.querySelectorAll<SVGGElement>("[data-key]")) {
      group.classList.toggle("differs", differing.has(group.dataset["key"] ?? ""));
    }
  }

  show(shown: Shown): void {
    this.overlay.setVisible({ masks: shown.masks, boxes: shown.boxes });
    this.overlay.setNames(shown.names ? "all" : "active");
    this.overlay.element.classList.toggle("no-others", !shown.others);
  }

  private tell(sentence: string): void {
    this.element.append(h("p", { class: "stage-problem", role: "status", "data-testid": "stage-problem" }, sentence));
  }

  /** An image element does not tell why it failed; the server does. */
  private async explain(): Promise<void> {
    const { address } = this.options;
    if (address === "" || !this.element.isConnected) return;
    try {
      await getBytes(address);
      this.tell("The picture cannot be shown.");
    } catch (error) {
      this.tell(describe(error));
    }
  }
}
