// Pointer events on the stage → clicks, boxes, strokes, hovering, panning and zooming.

import type { XY } from "./prompt";

/** What the stage does with a gesture; places are in page pixels from the stage's corner. */
export interface GestureHandlers {
  /** Whether a drag paints (true) or draws a box. */
  isPainting(): boolean;
  /** Whether a drag moves the picture. */
  isPanning(): boolean;
  onClick(at: XY, isNegative: boolean): void;
  onBox(from: XY, to: XY, isDone: boolean): void;
  onStroke(points: readonly XY[], isDone: boolean): void;
  /** A drag or stroke ended without a result: Escape, a second finger. */
  onCancel(): void;
  onHover(at: XY | null, isNegative: boolean): void;
  onPan(dx: number, dy: number): void;
  onZoom(factor: number, at: XY): void;
}

type Drag = "undecided" | "box" | "stroke" | "pan";

interface Gesture {
  readonly pointer: number;
  readonly start: XY;
  readonly points: XY[];
  readonly isNegative: boolean;
  kind: Drag;
}

const SECONDARY_BUTTON = 2;
const MIDDLE_BUTTON = 1;
/** A press that moves less than this, in page pixels, is a click; fingers are less steady. */
const CLICK_SLACK = { mouse: 4, touch: 10 };
const WHEEL_PER_DOUBLING = 400;
const LINE_PIXELS = 16;

/** Listen to the stage; return what cancels the gesture under way, and whether there was one. */
export function listenToGestures(stage: HTMLElement, handlers: GestureHandlers): () => boolean {
  let gesture: Gesture | null = null;
  const fingers = new Map<number, XY>();

  const place = (event: MouseEvent): XY => {
    const frame = stage.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  };
  const cancel = (): boolean => {
    const wasDrawing = gesture !== null;
    gesture = null;
    if (wasDrawing) handlers.onCancel();
    return wasDrawing;
  };
  const startDrag = (event: PointerEvent, at: XY): Gesture => ({
    pointer: event.pointerId,
    start: at,
    points: [at],
    isNegative: event.button === SECONDARY_BUTTON || event.altKey,
    kind: chooseDrag(event, handlers),
  });

  stage.addEventListener("pointerdown", (event) => {
    // Controls that lie on the stage.
    if (event.target instanceof Element && event.target.closest("button") !== null) return;
    const at = place(event);
    stage.setPointerCapture(event.pointerId);
    handlers.onHover(null, false);
    if (event.pointerType === "touch") fingers.set(event.pointerId, at);
    if (fingers.size > 1) {
      cancel();
      return;
    }
    gesture = startDrag(event, at);
    if (gesture.kind === "stroke") handlers.onStroke(gesture.points, false);
  });

  stage.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (fingers.size > 1) return pinch(fingers, event.pointerId, at, handlers);
    if (event.pointerType === "touch") fingers.set(event.pointerId, at);
    if (gesture === null) {
      if (event.pointerType !== "touch" && event.buttons === 0) {
        handlers.onHover(at, event.altKey);
      }
      return;
    }
    if (event.pointerId === gesture.pointer) follow(gesture, event, at, handlers);
  });

  const end = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
    if (gesture === null || event.pointerId !== gesture.pointer) return;
    const done = gesture;
    gesture = null;
    finish(done, place(event), handlers);
  };
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", (event) => {
    fingers.delete(event.pointerId);
    cancel();
  });
  stage.addEventListener("pointerleave", () => handlers.onHover(null, false));
  stage.addEventListener("contextmenu", (event) => event.preventDefault());
  stage.addEventListener("auxclick", (event) => event.preventDefault());
  stage.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE_PIXELS : 1;
      handlers.onZoom(2 ** ((-event.deltaY * pixels) / WHEEL_PER_DOUBLING), place(event));
    },
    { passive: false },
  );
  return cancel;
}

function chooseDrag(event: PointerEvent, handlers: GestureHandlers): Drag {
  if (event.button === MIDDLE_BUTTON || handlers.isPanning()) return "pan";
  return handlers.isPainting() && event.button === 0 ? "stroke" : "undecided";
}

function follow(gesture: Gesture, event: PointerEvent, at: XY, handlers: GestureHandlers): void {
  const last = gesture.points.at(-1) ?? gesture.start;
  const slack = event.pointerType === "touch" ? CLICK_SLACK.touch : CLICK_SLACK.mouse;
  if (gesture.kind === "undecided" && distance(gesture.start, at) >= slack) gesture.kind = "box";
  if (gesture.kind === "pan") handlers.onPan(at[0] - last[0], at[1] - last[1]);
  if (gesture.kind === "undecided") return;
  gesture.points.push(at);
  if (gesture.kind === "box") handlers.onBox(gesture.start, at, false);
  if (gesture.kind === "stroke") handlers.onStroke(gesture.points, false);
}

function finish(gesture: Gesture, at: XY, handlers: GestureHandlers): void {
  if (gesture.kind === "undecided") handlers.onClick(gesture.start, gesture.isNegative);
  if (gesture.kind === "box") handlers.onBox(gesture.start, at, true);
  if (gesture.kind === "stroke") handlers.onStroke(gesture.points, true);
}

/** Zoom and move with two fingers: their middle and their distance. */
function pinch(
  fingers: Map<number, XY>,
  moved: number,
  at: XY,
  handlers: GestureHandlers,
): void {
  const before = fingers.get(moved);
  const other = [...fingers].find(([pointer]) => pointer !== moved)?.[1];
  if (before === undefined || other === undefined) return;
  fingers.set(moved, at);
  const middle: XY = [(at[0] + other[0]) / 2, (at[1] + other[1]) / 2];
  handlers.onPan((at[0] - before[0]) / 2, (at[1] - before[1]) / 2);
  handlers.onZoom(distance(at, other) / Math.max(distance(before, other), 1), middle);
}

function distance([x0, y0]: XY, [x1, y1]: XY): number {
  return Math.hypot(x1 - x0, y1 - y0);
}
