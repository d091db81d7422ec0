// The demo: what a person does → the open image → what is shown. Images that were opened keep what
// was drawn on them until the page is closed.

import { describe } from "../shared/api";
import { listenToKeys, showKeys, type Key } from "../shared/keys";
import { say, sayError } from "../shared/toast";
import type { DrawnObject } from "../shared/types";
import { AcceptedPanel } from "./accepted_panel";
import { buildCompletion } from "./completion";
import { Connection, isSilence } from "./connection";
import { CurrentPanel } from "./current_panel";
import { ImageWork, NOTHING } from "./image_work";
import { Layout } from "./layout";
import { Newest, Throttled } from "./newest";
import { Pointing } from "./pointing";
import { isEmpty, toJson, type Prompt } from "./prompt";
import * as server from "./server";
import type { DemoStart, Example, Found, Previewed } from "./server";
import { Stage } from "./stage";
import { Strip, type StripImage } from "./strip";
import { Toolbar, ZOOM_STEP } from "./toolbar";
import { listenToFiles } from "./uploads";
import { VocabularyPanel } from "./vocabulary_panel";

const NONE: readonly DrawnObject[] = [];

interface Preview {
  readonly image: ImageWork;
  /** What was drawn, and what a click would make of it. */
  readonly drawn: Prompt;
  readonly prompt: Prompt;
}

export class Demo {
  private readonly stage = new Stage();
  private readonly toolbar: Toolbar;
  private readonly strip = new Strip((row) => void this.open(row));
  private readonly current: CurrentPanel;
  private readonly accepted: AcceptedPanel;
  private readonly vocabulary: VocabularyPanel;
  private readonly layout: Layout;
  private readonly pointing: Pointing;
  private readonly connection = new Connection((isLost) => this.showConnection(isLost));
  private readonly opening = new Newest();
  private readonly naming = new Newest();
  private readonly previews = new Throttled<Preview, Previewed>(
    ({ image, prompt }) => this.askPreview(image, prompt),
    (preview, found) => this.showPreview(preview, found),
    () => this.stage.setHover(null),
  );
  private readonly keys: readonly Key[] = this.buildKeys();
  private readonly images: StripImage[];
  private readonly opened = new Map<number, ImageWork>();
  private image: ImageWork | null = null;
  /** Row of the image that is shown or being opened; -1 for none. */
  private row = -1;
  private sequence = 0;
  private isPreviewWanted = false;
  private shownFound: Found | null = null;
  private shownAccepted: readonly DrawnObject[] | null = null;

  constructor(
    root: HTMLElement,
    private readonly begin: DemoStart,
  ) {
    this.images = [...begin.images];
    this.toolbar = new Toolbar({
      undo: () => void this.attempt(() => this.image?.history.undo()),
      redo: () => void this.attempt(() => this.image?.history.redo()),
      zoom: (factor) => this.stage.zoom(factor),
      fit: () => this.stage.fit(),
      changed: () => this.showTool(),
      help: () => showKeys(this.keys),
    });
    this.current = new CurrentPanel({
      rename: (name) => this.chooseName(name),
      accept: () => void this.accept(),
      clear: () => this.clear(),
      addExample: (name) => void this.addExample(name),
    });
    this.accepted = new AcceptedPanel(
      {
        highlight: (key) => this.stage.highlight(key),
        rename: (object, name) => void this.attempt(() => this.image?.rename(object, name)),
        canRestore: (object) => this.image?.canRestore(object) ?? false,
        remove: (object) => void this.remove(object),
        writeAnnotations: () => void this.writeAnnotations(),
      },
      begin.output,
    );
    this.vocabulary = new VocabularyPanel(
      {
        useNames: (text) => void this.useVocabulary({ text }),
        useBuiltIn: (builtin) => void this.useVocabulary({ builtin }),
        removeExample: (example) => void this.removeExample(example),
      },
      begin.vocabularies,
    );
    this.layout = new Layout(root, begin, {
      strip: this.strip.element,
      toolbar: this.toolbar.element,
      stage: this.stage.element,
      help: this.toolbar.help,
      quick: this.current.quick,
      panels: [this.current.element, this.accepted.element, this.vocabulary.element],
      onFiles: (files) => void this.upload(files),
    });
    this.pointing = new Pointing({
      stage: this.stage,
      image: () => this.image,
      tool: () => this.toolbar.tool,
      brush: () => this.toolbar.brush,
      onHover: (prompt) => this.wantPreview(prompt),
    });
    root.append(buildCompletion(root));
    listenToFiles(root, (files) => void this.upload(files));
    listenToKeys(this.keys);
    document.addEventListener("keydown", (event) => this.onUndoKey(event));
  }

  /** Show the start data and open the first image. */
  start(): void {
    const { text, classes } = this.begin.vocabulary;
    this.vocabulary.showText(text, classes);
    this.vocabulary.showExamples(this.begin.examples);
    this.strip.show(this.images);
    this.show();
    const [first] = this.images;
    if (first !== undefined) void this.open(first.row);
  }

  private async open(row: number): Promise<void> {
    if (row === this.row && this.image !== null) return;
    this.image?.leave();
    this.image = null;
    this.row = row;
    this.pointing.cancel();
    this.pointing.hideCrosshair();
    this.wantPreview(null);
    this.strip.choose(row);
    this.layout.showFile(this.nameOf(row), "");
    this.layout.showLatency("");
    this.stage.hide();
    this.show();
    this.layout.showWaiting(true);
    try {
      const opened = await this.opening.ask((signal) =>
        this.connection.keepAsking(() => server.openImage(row, signal), signal),
      );
      if (opened !== undefined) this.enter(opened);
    } catch (error) {
      this.layout.showWaiting(false);
      this.layout.showProblem(describe(error));
    }
  }

  /** Show an image that the server has encoded. */
  private enter(opened: server.Opened): void {
    const { row, width, height, seconds, warning } = opened;
    const known = this.opened.get(row);
    const image = known ?? new ImageWork(opened, this.connection, (changed) => this.onChange(changed));
    this.opened.set(row, image);
    this.image = image;
    const name = this.nameOf(row);
    this.stage.show(`picture/${row}`, name, image);
    this.layout.showFile(name, `${width} × ${height}`);
    this.layout.showLatency(`read and encoded in ${seconds.toFixed(2)} s`);
    image.setAccepted(opened);
    if (!isEmpty(image.draft.prompt)) image.refresh();
    if (warning !== null && known === undefined) say(warning);
  }

  private onChange(image: ImageWork): void {
    this.strip.count(image.row, image.accepted.length);
    if (image === this.image) this.show();
  }

  /** Draw all that depends on the open image. */
  private show(): void {
    const { image } = this;
    const draft = image?.draft ?? NOTHING;
    const found = image?.found ?? null;
    this.stage.setPrompt(draft.prompt);
    this.stage.setCurrent(found?.path ?? null, image?.isAsking ?? false);
    this.current.show(found, image?.name ?? null);
    this.showAccepted(image?.accepted ?? NONE);
    this.toolbar.showHistory(image?.history.canUndo ?? false, image?.history.canRedo ?? false);
    this.layout.showWaiting(image?.isAsking ?? false);
    this.layout.showProblem(image?.error ?? null);
    if (image !== null && found !== null && found !== this.shownFound) this.tell(image, found);
    this.shownFound = found;
  }

  /** Draw accepted objects where they changed: a name that is being typed stays. */
  private showAccepted(objects: readonly DrawnObject[]): void {
    if (objects === this.shownAccepted) return;
    this.shownAccepted = objects;
    this.stage.setAccepted(objects);
    this.accepted.show(objects);
  }

  /** Say how long a new answer took, once it is on the screen, and what it is. */
  private tell(image: ImageWork, found: Found): void {
    this.stage.setHover(null);
    const { askedAt } = image;
    requestAnimationFrame(() => {
      const shown = Math.round(performance.now() - askedAt);
      const model = Math.round(1000 * found.model_seconds);
      this.layout.showLatency(`prompt to mask ${shown} ms, of it the model ${model} ms`);
    });
    const share = Math.round((100 * found.area) / (image.width * image.height));
    const score = found.names[0]?.score.toFixed(2) ?? "";
    const what = found.path === "" ? "No mask" : `${image.name ?? "Object without a name"} ${score}`;
    this.layout.announce(`${what}, ${share} % of the image. Enter accepts.`);
  }

  private showTool(): void {
    this.stage.element.classList.toggle("is-scribbling", this.toolbar.tool === "scribble");
    this.wantPreview(null);
  }

  private wantPreview(prompt: Prompt | null): void {
    const { image } = this;
    const isWanted = prompt !== null && image !== null && this.toolbar.hasPreview && !image.isAsking;
    this.isPreviewWanted = isWanted;
    if (isWanted) this.previews.put({ image, drawn: image.draft.prompt, prompt });
    else {
      this.previews.clear();
      this.stage.setHover(null);
    }
  }

  private askPreview(image: ImageWork, prompt: Prompt): Promise<Previewed> {
    this.sequence += 1;
    return server.preview(image.row, toJson(prompt, image), this.begin.page, this.sequence);
  }

  /** Show a preview unless the pointer has left or the prompt has changed meanwhile. */
  private showPreview({ image, drawn }: Preview, found: Previewed): void {
    const isOf = image === this.image && drawn === image.draft.prompt && !image.isAsking;
    if (!isOf || !this.isPreviewWanted || found.skipped) return;
    const name = found.names[0];
    this.stage.setHover(found.path, name === undefined ? "" : `${name.category} ${name.score.toFixed(2)}`);
  }

  private chooseName(name: string): void {
    if (this.image === null || this.image.found === null) return;
    this.image.change({ name });
    this.stage.element.focus();
  }

  private async accept(): Promise<void> {
    const { image } = this;
    if (image === null || isEmpty(image.draft.prompt)) return;
    await image.settle();
    if (image.found === null) return;
    if (image.found.path === "") return say("The mask is empty: click the object again.");
    if (image.name === null) {
      this.current.field.focus();
      return say("Type a name for the object first.");
    }
    const { name } = image;
    if (await this.attempt(() => image.accept())) this.layout.announce(`Accepted: ${name}.`);
  }

  private clear(): void {
    if (this.pointing.cancel() || this.pointing.hideCrosshair()) return;
    if (this.image !== null && !isEmpty(this.image.draft.prompt)) this.image.change(NOTHING);
  }

  private async remove(object: DrawnObject): Promise<void> {
    if (!(await this.attempt(() => this.image?.remove(object)))) return;
    this.stage.highlight(null);
    this.layout.announce(`Removed: ${object.category}.`);
  }

  private async writeAnnotations(): Promise<void> {
    await this.attempt(async () => {
      const { annotations } = await this.connection.ask(server.writeAnnotations);
      say(`Wrote ${annotations}.`);
    });
  }

  private async useVocabulary(choice: { text: string } | { builtin: string }): Promise<void> {
    this.vocabulary.showBusy();
    try {
      const vocabulary = await this.naming.ask((signal) =>
        this.connection.ask(() => server.setVocabulary(choice, signal)),
      );
      if (vocabulary === undefined) return;
      this.vocabulary.showVocabulary(vocabulary, "builtin" in choice ? choice.builtin : null);
      this.image?.refresh();
    } catch (error) {
      this.vocabulary.showError(describe(error));
    }
  }

  private async addExample(name: string): Promise<void> {
    const { image } = this;
    if (image === null || image.found === null) return;
    const question = toJson(image.draft.prompt, image);
    await this.attempt(async () => {
      const add = (): Promise<Example[]> => server.addExample(name, image.row, question);
      this.showExamples(await this.connection.ask(add));
      this.layout.announce(`Added as an example of ${name}.`);
    });
  }

  private async removeExample(example: Example): Promise<void> {
    const remove = (): Promise<Example[]> => server.removeExample(example.number);
    await this.attempt(async () => this.showExamples(await this.connection.ask(remove)));
  }

  private showExamples(examples: readonly Example[]): void {
    this.vocabulary.showExamples(examples);
    this.image?.refresh();
  }

  private async upload(files: readonly File[]): Promise<void> {
    let first: number | null = null;
    for (const file of files) {
      await this.attempt(async () => {
        const image = await this.connection.ask(() => server.uploadImage(file));
        // The same file again is the same image.
        if (!this.images.some(({ row }) => row === image.row)) this.images.push(image);
        first ??= image.row;
      });
    }
    this.strip.show(this.images);
    if (first !== null) await this.open(first);
  }

  /** Do what the server may refuse: a refusal is shown; return whether it was done. */
  private async attempt(run: () => Promise<void> | undefined): Promise<boolean> {
    try {
      await run();
      return true;
    } catch (error) {
      sayError(isSilence(error) ? "Not done: the server does not answer." : describe(error));
      if (isSilence(error)) void this.waitForServer();
      return false;
    } finally {
      this.show();
    }
  }

  /** Ask until the server is back; what it has accepted may have changed meanwhile. */
  private async waitForServer(): Promise<void> {
    const { image } = this;
    if (image === null) return;
    const { row } = image;
    try {
      const opened = await this.opening.ask((signal) =>
        this.connection.keepAsking(() => server.openImage(row, signal), signal),
      );
      if (opened !== undefined) image.setAccepted(opened);
    } catch (error) {
      this.layout.showProblem(describe(error));
    }
  }

  private showConnection(isLost: boolean): void {
    this.layout.showBanner(
      isLost ? "The server does not answer. Nothing is lost here; asking again until it does." : null,
    );
  }

  private step(by: number): void {
    const index = this.images.findIndex(({ row }) => row === this.row);
    const next = this.images[index + by];
    if (next !== undefined) void this.open(next.row);
    else say(by > 0 ? "This is the last image." : "This is the first image.");
  }

  private nameOf(row: number): string {
    return this.images.find((image) => image.row === row)?.file_name ?? "";
  }

  private buildKeys(): readonly Key[] {
    const nothing = (): void => undefined;
    return [
      { key: "Enter", about: "accept the object", run: () => void this.accept() },
      { key: "Escape", about: "clear the prompt", run: () => this.clear() },
      { key: "Ctrl+z", about: "undo; with Shift redo", run: nothing },
      { key: "x", about: "exclude: a click takes away", run: () => this.toolbar.toggle("exclude") },
      { key: "s", about: "scribble: paint the object roughly", run: () => this.toolbar.toggle("scribble") },
      { key: "n", about: "next image", run: () => this.step(1) },
      { key: "p", about: "previous image", run: () => this.step(-1) },
      { key: "+", about: "zoom in (or the wheel)", run: () => this.stage.zoom(ZOOM_STEP) },
      { key: "=", about: "", shown: "", run: () => this.stage.zoom(ZOOM_STEP) },
      { key: "-", about: "zoom out", run: () => this.stage.zoom(1 / ZOOM_STEP) },
      { key: "0", about: "show the whole image", run: () => this.stage.fit() },
      { key: "", shown: "Space + drag", about: "move the image", run: nothing },
      { key: "", shown: "Alt + click", about: "exclude (or right click)", run: nothing },
      { key: "", shown: "← ↑ → ↓", about: "on the image: move a crosshair; with Shift by a pixel", run: nothing },
      { key: "", shown: "Space, Enter", about: "place a point at the crosshair", run: nothing },
      { key: "", shown: "B", about: "begin, then end a box at the crosshair", run: nothing },
    ];
  }

  private onUndoKey(event: KeyboardEvent): void {
    const isUndo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    // Fields undo their own text.
    if (!isUndo || event.target instanceof HTMLInputElement || event.target instanceof HTMLTextAreaElement) return;
    event.preventDefault();
    const history = this.image?.history;
    void this.attempt(() => (event.shiftKey ? history?.redo() : history?.undo()));
  }
}
