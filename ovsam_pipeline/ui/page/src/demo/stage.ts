// The image with everything drawn on it: accepted masks, the current one, previews and prompts.

import { h, svg } from "../shared/dom";
import { Overlay } from "../shared/overlay";
import type { DrawnObject } from "../shared/types";
import { EMPTY, type Box, type Prompt, type Size, type XY } from "./prompt";
import type { Stroke } from "./scribble";
import { Viewport } from "./viewport";

/** What follows the pointer. */
export interface Pointer {
  readonly at: XY;
  /** Diameter of the brush in page pixels, or null for no brush. */
  readonly brush: number | null;
}

const POINT_RADIUS = 6;
/** Page pixels a pixel of the picture from which on single ones are worth seeing. */
const MAGNIFIED = 6;

export class Stage {
  readonly element: HTMLElement;
  private picture = h("img", { class: "picture", alt: "" });
  // Two drawings: masks scale with the image, marks keep their size at every zoom.
  private readonly masks = svg("svg", { class: "mask-layer", "aria-hidden": "true" });
  private readonly marks = svg("svg", { class: "marks", "aria-hidden": "true" });
  private readonly frame = h("div", { class: "picture-frame" }, this.picture, this.masks);
  private readonly plate = h("span", { class: "plate", "data-testid": "hover-name", hidden: true });
  private readonly layers = {
    strokes: svg("g", { class: "strokes" }),
    current: svg("g", { class: "current", "data-testid": "current-mask" }),
    hover: svg("g", { class: "hover", "data-testid": "hover-mask" }),
  };
  private accepted: Overlay | null = null;
  private view: Viewport | null = null;
  private size: Size = { width: 1, height: 1 };
  private prompt: Prompt = EMPTY;
  private draft: { box: Box | null; stroke: Stroke | null } = { box: null, stroke: null };
  private crosshair: XY | null = null;
  private pointer: Pointer | null = null;
  private hoverText = "";

  constructor() {
    const { strokes, current, hover } = this.layers;
    this.masks.append(strokes, current, hover);
    this.element = h(
      "div",
      {
        class: "demo-stage",
        tabindex: "0",
        role: "application",
        "aria-label": "Image",
        "aria-roledescription": "image to segment",
        "aria-describedby": "stage-help",
        "data-testid": "stage",
      },
      this.frame,
      this.marks,
      this.plate,
    );
    new ResizeObserver(() => {
      this.view?.resize(this.room());
      this.draw();
    }).observe(this.element);
  }

  /** Show an image of a size; its picture may have fewer pixels. */
  show(address: string, name: string, size: Size): void {
    this.size = size;
    this.frame.hidden = false;
    // A new element: an old one shows its picture until the new one is there.
    const onload = (): void => this.draw();
    const picture = h("img", { class: "picture", src: address, alt: name, draggable: "false", onload });
    this.element.setAttribute("aria-label", `Image ${name}`);
    this.picture.replaceWith(picture);
    this.picture = picture;
    this.masks.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    this.view = new Viewport(size, this.room());
    this.accepted?.destroy();
    this.accepted = new Overlay({ ...size, names: "all" });
    this.masks.before(this.accepted.element);
    this.crosshair = null;
    this.draw();
  }

  /** Show no image. */
  hide(): void {
    this.view = null;
    this.frame.hidden = true;
    this.marks.replaceChildren();
  }

  get scale(): number {
    return this.view?.scale ?? 1;
  }

  toImage(at: XY): XY {
    return this.view?.toImage(at) ?? at;
  }

  setAccepted(objects: readonly DrawnObject[]): void {
    this.accepted?.setObjects(objects);
  }

  /** Emphasise one accepted object, or none. */
  highlight(key: string | null): void {
    this.accepted?.setSelected(key);
  }

  /** Draw the mask of the current prompt; an outdated one stays, faded, until the next. */
  setCurrent(path: string | null, isOutdated = false): void {
    this.layers.current.classList.toggle("is-outdated", isOutdated);
    this.layers.current.replaceChildren(...(path === null ? [] : [outline(path)]));
  }

  setHover(path: string | null, text = ""): void {
    this.layers.hover.replaceChildren(...(path === null ? [] : [outline(path)]));
    this.hoverText = path === null ? "" : text;
    this.drawMarks();
  }

  setPrompt(prompt: Prompt): void {
    this.prompt = prompt;
    this.drawStrokes();
    this.drawMarks();
  }

  /** Draw the box or stroke that is being dragged. */
  setDraft(draft: { box?: Box | null; stroke?: Stroke | null }): void {
    this.draft = { box: draft.box ?? null, stroke: draft.stroke ?? null };
    this.drawStrokes();
    this.drawMarks();
  }

  setPointer(pointer: Pointer | null): void {
    this.pointer = pointer;
    this.drawMarks();
  }

  /** The crosshair of the keyboard, in image pixels; null hides it. */
  setCrosshair(at: XY | null): void {
    this.crosshair = at;
    this.drawMarks();
  }

  /** Move the crosshair by page pixels, from the middle of the image if it was hidden. */
  moveCrosshair(dx: number, dy: number): XY {
    const { width, height } = this.size;
    const [x, y] = this.crosshair ?? [width / 2, height / 2];
    const clamp = (value: number, most: number): number => Math.min(Math.max(value, 0), most - 0.1);
    const at: XY = [clamp(x + dx / this.scale, width), clamp(y + dy / this.scale, height)];
    this.setCrosshair(at);
    return at;
  }

  zoom(factor: number, at?: XY): void {
    this.view?.zoom(factor, at);
    this.draw();
  }

  pan(dx: number, dy: number): void {
    this.view?.pan(dx, dy);
    this.draw();
  }

  fit(): void {
    this.view?.fit();
    this.draw();
  }

  private room(): Size {
    return { width: this.element.clientWidth, height: this.element.clientHeight };
  }

  private draw(): void {
    const { view, size } = this;
    if (view === null) return;
    this.frame.style.left = `${view.left}px`;
    this.frame.style.top = `${view.top}px`;
    this.frame.style.width = `${size.width * view.scale}px`;
    this.frame.style.height = `${size.height * view.scale}px`;
    const pixelSide = (size.width * view.scale) / Math.max(this.picture.naturalWidth, 1);
    this.picture.classList.toggle("is-magnified", pixelSide >= MAGNIFIED);
    this.drawMarks();
  }

  private drawStrokes(): void {
    const { stroke } = this.draft;
    const strokes = stroke === null ? this.prompt.strokes : [...this.prompt.strokes, stroke];
    this.layers.strokes.replaceChildren(...strokes.map(drawStroke));
  }

  private drawMarks(): void {
    const { view } = this;
    if (view === null) return;
    const box = this.draft.box ?? this.prompt.box;
    const marks: SVGElement[] = [];
    if (box !== null) marks.push(...drawBox(box, view));
    for (const [x, y, label] of this.prompt.points) marks.push(drawPoint(view.toStage([x, y]), label));
    if (this.crosshair !== null) marks.push(drawCrosshair(view.toStage(this.crosshair)));
    if (this.pointer !== null && this.pointer.brush !== null) {
      const [cx, cy] = this.pointer.at;
      marks.push(svg("circle", { class: "brush", cx, cy, r: this.pointer.brush / 2 }));
    }
    this.marks.replaceChildren(...marks);
    this.drawHoverPlate();
  }

  /** Write the preview's name next to the pointer. */
  private drawHoverPlate(): void {
    const { plate, pointer } = this;
    plate.hidden = this.hoverText === "" || pointer === null;
    if (plate.hidden || pointer === null) return;
    plate.textContent = this.hoverText;
    const [x, y] = pointer.at;
    const room = this.room();
    plate.style.left = `${Math.max(0, Math.min(x + 14, room.width - plate.offsetWidth - 2))}px`;
    plate.style.top = `${Math.max(0, Math.min(y + 18, room.height - plate.offsetHeight - 2))}px`;
  }
}

/** A mask as two lines: a dark rim shows the coloured one on every ground. */
function outline(path: string): SVGElement {
  return svg(
    "g",
    {},
    svg("path", { class: "rim", d: path, "fill-rule": "evenodd" }),
    svg("path", { class: "line", d: path, "fill-rule": "evenodd" }),
  );
}

function drawStroke(stroke: Stroke): SVGElement {
  const [first] = stroke.points;
  const points = first === undefined ? [] : [first, ...stroke.points];
  return svg("polyline", {
    points: points.map(([x, y]) => `${x},${y}`).join(" "),
    "stroke-width": 2 * stroke.radius,
  });
}

function drawBox([left, top, right, bottom]: Box, view: Viewport): SVGElement[] {
  const [x, y] = view.toStage([left, top]);
  const frame = { x, y, width: (right - left) * view.scale, height: (bottom - top) * view.scale };
  return [svg("rect", { class: "box-rim", ...frame }), svg("rect", { class: "box", ...frame })];
}

/** A plus or a minus in a disc: colour alone would not do. */
function drawPoint([x, y]: XY, label: 0 | 1): SVGElement {
  const arm = POINT_RADIUS / 2;
  const plus = `M${x - arm} ${y}h${2 * arm}` + (label ? `M${x} ${y - arm}v${2 * arm}` : "");
  return svg(
    "g",
    { class: label ? "point" : "point is-negative" },
    svg("circle", { cx: x, cy: y, r: POINT_RADIUS }),
    svg("path", { d: plus }),
  );
}

function drawCrosshair([x, y]: XY): SVGElement {
  const path = `M${x - 16} ${y}h12M${x + 4} ${y}h12M${x} ${y - 16}v12M${x} ${y + 4}v12`;
  return svg(
    "g",
    { class: "crosshair", "data-testid": "crosshair" },
    svg("path", { class: "rim", d: path }),
    svg("path", { class: "line", d: path }),
  );
}
