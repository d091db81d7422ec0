/** One image large, with all that is known of its objects, and the keys to answer. */
import { ApiError, describe, isAbort } from "../shared/api";
import { h } from "../shared/dom";
import { listenToKeys, showKeys, type Key } from "../shared/keys";
import { say, sayError } from "../shared/toast";
import { describeAnswer, type Answers } from "./answers";
import { formatAmount, formatCount, formatShare } from "./format";
import type { Loader } from "./loader";
import type { ObjectIds } from "./object_ids";
import { ObjectList } from "./object_list";
import { buildOpinions } from "./opinions";
import { RenameForm } from "./rename_form";
import type { Answer, DrawnObject, ImageRow, Source } from "./source";
import { PictureStage, type Shown } from "./stage";
import type { Place } from "./view";
import type { Stop, Walk } from "./walk";
import { Zoom } from "./zoom";

export interface LargeViewOptions {
  readonly source: Source;
  readonly loader: Loader;
  readonly ids: ObjectIds;
  readonly answers: Answers;
  /** Classes, for completion; new ones are added by answers. */
  readonly categories: readonly { readonly name: string }[];
  /** Names of this output and of the one compared with. */
  readonly outputs: readonly [string, string] | null;
  readonly isBoxes: boolean;
  readonly onMove: (place: Place) => void;
  readonly onClose: (stop: Stop) => void;
}

const CONFLICT = 409;
/** A load that takes longer is shown. */
const LOADING_MS = 200;

/** Which object of an image to begin with. */
type Choose = (objects: readonly DrawnObject[]) => DrawnObject | undefined;

const first: Choose = (objects) => objects[0];
const last: Choose = (objects) => objects[objects.length - 1];
const firstUnseen: Choose = (objects) => objects.find((object) => object.reviewed_by === null) ?? objects[0];

export class LargeView {
  private readonly dialog: HTMLDialogElement;
  private readonly title = h("h2", { class: "large-title" });
  private readonly position = h("span", { class: "muted", "data-testid": "large-position" });
  private readonly session = h("span", { class: "muted session", role: "status", "data-testid": "session" });
  private readonly stages = h("div", { class: "stages" });
  private readonly list: ObjectList;
  private readonly details = h("div", { class: "details" });
  private readonly announced = h("p", { class: "visually-hidden", "aria-live": "polite" });
  private readonly rename: RenameForm;
  private readonly keys: readonly Key[];
  private readonly canAnswer: boolean;

  private walk: Walk | null = null;
  private place = 0;
  private image: ImageRow | null = null;
  private objects: readonly DrawnObject[] = [];
  private selected: DrawnObject | null = null;
  private drawn: readonly PictureStage[] = [];
  private zoom: Zoom | null = null;
  private shown: Shown = { masks: true, boxes: false, names: false, others: true };
  private readonly boxes = new Map<keyof Shown, HTMLInputElement>();
  private answered = 0;
  private readonly undoButton = h(
    "button",
    { type: "button", disabled: true, "data-testid": "undo", onclick: () => this.undo() },
    "Undo ",
    h("kbd", {}, "Z"),
  );
  private stopKeys: () => void = () => undefined;
  private control = new AbortController();
  /** What was asked for by keys, one after the other. */
  private queue: Promise<void> = Promise.resolve();
  /** Counts failures: keys that were pressed before one were meant for what did not come to pass. */
  private turn = 0;

  constructor(private readonly options: LargeViewOptions) {
    this.canAnswer = options.source.answer !== undefined && !options.isBoxes;
    this.list = new ObjectList(
      (object) => this.pick(object),
      this.canAnswer ? (object) => this.restore(object) : null,
    );
    this.rename = new RenameForm({
      categories: options.categories,
      onName: (name) => this.answer(name === this.selected?.category ? "accepted" : "renamed", name),
      onLeave: () => this.dialog.focus(),
    });
    this.keys = this.listKeys();
    this.dialog = this.build();
    document.body.append(this.dialog);
  }

  /** Shows a stop of a walk. */
  open(walk: Walk, stop: Stop): Promise<void> {
    this.walk = walk;
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.dialog.focus();
      this.stopKeys = listenToKeys(this.keys, this.dialog);
    }
    const choose: Choose = (objects) => objects.find((object) => object.number === stop.number) ?? objects[0];
    this.undoButton.disabled = !this.options.answers.canUndo;
    return this.go(stop, choose);
  }

  close(): void {
    if (this.dialog.open) this.dialog.close();
  }

  private build(): HTMLDialogElement {
    const button = (text: string, name: string, run: () => void): HTMLElement =>
      h(
        "button",
        {
          type: "button",
          class: text === "?" ? "quiet keys-button" : "quiet",
          "aria-label": name,
          title: name,
          onclick: run,
        },
        text,
      );
    const header = h(
      "header",
      { class: "large-header" },
      this.title,
      h("div", { class: "large-meta" }, this.position, this.session),
      h(
        "div",
        { class: "large-buttons" },
        button("‹", "Previous image (P)", () => this.moveImage(-1)),
        button("›", "Next image (N)", () => this.moveImage(1)),
        button("?", "Keys (?)", () => showKeys(this.keys)),
        button("×", "Close (Esc)", () => this.close()),
      ),
    );
    const panel = h(
      "aside",
      { class: "panel", "aria-label": "Objects" },
      this.buildToggles(),
      this.list.element,
      this.details,
      this.canAnswer ? this.buildAnswers() : null,
      this.rename.element,
      this.announced,
    );
    return h(
      "dialog",
      {
        class: "large",
        tabindex: -1,
        "aria-label": "Image",
        "data-testid": "large",
        onclose: () => this.handleClose(),
      },
      header,
      h("div", { class: "large-body" }, this.stages, panel),
    );
  }

  private buildToggles(): HTMLElement {
    const texts: readonly [keyof Shown, string][] = this.options.isBoxes
      ? [
          ["names", "Names"],
          ["others", "Other objects"],
        ]
      : [
          ["masks", "Masks"],
          ["boxes", "Boxes"],
          ["names", "Names"],
          ["others", "Other objects"],
        ];
    const toggles = texts.map(([name, text]) => {
      const box = h("input", {
        type: "checkbox",
        "data-testid": `toggle-${name}`,
        onchange: () => this.toggle(name, box.checked),
      });
      box.checked = this.shown[name];
      this.boxes.set(name, box);
      return h("label", {}, box, text);
    });
    return h("div", { class: "toggles", role: "group", "aria-label": "What is drawn" }, ...toggles);
  }

  private buildAnswers(): HTMLElement {
    const button = (text: string, key: string, run: () => void): HTMLElement =>
      h("button", { type: "button", "data-testid": text.toLowerCase(), onclick: run }, `${text} `, h("kbd", {}, key));
    return h(
      "div",
      { class: "answers", role: "group", "aria-label": "Answer" },
      button("Accept", "A", () => this.answer("accepted")),
      button("Reject", "X", () => this.answer("rejected")),
      button("Rename", "R", () => this.showRename()),
      this.undoButton,
    );
  }

  private listKeys(): Key[] {
    const answers: Key[] = this.canAnswer
      ? [
          { key: "a", about: "accept the object", run: () => this.answer("accepted") },
          { key: "x", about: "reject it: there is no such object", run: () => this.answer("rejected") },
          { key: "r", about: "rename it", run: () => this.showRename() },
          // A key that is held down must not take back the whole session: nothing brings that back.
          { key: "z", about: "take back the last answer", run: (event) => event.repeat || this.undo() },
        ]
      : [];
    return [
      ...answers,
      { key: "j", about: "next object", run: () => this.moveObject(1) },
      { key: "k", about: "previous object", run: () => this.moveObject(-1) },
      { key: "n", about: "next image", run: () => this.moveImage(1) },
      { key: "p", about: "previous image", run: () => this.moveImage(-1) },
      ...(this.options.isBoxes
        ? []
        : [{ key: "u", about: "next object that no person has seen", run: () => this.moveUnseen() }]),
      { key: "m", about: "show or hide masks", run: () => this.toggle("masks", !this.shown.masks) },
      { key: "o", about: "show or hide the other objects", run: () => this.toggle("others", !this.shown.others) },
      { key: "f", about: "zoom to the object", run: () => this.selected && this.zoom?.showBox(this.selected.bbox) },
      { key: "+", about: "zoom in; the wheel does, too", run: () => this.zoom?.step(1) },
      { key: "=", about: "", shown: "", run: () => this.zoom?.step(1) },
      { key: "-", about: "zoom out", run: () => this.zoom?.step(-1) },
      { key: "0", about: "whole picture", run: () => this.zoom?.fit() },
      { key: "?", about: "these keys", run: () => undefined },
    ];
  }

  private toggle(name: keyof Shown, value: boolean): void {
    this.shown = { ...this.shown, [name]: value };
    const box = this.boxes.get(name);
    if (box) box.checked = value;
    for (const stage of this.drawn) stage.show(this.shown);
  }

  /** Goes to a stop, when all that was asked for before is done. */
  private go(stop: Stop | null, choose: Choose): Promise<void> {
    return this.enqueue(() => this.show(stop, choose));
  }

  private enqueue(step: () => Promise<void>): Promise<void> {
    const turn = this.turn;
    this.queue = this.queue
      .then(() => (turn === this.turn ? step() : undefined))
      .catch((error: unknown) => {
        this.turn++;
        if (!isAbort(error)) sayError(describe(error));
      });
    return this.queue;
  }

  private async show(stop: Stop | null, choose: Choose): Promise<void> {
    if (!stop || !this.dialog.open) return;
    this.place = stop.place;
    this.rename.close();
    if (this.image?.row !== stop.row) await this.load(stop);
    if (!this.dialog.open) return;
    this.selectObject(choose(this.objects) ?? null);
    this.prepareNext();
  }

  private async load(stop: Stop): Promise<void> {
    this.control.abort();
    this.control = new AbortController();
    const timer = setTimeout(() => this.dialog.classList.add("is-loading"), LOADING_MS);
    try {
      this.setImage(await this.options.loader.load(stop.row, this.control.signal));
    } catch (error) {
      this.showProblem(stop, describe(error));
      throw error;
    } finally {
      clearTimeout(timer);
      this.dialog.classList.remove("is-loading");
    }
  }

  private setImage(image: ImageRow): void {
    const isSame = this.image?.row === image.row;
    this.image = image;
    this.objects = sortByRisk(image.objects);
    this.title.replaceChildren(h("bdi", { title: image.file_name }, image.file_name));
    if (isSame) {
      this.drawn[0]?.setObjects(listDrawn(image));
      this.drawn[1]?.setObjects(image.other_objects ?? []);
    } else {
      this.buildStages(image);
    }
    this.listObjects(image);
  }

  private buildStages(image: ImageRow): void {
    this.zoom?.destroy();
    this.zoom = null;
    for (const stage of this.drawn) stage.overlay.destroy();
    this.drawn = [];
    const problem = image.error ?? (image.width && image.height ? null : "The size of this image is not known.");
    if (problem !== null) {
      this.stages.replaceChildren(h("p", { class: "stage-problem error", "data-testid": "stage-problem" }, problem));
      return;
    }
    const { outputs, source } = this.options;
    const address = source.picture(image.row);
    const onSelect = (object: DrawnObject): void => {
      if (!this.zoom?.wasDragged()) this.pick(object);
    };
    const build = (caption: string | null, objects: readonly DrawnObject[] | null): PictureStage =>
      new PictureStage(image, { address, caption, objects, onSelect });
    this.drawn = outputs
      ? [build(outputs[0], listDrawn(image)), build(outputs[1], image.other_objects ?? null)]
      : [build(null, listDrawn(image))];
    this.stages.replaceChildren(...this.drawn.map((stage) => stage.element));
    for (const stage of this.drawn) stage.show(this.shown);
    this.zoom = new Zoom(this.drawn, image.width ?? 1, image.height ?? 1);
    this.zoom.fit();
  }

  private showProblem(stop: Stop, sentence: string): void {
    this.image = null;
    this.objects = [];
    this.selected = null;
    this.zoom?.destroy();
    this.zoom = null;
    this.drawn = [];
    this.title.replaceChildren(`Row ${stop.row}`);
    this.stages.replaceChildren(h("p", { class: "stage-problem error" }, sentence));
    this.list.show([], [], [], "", []);
    this.details.replaceChildren();
  }

  private listObjects(image: ImageRow): void {
    const notes = [];
    if (!this.options.ids.note(image)) {
      notes.push("The labels of this image changed since the page was loaded; reload it to filter by them.");
    }
    if (this.objects.length === 0) {
      notes.push(image.status === "failed" ? "No labels: the image failed." : "No objects.");
    }
    const others = image.other_objects?.filter((object) => object.differs) ?? [];
    this.list.show(this.objects, image.rejected ?? [], others, this.options.outputs?.[1] ?? "", notes);
  }

  /** Selects what was clicked: an object of this run, or one of the other's to look at. */
  private pick(object: DrawnObject): void {
    const own = this.image?.objects[object.number] === object;
    if (own) {
      this.place = this.walk?.findObject(this.image?.row ?? -1, object.number) ?? this.place;
      this.selectObject(object);
    } else {
      this.showSelected(object, true);
    }
  }

  private selectObject(object: DrawnObject | null): void {
    this.rename.close();
    this.selected = object;
    if (this.image) this.options.onMove({ row: this.image.row, number: object?.number ?? null });
    this.showPosition();
    this.showSelected(object, false);
    if (object) this.announced.replaceChildren(describeObject(object));
  }

  private showSelected(object: DrawnObject | null, isOther: boolean): void {
    const [own, other] = this.drawn;
    own?.overlay.setSelected(isOther ? null : (object?.key ?? null));
    other?.overlay.setSelected(isOther ? (object?.key ?? null) : null);
    this.list.select(object, isOther);
    this.details.replaceChildren(...(object ? [buildOpinions(object)] : []));
  }

  private showPosition(): void {
    if (!this.walk) return;
    const noun = this.walk.isByObject ? "object" : "image";
    this.position.replaceChildren(`${formatCount(this.place + 1)} of ${formatAmount(this.walk.length, noun)}`);
  }

  /** Reads what comes next, so that it is there at once. */
  private prepareNext(): void {
    const next = this.walk?.findImage(this.place, 1);
    if (!next || !this.image) return;
    this.options.loader.load(next.row).then(
      (image) => {
        if (image.status !== "failed") new Image().src = this.options.source.picture(next.row);
      },
      () => undefined, // it is asked for again when it is shown
    );
  }

  private moveImage(direction: 1 | -1): void {
    void this.enqueue(async () => {
      const stop = this.walk?.findImage(this.place, direction) ?? null;
      if (!stop) say(direction > 0 ? "This is the last image." : "This is the first image.");
      await this.show(stop, stop?.number == null ? first : byNumber(stop.number));
    });
  }

  private moveObject(direction: 1 | -1): void {
    void this.enqueue(() => this.stepObject(direction));
  }

  private async stepObject(direction: 1 | -1): Promise<void> {
    if (!this.walk) return;
    const inImage = this.walk.isByObject ? undefined : this.objects[this.findSelected() + direction];
    if (inImage && this.selected) {
      this.selectObject(inImage);
      return;
    }
    const stop = this.walk.findObjectFrom(this.place, direction);
    if (!stop) say(direction > 0 ? "This is the last object." : "This is the first object.");
    await this.show(stop, stop?.number == null ? (direction > 0 ? first : last) : byNumber(stop.number));
  }

  private findSelected(): number {
    return this.objects.findIndex((object) => object.number === this.selected?.number);
  }

  private moveUnseen(): void {
    void this.enqueue(async () => {
      if (!this.walk) return;
      const here = this.walk.isByObject ? [] : this.objects.slice(this.findSelected() + 1);
      const unseen = here.find((object) => object.reviewed_by === null);
      if (unseen) {
        this.selectObject(unseen);
        return;
      }
      const stop = this.walk.findUnseen(this.place);
      if (!stop) say("A person has seen every object here.");
      await this.show(stop, stop?.number == null ? firstUnseen : byNumber(stop.number));
    });
  }

  /** Asks for a name when what was asked for before is done: until then another object is selected. */
  private showRename(): void {
    void this.enqueue(() => {
      if (this.canAnswer && this.selected && this.dialog.open) this.rename.open(this.selected.category);
      return Promise.resolve();
    });
  }

  private answer(verdict: Answer["verdict"], category?: string): void {
    void this.enqueue(async () => {
      const { image, selected } = this;
      if (!image || !selected || !this.canAnswer) return;
      const name = verdict === "renamed" ? (category ?? "") : undefined;
      const next = this.objects[this.findSelected() + 1] ?? null;
      try {
        this.takeRow(await this.options.answers.give(image, selected, verdict, name));
      } catch (error) {
        if (error instanceof ApiError && error.status === CONFLICT) await this.recover(image);
        throw error;
      }
      this.rename.close();
      this.countAnswer(1, describeAnswer(selected, verdict, name));
      await this.moveOn(next);
    });
  }

  /** Takes back the last answer, of cards too, and shows its object. */
  private undo(): void {
    void this.enqueue(async () => {
      if (!this.canAnswer) return;
      const undone = await this.options.answers.undo();
      if (!undone) {
        say("No answer of this session is left to take back.");
        return;
      }
      const { image, object } = undone;
      this.countAnswer(-1, `took back: ${undone.about}`);
      if (this.image?.row === image.row) this.takeRow(image);
      const number = object?.number ?? null;
      const stop = this.walk?.findStop(image.row, number) ?? null;
      const choose: Choose = number === null ? first : byNumber(number);
      if (stop) await this.show(stop, choose);
      else if (this.image?.row === image.row) this.selectObject(choose(this.objects) ?? null);
    });
  }

  /** Brings a rejected object of the image back. */
  private restore(rejected: DrawnObject): void {
    void this.enqueue(async () => {
      const { image } = this;
      if (!image?.rejected?.includes(rejected)) return;
      try {
        this.takeRow(await this.options.answers.restore(image, rejected));
      } catch (error) {
        if (error instanceof ApiError && error.status === CONFLICT) await this.recover(image);
        throw error;
      }
      this.undoButton.disabled = !this.options.answers.canUndo;
      this.session.replaceChildren("restored ", h("bdi", {}, rejected.category));
      const known = new Set(image.objects.map(({ key }) => key));
      this.selectObject(this.objects.find(({ key }) => !known.has(key)) ?? first(this.objects) ?? null);
      this.dialog.focus(); // the button that was pressed is gone
    });
  }

  private countAnswer(more: 1 | -1, done: string): void {
    this.answered = Math.max(0, this.answered + more);
    this.undoButton.disabled = !this.options.answers.canUndo;
    this.session.replaceChildren(`${formatAmount(this.answered, "answer")} this session: `, h("bdi", {}, done));
  }

  /** Shows a row as it is now. */
  private takeRow(now: ImageRow): void {
    if (this.dialog.open) this.setImage(now);
  }

  /** Selects the object that came after the one answered, in this image or in the next. */
  private async moveOn(next: DrawnObject | null): Promise<void> {
    if (!this.dialog.open) return;
    const here = this.walk?.isByObject ? undefined : this.objects.find((object) => object.key === next?.key);
    if (here) {
      this.selectObject(here);
      return;
    }
    const stop = this.walk?.findObjectFrom(this.place, 1) ?? null;
    if (stop) {
      await this.show(stop, stop.number === null ? first : byNumber(stop.number));
      return;
    }
    say("That was the last object.");
    this.selectObject(this.objects.find((object) => object.key === this.selected?.key) ?? last(this.objects) ?? null);
  }

  /** Somebody else answered meanwhile: shows the labels as they are now. */
  private async recover(image: ImageRow): Promise<void> {
    const key = this.selected?.key;
    const [now] = await this.options.source.images([image.row]).catch(() => []);
    if (!now) return;
    this.takeRow(await this.options.answers.show(image, now));
    this.selectObject(this.objects.find((object) => object.key === key) ?? first(this.objects) ?? null);
  }

  private handleClose(): void {
    this.stopKeys();
    this.control.abort();
    const stop: Stop = { place: this.place, row: this.image?.row ?? -1, number: this.selected?.number ?? null };
    this.image = null;
    this.options.onClose(stop);
  }
}

/** Returns objects by risk, the most doubtful first; those without one are last. */
function sortByRisk(objects: readonly DrawnObject[]): DrawnObject[] {
  return [...objects].sort((one, other) => (other.risk ?? -1) - (one.risk ?? -1));
}

/** Returns what is drawn on the picture: the objects, and below them what was rejected. */
function listDrawn(image: ImageRow): DrawnObject[] {
  return [...image.objects, ...(image.rejected ?? [])];
}

function byNumber(number: number): Choose {
  return (objects) => objects.find((object) => object.number === number) ?? objects[0];
}

function describeObject(object: DrawnObject): string {
  const parts = [object.category];
  if (object.risk !== null) parts.push(`risk ${formatShare(object.risk)}`);
  if (object.reason !== null) parts.push(object.reason);
  if (object.verdict !== null) parts.push(object.verdict);
  return parts.join(", ");
}
