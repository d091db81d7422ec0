/** Masks, boxes and names of objects, drawn over an image. */
import { h, svg } from "./dom";
import type { DrawnObject } from "./types";

export interface OverlayOptions {
  /** Size of the original image, in pixels: the frame of all paths and boxes. */
  readonly width: number;
  readonly height: number;
  readonly onHover?: (object: DrawnObject | null) => void;
  readonly onSelect?: (object: DrawnObject, event: MouseEvent) => void;
  /** Names beside objects: of all, of the hovered and selected ones (default), or none. */
  readonly names?: Names;
}

/** Of a name's plate, in pixels of the screen; how far the next try lies below, in heights; tries. */
const LABEL_HEIGHT = 18;
const LABEL_STEP = 1.1;
const MOST_MOVES = 20;

export type Names = "all" | "active" | "none";

export interface View {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

interface Drawn {
  readonly object: DrawnObject;
  readonly group: SVGGElement;
  readonly label: SVGGElement;
}

/**
 * An <svg> to lay over an <img> of the same frame (both `position: absolute; inset: 0`, the image with
 * `object-fit: contain`). Zoom and pan by `setView`; strokes and names keep their size on screen.
 */
export class Overlay {
  readonly element: SVGSVGElement;
  private drawn: Drawn[] = [];
  private readonly masks = svg("g");
  private readonly labels = svg("g", { class: "overlay-labels" });
  private selected: string | null = null;
  private hovered: string | null = null;
  private names: Names;
  private readonly sizes = new ResizeObserver(() => this.placeLabels());

  constructor(private readonly options: OverlayOptions) {
    this.names = options.names ?? "active";
    this.element = svg("svg", {
      class: "overlay",
      viewBox: `0 0 ${options.width} ${options.height}`,
      preserveAspectRatio: "xMidYMid meet",
      "data-testid": "overlay",
      "aria-hidden": "true",
    });
    this.element.append(this.masks, this.labels);
    this.sizes.observe(this.element);
  }

  /** Replaces what is drawn; large objects lie below small ones. */
  setObjects(objects: readonly DrawnObject[]): void {
    const area = (o: DrawnObject): number => o.bbox[2] * o.bbox[3];
    const order = [...objects].sort((a, b) => area(b) - area(a));
    this.drawn = order.map((object) => ({ object, group: this.drawObject(object), label: drawLabel(object) }));
    this.masks.replaceChildren(...this.drawn.map((d) => d.group));
    this.labels.replaceChildren(...this.drawn.map((d) => d.label));
    this.mark();
  }

  /** Marks one object by its key; null for none. */
  setSelected(key: string | null): void {
    this.selected = key;
    this.mark();
  }

  /** Chooses which objects show their names. */
  setNames(names: Names): void {
    this.names = names;
    this.mark();
  }

  /** Shows or hides masks and boxes. */
  setVisible(what: { readonly masks?: boolean; readonly boxes?: boolean }): void {
    if (what.masks !== undefined) this.element.classList.toggle("no-masks", !what.masks);
    if (what.boxes !== undefined) this.element.classList.toggle("with-boxes", what.boxes);
  }

  /** Shows a part of the image, in its pixels. */
  setView(view: View): void {
    this.element.setAttribute("viewBox", `${view.x} ${view.y} ${view.width} ${view.height}`);
    this.placeLabels();
  }

  /** Returns the point of the original image under a pointer; null outside it. */
  toImage(event: { readonly clientX: number; readonly clientY: number }): { x: number; y: number } | null {
    const matrix = this.element.getScreenCTM();
    if (!matrix) return null;
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    return x < 0 || y < 0 || x >= this.options.width || y >= this.options.height ? null : { x, y };
  }

  /** Returns how many pixels of the screen one of the image has. */
  scale(): number {
    return this.element.getScreenCTM()?.a ?? 1;
  }

  /** Stops watching the size; call it when the overlay is removed. */
  destroy(): void {
    this.sizes.disconnect();
    this.element.remove();
  }

  private drawObject(object: DrawnObject): SVGGElement {
    const [x, y, width, height] = object.bbox;
    const group = svg("g", {
      class: `object${object.path ? "" : " is-box"}${isRejected(object) ? " is-rejected" : ""}`,
      color: object.colour,
      "data-key": object.key,
      onpointerenter: () => this.hover(object),
      onpointerleave: () => this.hover(null),
      onclick: (event: MouseEvent) => this.options.onSelect?.(object, event),
    });
    if (object.path) {
      // A hairline in the ground's opposite below the outline: it shows on any picture.
      group.append(svg("path", { class: "rim", d: object.path, "fill-rule": "evenodd" }));
      group.append(svg("path", { class: "mask", d: object.path, "fill-rule": "evenodd" }));
    }
    group.append(svg("rect", { class: "box", x, y, width, height }));
    return group;
  }

  private hover(object: DrawnObject | null): void {
    this.hovered = object?.key ?? null;
    this.mark();
    this.options.onHover?.(object);
  }

  private mark(): void {
    for (const { object, group, label } of this.drawn) {
      const isActive = object.key === this.selected || object.key === this.hovered;
      group.classList.toggle("is-selected", object.key === this.selected);
      group.classList.toggle("is-hovered", object.key === this.hovered);
      const isShown = this.names === "all" || (this.names === "active" && isActive);
      label.classList.toggle("is-hidden", !isShown);
      label.classList.toggle("is-active", isActive);
      if (isActive) this.labels.append(label);
    }
    this.placeLabels();
  }

  /** Puts names above their objects at the size of text on screen, inside the view, clear of each other. */
  private placeLabels(): void {
    const scale = this.scale();
    const view = this.element.viewBox.baseVal;
    const taken: View[] = [];
    for (const { object, label } of this.drawn) {
      if (label.classList.contains("is-hidden")) continue;
      const text = label.lastElementChild as SVGTextElement;
      const width = text.getComputedTextLength() + 8;
      label.firstElementChild?.setAttribute("width", String(width));
      const size = { width: width / scale, height: LABEL_HEIGHT / scale };
      const x = clamp(object.bbox[0], view.x, view.x + view.width - size.width);
      const place = findFree({ ...size, x, y: object.bbox[1] - size.height }, taken, view);
      taken.push(place);
      label.setAttribute("transform", `translate(${place.x} ${place.y}) scale(${1 / scale})`);
    }
  }
}

/** Returns the first place from the wanted one down that covers no taken one; crowds end on top of others. */
function findFree(wanted: View, taken: readonly View[], view: View): View {
  const lowest = view.y + view.height - wanted.height;
  let place = { ...wanted, y: clamp(wanted.y, view.y, lowest) };
  for (let move = 1; move <= MOST_MOVES && taken.some((other) => overlap(place, other)); move++) {
    place = { ...place, y: clamp(wanted.y + move * LABEL_STEP * wanted.height, view.y, lowest) };
  }
  return place;
}

function overlap(one: View, other: View): boolean {
  const isBeside = one.x >= other.x + other.width || other.x >= one.x + one.width;
  return !isBeside && one.y < other.y + other.height && other.y < one.y + one.height;
}

/** Returns black or white: what reads better on a colour "#rrggbb" (WCAG's contrast). */
export function chooseInk(colour: string): "#000" | "#fff" {
  const part = (at: number): number => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5);
  return luminance > 0.179 ? "#000" : "#fff";
}

/** Returns a chip in the colour of a class with its name, for lists and panels. */
export function buildChip(name: string, colour: string): HTMLElement {
  const dot = h("span", { class: "chip-dot", "aria-hidden": "true" });
  dot.style.setProperty("background-color", colour);
  return h("span", { class: "chip" }, dot, h("bdi", {}, name || "no class"));
}

function drawLabel(object: DrawnObject): SVGGElement {
  const score = object.score === null ? "" : ` ${object.score.toFixed(2)}`;
  const name = object.category.length > 40 ? `${object.category.slice(0, 39)}…` : object.category;
  return svg(
    "g",
    { class: isRejected(object) ? "label is-rejected" : "label" },
    svg("rect", { height: LABEL_HEIGHT, rx: 3, fill: object.colour }),
    svg("text", { x: 4, y: 13, fill: chooseInk(object.colour) }, `${name}${score}`),
  );
}

/** A person said that it is no object. */
function isRejected(object: DrawnObject): boolean {
  return object.verdict === "rejected";
}

function clamp(value: number, least: number, most: number): number {
  return Math.max(least, Math.min(value, most));
}
