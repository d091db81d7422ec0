// The strip of images: a virtual list, as there may be thousands; a column, or a row on phones.

import { h } from "../shared/dom";

export interface StripImage {
  readonly row: number;
  readonly file_name: string;
}

/** Side of an item in page pixels, as in demo.css. */
const ITEM = 96;
/** Items drawn beyond the visible ones, on each side. */
const SPARE = 3;
const THUMBNAIL_SIDE = 192;

export class Strip {
  readonly element: HTMLElement;
  private readonly list: HTMLElement;
  private readonly items = new Map<number, HTMLElement>();
  private readonly counts = new Map<number, number>();
  private images: readonly StripImage[] = [];
  private current = -1;

  constructor(private readonly onChoose: (row: number) => void) {
    this.list = h("div", { class: "strip-list", role: "presentation" });
    this.element = h(
      "div",
      {
        class: "strip",
        role: "listbox",
        tabindex: "0",
        "aria-label": "Images",
        "data-testid": "strip",
      },
      this.list,
    );
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.onKey(event));
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(images: readonly StripImage[]): void {
    this.images = images;
    this.items.forEach((item) => item.remove());
    this.items.clear();
    this.element.hidden = images.length === 0;
    this.draw();
  }

  /** Mark the image of a row as the current one and scroll it into sight. */
  choose(row: number): void {
    this.current = this.images.findIndex((image) => image.row === row);
    if (this.current < 0) return;
    const { start, length } = this.window();
    const from = this.current * ITEM;
    if (from < start) this.scrollTo(from);
    if (from + ITEM > start + length) this.scrollTo(from + ITEM - length);
    this.draw();
    this.items.forEach((item, index) => this.mark(item, index));
  }

  /** Show how many objects of a row are accepted. */
  count(row: number, accepted: number): void {
    this.counts.set(row, accepted);
    const index = this.images.findIndex((image) => image.row === row);
    const item = this.items.get(index);
    if (item !== undefined) this.mark(item, index);
  }

  private get isRow(): boolean {
    return getComputedStyle(this.element).getPropertyValue("--strip-axis").trim() === "x";
  }

  private window(): { start: number; length: number } {
    return this.isRow
      ? { start: this.element.scrollLeft, length: this.element.clientWidth }
      : { start: this.element.scrollTop, length: this.element.clientHeight };
  }

  private scrollTo(start: number): void {
    if (this.isRow) this.element.scrollLeft = start;
    else this.element.scrollTop = start;
  }

  /** Keep elements for the images in sight only. */
  private draw(): void {
    const total = `${this.images.length * ITEM}px`;
    this.list.style.width = this.isRow ? total : "";
    this.list.style.height = this.isRow ? "" : total;
    const { start, length } = this.window();
    const first = Math.max(0, Math.floor(start / ITEM) - SPARE);
    const end = Math.min(this.images.length, Math.ceil((start + length) / ITEM) + SPARE);
    for (const [index, item] of this.items) {
      if (index >= first && index < end) continue;
      item.remove();
      this.items.delete(index);
    }
    for (let index = first; index < end; index++) {
      const image = this.images[index];
      if (image === undefined) continue;
      const item = this.items.get(index) ?? this.build(image, index);
      item.style.left = this.isRow ? `${index * ITEM}px` : "";
      item.style.top = this.isRow ? "" : `${index * ITEM}px`;
    }
  }

  private build(image: StripImage, index: number): HTMLElement {
    const picture = h("img", {
      src: `thumbnail/${image.row}?side=${THUMBNAIL_SIDE}`,
      alt: "",
      draggable: "false",
    });
    // The thumbnail may be gone or unreadable: the name is left.
    picture.addEventListener("error", () => picture.remove());
    const item = h(
      "div",
      {
        class: "strip-item",
        role: "option",
        id: `image-${image.row}`,
        title: image.file_name,
        "aria-setsize": String(this.images.length),
        "aria-posinset": String(index + 1),
        "data-testid": "strip-item",
      },
      picture,
      h("span", { class: "strip-name" }, image.file_name),
      h("span", { class: "strip-count" }),
    );
    item.addEventListener("click", () => this.onChoose(image.row));
    this.items.set(index, item);
    this.list.append(item);
    this.mark(item, index);
    return item;
  }

  private mark(item: HTMLElement, index: number): void {
    const image = this.images[index];
    if (image === undefined) return;
    const isCurrent = index === this.current;
    const accepted = this.counts.get(image.row) ?? 0;
    item.setAttribute("aria-selected", String(isCurrent));
    const spoken = accepted > 0 ? `${image.file_name}, ${accepted} accepted` : image.file_name;
    item.setAttribute("aria-label", spoken);
    const badge = item.querySelector(".strip-count");
    if (badge !== null) badge.textContent = accepted > 0 ? String(accepted) : "";
    if (isCurrent) this.element.setAttribute("aria-activedescendant", item.id);
  }

  private onKey(event: KeyboardEvent): void {
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowRight: 1,
      ArrowUp: -1,
      ArrowLeft: -1,
      Home: -this.images.length,
      End: this.images.length,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    const index = Math.min(Math.max(this.current + step, 0), this.images.length - 1);
    const image = this.images[index];
    if (image !== undefined) this.onChoose(image.row);
  }
}
