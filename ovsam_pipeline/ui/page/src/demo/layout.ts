// The parts of the page and where they are: the strip, the image with its tools, the panels.

import { h } from "../shared/dom";
import { buildThemeSwitch } from "../shared/theme";
import type { DemoStart } from "./server";

const SPINNER_AFTER_MS = 150;

export interface Parts {
  readonly strip: HTMLElement;
  readonly toolbar: HTMLElement;
  readonly stage: HTMLElement;
  readonly help: HTMLElement;
  readonly quick: HTMLElement;
  readonly panels: readonly HTMLElement[];
  /** Takes the files that a person chooses. */
  readonly onFiles: (files: readonly File[]) => void;
}

export class Layout {
  /** Says what a screen reader should read out; not visible. */
  private readonly live = h("p", { class: "visually-hidden", role: "status", "data-testid": "live" });
  private readonly latency = h("span", { class: "latency", "data-testid": "latency" });
  private readonly problem = h("span", { class: "error", role: "alert", "data-testid": "problem" });
  private readonly fileName = h("bdi", { class: "file-name", "data-testid": "file-name" });
  private readonly fileSize = h("span", { class: "muted", "data-testid": "file-size" });
  private readonly spinner = h("span", { class: "spinner", hidden: true, "data-testid": "spinner" });
  private readonly banner = h("p", { class: "banner", role: "alert", hidden: true, "data-testid": "banner" });
  private readonly empty: HTMLElement;
  private spinnerTimer = 0;

  constructor(root: HTMLElement, start: DemoStart, parts: Parts) {
    const choose = h("input", {
      type: "file",
      accept: "image/*",
      multiple: true,
      class: "visually-hidden",
      tabindex: "-1",
      "aria-label": "Images to open",
      "data-testid": "files",
    });
    choose.addEventListener("change", () => {
      parts.onFiles([...(choose.files ?? [])]);
      choose.value = "";
    });
    const openButton = (): HTMLElement =>
      h("button", { type: "button", onclick: () => choose.click() }, "Open image…");
    this.empty = h(
      "div",
      { class: "empty" },
      h("p", {}, "Drop an image here, paste one, or choose a file."),
      openButton(),
    );
    const { name, licence } = start.model;
    parts.stage.append(this.empty, this.spinner);
    root.classList.add("demo");
    root.append(
      h(
        "header",
        { class: "top" },
        h("h1", {}, "ovsam demo"),
        h("span", { class: "muted model" }, `model ${name}`, licence ? ` · ${licence}` : ""),
        openButton(),
        choose,
        buildThemeSwitch(),
      ),
      this.banner,
      h("nav", { class: "images", "aria-label": "Images" }, parts.strip),
      h(
        "main",
        { class: "work" },
        parts.toolbar,
        parts.stage,
        parts.quick,
        h("div", { class: "below" }, this.fileName, this.fileSize, this.problem, this.latency),
        parts.help,
        this.live,
      ),
      h("aside", { class: "panels", "aria-label": "Object, names and results" }, ...parts.panels),
    );
  }

  showFile(name: string, size: string): void {
    this.fileName.textContent = name;
    this.fileSize.textContent = size;
    this.empty.hidden = true;
  }

  showLatency(text: string): void {
    this.latency.textContent = text;
  }

  showProblem(sentence: string | null): void {
    if (this.problem.textContent !== (sentence ?? "")) this.problem.textContent = sentence ?? "";
  }

  announce(text: string): void {
    this.live.textContent = text;
  }

  showBanner(sentence: string | null): void {
    this.banner.hidden = sentence === null;
    this.banner.textContent = sentence ?? "";
  }

  /** Show the spinner where waiting lasts longer than a person notices. */
  showWaiting(isWaiting: boolean): void {
    if (!isWaiting) {
      clearTimeout(this.spinnerTimer);
      this.spinnerTimer = 0;
      this.spinner.hidden = true;
    } else if (this.spinnerTimer === 0) {
      this.spinnerTimer = setTimeout(() => (this.spinner.hidden = false), SPINNER_AFTER_MS);
    }
  }
}
