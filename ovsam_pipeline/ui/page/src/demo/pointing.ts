// Gestures and keys on the image → a changed prompt, or a view that moves.

import { say } from "../shared/toast";
import { listenToGestures, type GestureHandlers } from "./gestures";
import type { ImageWork } from "./image_work";
import * as prompts from "./prompt";
import type { XY } from "./prompt";
import type { Stroke } from "./scribble";
import type { Stage } from "./stage";
import type { Tool } from "./toolbar";

/** What pointing needs to know, and whom it tells. */
export interface Surroundings {
  readonly stage: Stage;
  image(): ImageWork | null;
  tool(): Tool;
  /** Diameter of the brush in page pixels. */
  brush(): number;
  /** The prompt that a click would make, or null: nothing to preview. */
  onHover(prompt: prompts.Prompt | null): void;
}

const ARROWS: Readonly<Record<string, XY>> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};
const CROSSHAIR_STEP = 12;

export class Pointing implements GestureHandlers {
  /** Stops the drag under way; whether there was one. */
  readonly cancel: () => boolean;
  private isSpaceHeld = false;
  private hasPanned = false;
  /** The keyboard's place in image pixels, and whether it moved since its last point. */
  private crosshair: XY | null = null;
  private hasMoved = false;
  /** The first corner of a box that the keyboard draws. */
  private corner: XY | null = null;

  constructor(private readonly around: Surroundings) {
    const { element } = around.stage;
    this.cancel = listenToGestures(element, this);
    element.addEventListener("keydown", (event) => this.onStageKey(event));
    document.addEventListener("keydown", (event) => this.onSpaceDown(event));
    document.addEventListener("keyup", (event) => this.onSpaceUp(event));
    // The key may be let go in another window.
    window.addEventListener("blur", () => this.setSpace(false));
  }

  isPainting(): boolean {
    return this.around.tool() === "scribble";
  }

  isPanning(): boolean {
    return this.isSpaceHeld;
  }

  onClick(at: XY, isNegative: boolean): void {
    this.hideCrosshair();
    this.addPoint(this.around.stage.toImage(at), isNegative);
  }

  onBox(from: XY, to: XY, isDone: boolean): void {
    const { stage } = this.around;
    const image = this.around.image();
    if (image === null) return;
    this.drawBox(image, stage.toImage(from), stage.toImage(to), isDone);
  }

  onStroke(points: readonly XY[], isDone: boolean): void {
    const { stage } = this.around;
    const image = this.around.image();
    if (image === null) return;
    const radius = this.around.brush() / 2 / stage.scale;
    const stroke: Stroke = { radius, points: points.map((at) => stage.toImage(at)) };
    stage.setPointer({ at: points.at(-1) ?? [0, 0], brush: this.around.brush() });
    if (!isDone) return stage.setDraft({ stroke });
    stage.setDraft({});
    if (!stroke.points.some((at) => prompts.isInside(at, image))) return;
    image.change({ prompt: prompts.addStroke(image.draft.prompt, stroke) });
  }

  onCancel(): void {
    this.around.stage.setDraft({});
  }

  onHover(at: XY | null, isNegative: boolean): void {
    const { stage } = this.around;
    stage.setPointer(at === null ? null : { at, brush: this.isPainting() ? this.around.brush() : null });
    this.preview(at === null ? null : stage.toImage(at), isNegative);
  }

  onPan(dx: number, dy: number): void {
    this.hasPanned = true;
    this.around.stage.pan(dx, dy);
  }

  onZoom(factor: number, at: XY): void {
    this.around.stage.zoom(factor, at);
  }

  /** Forget the crosshair and the box that it began; whether there was one. */
  hideCrosshair(): boolean {
    const wasShown = this.crosshair !== null;
    this.crosshair = this.corner = null;
    this.hasMoved = false;
    this.around.stage.setCrosshair(null);
    this.around.stage.setDraft({});
    return wasShown;
  }

  private preview(at: XY | null, isNegative: boolean): void {
    const image = this.around.image();
    const prompt = at === null || image === null ? null : this.promptAt(image, at, isNegative);
    this.around.onHover(this.isPainting() || this.isSpaceHeld ? null : prompt);
  }

  /** The prompt with one more point; null where that would be none. */
  private promptAt(image: ImageWork, at: XY, isNegative: boolean): prompts.Prompt | null {
    const isExcluding = isNegative || this.around.tool() === "exclude";
    const prompt = prompts.addPoint(image.draft.prompt, at, !isExcluding);
    return prompts.isInside(at, image) && prompts.hasObject(prompt) ? prompt : null;
  }

  private addPoint(at: XY, isNegative: boolean): void {
    const image = this.around.image();
    if (image === null || !prompts.isInside(at, image)) return;
    const prompt = this.promptAt(image, at, isNegative);
    if (prompt === null) say("Click the object first; then exclude what is not part of it.");
    else image.change({ prompt });
  }

  private drawBox(image: ImageWork, from: XY, to: XY, isDone: boolean): void {
    const prompt = prompts.setBox(image.draft.prompt, from, to, image);
    if (!isDone) return this.around.stage.setDraft({ box: prompt.box });
    this.around.stage.setDraft({});
    const [left, top, right, bottom] = prompt.box ?? [0, 0, 0, 0];
    if (right - left >= 1 && bottom - top >= 1) image.change({ prompt });
  }

  private onStageKey(event: KeyboardEvent): void {
    const arrow = ARROWS[event.key];
    const image = this.around.image();
    if (image === null || event.ctrlKey || event.metaKey) return;
    if (arrow !== undefined) {
      const step = event.shiftKey ? 1 : CROSSHAIR_STEP;
      this.crosshair = this.around.stage.moveCrosshair(step * arrow[0], step * arrow[1]);
      this.hasMoved = true;
      if (this.corner !== null) this.drawBox(image, this.corner, this.crosshair, false);
      else this.preview(this.crosshair, event.altKey);
    } else if (event.key === "Enter" && this.crosshair !== null && this.hasMoved) this.place(event);
    else if (event.key === "b" && this.crosshair !== null) this.placeCorner(image, this.crosshair);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Put a point at the crosshair, or end the box that was begun. */
  private place(event: KeyboardEvent): void {
    const image = this.around.image();
    if (this.crosshair === null || image === null) return;
    this.hasMoved = false;
    if (this.corner !== null) this.placeCorner(image, this.crosshair);
    else this.addPoint(this.crosshair, event.altKey);
  }

  private placeCorner(image: ImageWork, at: XY): void {
    if (this.corner === null) {
      this.corner = at;
      return say("Box begun: move with the arrows, then press B or Enter.");
    }
    const from = this.corner;
    this.corner = null;
    this.hasMoved = false;
    this.drawBox(image, from, at, true);
  }

  private onSpaceDown(event: KeyboardEvent): void {
    if (event.key !== " " || isControl(event.target) || event.defaultPrevented) return;
    event.preventDefault();
    if (!event.repeat) this.setSpace(true);
  }

  /** Space pans while it is held; without a drag it places a point. */
  private onSpaceUp(event: KeyboardEvent): void {
    if (event.key !== " " || !this.isSpaceHeld) return;
    const isTap = !this.hasPanned;
    this.setSpace(false);
    if (isTap && document.activeElement === this.around.stage.element) this.place(event);
  }

  private setSpace(isHeld: boolean): void {
    this.isSpaceHeld = isHeld;
    this.hasPanned = false;
    this.around.stage.element.classList.toggle("is-panning", isHeld);
  }
}

/** Whether an element does something itself with Space. */
function isControl(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("button, input, textarea, select, a, dialog") !== null;
}
