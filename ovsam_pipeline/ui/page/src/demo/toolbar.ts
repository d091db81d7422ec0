// What a press on the image does, and the buttons above it.

import { h } from "../shared/dom";

export type Tool = "include" | "exclude" | "scribble";

export interface ToolbarActions {
  undo(): void;
  redo(): void;
  zoom(factor: number): void;
  fit(): void;
  /** The tool, the brush or the preview switch has changed. */
  changed(): void;
  help(): void;
}

const HELP: Readonly<Record<Tool, string>> = {
  include: "Click: part of the object. Alt-click or right click: not part of it. Drag: a box around it.",
  exclude: "Click: not part of the object. Drag: a box around it.",
  scribble: "Drag: paint the object roughly.",
};
// Fingers have no Alt key.
const HELP_OF_TOUCH: Readonly<Record<Tool, string>> = {
  include: "Tap: part of the object. Drag: a box around it. For what is no part of it: Exclude.",
  exclude: "Tap: not part of the object. Drag: a box around it.",
  scribble: "Drag: paint the object roughly.",
};
/** Of the buttons and keys. */
export const ZOOM_STEP = 1.4;

export class Toolbar {
  readonly element: HTMLElement;
  readonly help = h("p", { id: "stage-help", class: "stage-help" });
  private readonly tools: ReadonlyMap<Tool, HTMLButtonElement>;
  private readonly brushSize = h("input", {
    type: "range",
    min: "4",
    max: "80",
    value: "24",
    "aria-label": "Brush size in pixels of the page",
    "data-testid": "brush",
  });
  private readonly brushLabel = h("label", { class: "brush-size", hidden: true }, "Brush", this.brushSize);
  private readonly previewSwitch = h("input", { type: "checkbox", checked: true, "data-testid": "preview" });
  private readonly undoButton: HTMLButtonElement;
  private readonly redoButton: HTMLButtonElement;
  private current: Tool = "include";

  constructor(private readonly actions: ToolbarActions) {
    this.tools = new Map<Tool, HTMLButtonElement>([
      ["include", this.buildTool("include", "Include", "A click adds to the object")],
      ["exclude", this.buildTool("exclude", "Exclude", "A click takes away from the object (X)")],
      ["scribble", this.buildTool("scribble", "Scribble", "Paint the object roughly (S)")],
    ]);
    this.undoButton = buildButton("Undo", "Undo (Ctrl-Z)", "undo", actions.undo);
    this.redoButton = buildButton("Redo", "Redo (Ctrl-Shift-Z)", "redo", actions.redo);
    this.previewSwitch.addEventListener("change", actions.changed);
    this.element = h(
      "div",
      { class: "toolbar", role: "toolbar", "aria-label": "Tools" },
      h("div", { class: "group", role: "group", "aria-label": "What a click does" }, ...this.tools.values()),
      this.brushLabel,
      h("div", { class: "group" }, this.undoButton, this.redoButton),
      h(
        "div",
        { class: "group" },
        buildButton("−", "Zoom out (-)", "zoom-out", () => actions.zoom(1 / ZOOM_STEP)),
        buildButton("Fit", "Show the whole image (0)", "fit", actions.fit),
        buildButton("+", "Zoom in (+)", "zoom-in", () => actions.zoom(ZOOM_STEP)),
      ),
      h("label", { class: "preview-switch", title: "Show what a click would give, while the pointer moves" }, this.previewSwitch, "Preview"),
      buildButton("?", "Keys (?)", "help", actions.help),
    );
    this.show();
  }

  get tool(): Tool {
    return this.current;
  }

  /** Diameter of the brush in page pixels. */
  get brush(): number {
    return Number(this.brushSize.value);
  }

  get hasPreview(): boolean {
    return this.previewSwitch.checked;
  }

  /** Choose a tool; choosing it again goes back to including. */
  toggle(tool: Tool): void {
    this.current = this.current === tool ? "include" : tool;
    this.show();
    this.actions.changed();
  }

  showHistory(canUndo: boolean, canRedo: boolean): void {
    this.undoButton.disabled = !canUndo;
    this.redoButton.disabled = !canRedo;
  }

  private show(): void {
    this.tools.forEach((button, tool) => button.setAttribute("aria-pressed", String(tool === this.current)));
    this.brushLabel.hidden = this.current !== "scribble";
    this.help.textContent = (matchMedia("(hover: none)").matches ? HELP_OF_TOUCH : HELP)[this.current];
  }

  private buildTool(tool: Tool, text: string, title: string): HTMLButtonElement {
    return buildButton(text, title, `tool-${tool}`, () => {
      this.current = tool;
      this.show();
      this.actions.changed();
    });
  }
}

function buildButton(text: string, title: string, testId: string, onclick: () => void): HTMLButtonElement {
  const name = text.length > 1 ? null : title;
  return h("button", { type: "button", title, "aria-label": name, "data-testid": testId, onclick }, text);
}
