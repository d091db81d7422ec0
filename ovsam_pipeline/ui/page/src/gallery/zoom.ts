/** Zoom and pan of one picture, or of several that show the same part of theirs. */
import type { Overlay } from "../shared/overlay";

const MOST_PIXELS = 32;
const STEP = 1.3;
/** A press that moves less is a click. */
const CLICK_PIXELS = 4;

export interface Stage {
  readonly element: HTMLElement;
  readonly overlay: Overlay;
}

export class Zoom {
  private scale = 1;
  private isFitted = true;
  private x: number;
  private y: number;
  private readonly pointers = new Map<number, { x: number; y: number }>();
  private readonly sizes = new ResizeObserver(() => (this.isFitted ? this.fit() : this.apply()));
  private moved = 0;

  /** All stages have one size on screen, and their pictures `width` x `height` pixels. */
  constructor(
    private readonly stages: readonly Stage[],
    private readonly width: number,
    private readonly height: number,
  ) {
    this.x = width / 2;
    this.y = height / 2;
    for (const { element } of stages) {
      element.addEventListener("wheel", (event) => this.handleWheel(event, element), { passive: false });
      element.addEventListener("pointerdown", (event) => this.handleDown(event));
      element.addEventListener("pointermove", (event) => this.handleMove(event, element));
      element.addEventListener("pointerup", (event) => this.pointers.delete(event.pointerId));
      element.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
      element.addEventListener("dblclick", () => this.fit());
      this.sizes.observe(element);
    }
  }

  /** Shows the whole picture. */
  fit(): void {
    this.isFitted = true;
    const { width, height } = this.size();
    this.scale = Math.min(width / this.width, height / this.height) || 1;
    this.x = this.width / 2;
    this.y = this.height / 2;
    this.apply();
  }

  /** Shows a box of the picture (left, top, width, height) and what is around it. */
  showBox([left, top, boxWidth, boxHeight]: readonly [number, number, number, number]): void {
    const { width, height } = this.size();
    const scale = Math.min(width / boxWidth, height / boxHeight, MOST_PIXELS) / 2;
    this.zoom(scale / this.scale, this.x, this.y);
    this.move(left + boxWidth / 2, top + boxHeight / 2);
  }

  /** Zooms in (1) or out (-1) around the middle. */
  step(direction: 1 | -1): void {
    this.zoom(STEP ** direction, this.x, this.y);
  }

  /** Returns whether the press that just ended was a drag and not a click. */
  wasDragged(): boolean {
    return this.moved > CLICK_PIXELS;
  }

  destroy(): void {
    this.sizes.disconnect();
  }

  private size(): { width: number; height: number } {
    const element = this.stages[0]?.element;
    return { width: element?.clientWidth ?? 1, height: element?.clientHeight ?? 1 };
  }

  /** Zooms by a factor; the point (x, y) of the picture stays where it is on screen. */
  private zoom(factor: number, x: number, y: number): void {
    const { width, height } = this.size();
    const fitted = Math.min(width / this.width, height / this.height);
    const scale = Math.max(fitted, Math.min(this.scale * factor, Math.max(MOST_PIXELS, fitted)));
    if (scale === fitted) {
      this.fit();
      return;
    }
    const ratio = this.scale / scale;
    this.isFitted = false;
    this.move(x + (this.x - x) * ratio, y + (this.y - y) * ratio, scale);
  }

  private move(x: number, y: number, scale = this.scale): void {
    const { width, height } = this.size();
    this.scale = scale;
    this.x = keepInside(x, width / scale, this.width);
    this.y = keepInside(y, height / scale, this.height);
    this.apply();
  }

  private apply(): void {
    const size = this.size();
    const [width, height] = [size.width / this.scale, size.height / this.scale];
    if (!(width > 0 && height > 0)) return;
    for (const { overlay } of this.stages) {
      overlay.setView({ x: this.x - width / 2, y: this.y - height / 2, width, height });
    }
  }

  private handleWheel(event: WheelEvent, element: HTMLElement): void {
    event.preventDefault();
    const point = this.toPicture(event, element);
    this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.002)), point.x, point.y);
  }

  private handleDown(event: PointerEvent): void {
    if (event.button !== 0) return;
    if (this.pointers.size === 0) this.moved = 0;
    this.pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  }

  private handleMove(event: PointerEvent, element: HTMLElement): void {
    const before = this.pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.clientX, y: event.clientY };
    const other = [...this.pointers].find(([id]) => id !== event.pointerId)?.[1];
    if (other) {
      // Two fingers: their distance zooms, around the one that rests.
      const factor = distance(now, other) / Math.max(1, distance(before, other));
      const point = this.toPicture({ clientX: other.x, clientY: other.y }, element);
      this.zoom(factor, point.x, point.y);
    } else {
      this.move(this.x - (now.x - before.x) / this.scale, this.y - (now.y - before.y) / this.scale);
    }
    this.moved += distance(now, before);
    // Captured only now: a click must reach the object under it.
    if (this.wasDragged()) element.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, now);
  }

  private toPicture(event: { clientX: number; clientY: number }, element: HTMLElement): { x: number; y: number } {
    const box = element.getBoundingClientRect();
    return {
      x: this.x + (event.clientX - box.left - box.width / 2) / this.scale,
      y: this.y + (event.clientY - box.top - box.height / 2) / this.scale,
    };
  }
}

/** Returns the middle of a view next to the wanted one that shows no more of the outside than it must. */
function keepInside(middle: number, shown: number, whole: number): number {
  return shown >= whole ? whole / 2 : Math.max(shown / 2, Math.min(middle, whole - shown / 2));
}

function distance(one: { x: number; y: number }, other: { x: number; y: number }): number {
  return Math.hypot(one.x - other.x, one.y - other.y);
}
