/** The gallery of an output: filters, a grid of images or objects, and one of them large. */
import { describe } from "../shared/api";
import { h } from "../shared/dom";
import { listenToKeys, showKeys, type Key } from "../shared/keys";
import { sayError, say } from "../shared/toast";
import { Answers } from "./answers";
import { emptyCard, fillImageCard, fillObjectCard, IMAGE_CARD, OBJECT_CARD, type CardFacts } from "./cards";
import { changeView, Filters, type ViewPart } from "./filters";
import { formatAmount } from "./format";
import { FAILED, VERDICTS, type Index } from "./index";
import { LargeView } from "./large_view";
import { Loader } from "./loader";
import { findNames, rankNames } from "./names";
import { ObjectIds, type Category } from "./object_ids";
import { printWholeGrid } from "./print";
import { countObjects, findHighestRisk, listSorts, Selector, type Counted, type Extra, type Selection } from "./select";
import { EmbeddedSource, ServerSource, type Answer, type Source } from "./source";
import { Toolbar } from "./toolbar";
import { clearFilters, makeDefaultView, readHash, writeHash, type View } from "./view";
import { VirtualGrid } from "./virtual_grid";
import { Walk, type Stop } from "./walk";

/** Start data of the page (`ui/gallery/routes.py`; of a report `ui/report.py`). */
export interface GalleryStart {
  readonly output: string;
  readonly categories: readonly { readonly id: number; readonly name: string; readonly colour: string }[];
  readonly images: number;
  readonly objects: number;
  readonly is_boxes: boolean;
  readonly can_answer: boolean;
  readonly compare: null | { readonly output: string };
  readonly embedded?: boolean;
  /** Parts of the output that cannot be read, with a sentence each. */
  readonly damaged?: Readonly<Record<string, string>>;
}

/** Cards that are printed; more would keep a browser busy for minutes. */
const MOST_PRINTED = 5_000;
/** Browsers refuse more than some changes of the address a second. */
const ADDRESS_MS = 300;
/** Who answers fast does not wait for counts. */
const COUNT_MS = 300;

/** Shows the gallery in `root`; `start` is the start data of the page. */
export function mount(root: HTMLElement, start: unknown): void {
  const given = start as GalleryStart;
  const source = given.embedded ? new EmbeddedSource() : new ServerSource(given.can_answer);
  document.title = `${findLastPart(given.output)} – ovsam`;
  mountGallery(root, given, source);
}

/** Shows the gallery of any source, below what `root` holds already. */
export function mountGallery(root: HTMLElement, start: GalleryStart, source: Source): void {
  const waiting = h(
    "p",
    { class: "gallery-waiting muted", role: "status" },
    `Reading ${formatAmount(start.images, "image")} …`,
  );
  root.append(waiting);
  source.index().then(
    (index) => {
      waiting.remove();
      new Gallery(root, start, source, index);
    },
    (error: unknown) => {
      const retry = h("button", { type: "button", onclick: () => location.reload() }, "Try again");
      waiting.replaceWith(
        h("div", { class: "gallery-waiting", role: "alert" }, h("p", { class: "error" }, describe(error)), retry),
      );
    },
  );
}

class Gallery {
  private readonly initial: View;
  private view: View;
  private selection: Selection;
  private readonly outputs: readonly [string, string];
  private readonly categories: Category[];
  private readonly ids: ObjectIds;
  private readonly selector: Selector;
  private readonly loader: Loader;
  private readonly answers: Answers;
  private readonly grid: VirtualGrid;
  private readonly toolbar: Toolbar;
  private readonly filters: Filters;
  private readonly large: LargeView;
  private readonly page = h("div", { class: "gallery", "data-testid": "gallery" });
  private readonly nothing = h("p", { class: "nothing muted", hidden: true });
  private extra: Extra;
  private fileNames: readonly string[] | null = null;
  private timer: number | undefined;
  private countTimer: number | undefined;
  private frame = 0;
  private queue: Promise<void> = Promise.resolve();
  private readonly keys: readonly Key[];

  constructor(
    root: HTMLElement,
    private readonly start: GalleryStart,
    private readonly source: Source,
    private readonly index: Index,
  ) {
    this.initial = makeDefaultView(listSorts(index));
    this.view = readHash(location.hash, this.initial);
    this.outputs = nameOutputs(start.output, start.compare?.output ?? "");
    this.categories = start.categories.map(({ name, colour }) => ({ name, colour }));
    this.ids = new ObjectIds(index, this.categories);
    this.selector = new Selector(index);
    this.extra = { categories: this.categories, nameMatches: null, nameRanks: null };
    this.selection = this.selector.select(this.view, this.extra);
    this.loader = new Loader(source, (rows) => this.takeRows(rows));
    this.answers = new Answers({
      source,
      loader: this.loader,
      ids: this.ids,
      isCompared: start.compare !== null,
      onChange: (row) => this.takeAnswer(row),
    });
    this.grid = new VirtualGrid({
      label: `Labels in ${findLastPart(start.output)}`,
      fill: (card, position) => this.fillCard(card, position),
      empty: emptyCard,
      onRange: (first, end) => this.loader.want(this.listRows(first, end)),
      onOpen: (position) => this.openPosition(position),
    });
    this.filters = new Filters(
      index,
      this.categories,
      (part) => this.change(part),
      () => this.set(clearFilters(this.view, this.initial)),
    );
    this.toolbar = new Toolbar({
      title: this.buildTitle(),
      images: index.images,
      sorts: listSorts(index),
      onChange: (part) => this.change(part),
      onToggleFilters: () => this.page.classList.toggle("shows-filters"),
      onKeys: () => showKeys(this.keys),
    });
    this.large = new LargeView({
      source,
      loader: this.loader,
      ids: this.ids,
      answers: this.answers,
      categories: this.categories,
      outputs: start.compare ? this.outputs : null,
      isBoxes: start.is_boxes,
      onMove: (open) => this.remember({ ...this.view, open }),
      onClose: (stop) => this.returnToGrid(stop),
    });
    this.keys = this.listKeys();
    this.build(root);
    this.show();
    void this.completeNames();
    this.openPlace();
    addEventListener("hashchange", () => this.readAddress());
    addEventListener("popstate", () => this.readAddress());
    printWholeGrid(
      this.grid.element,
      () => this.fillAllCards(),
      () => this.selection.items.length,
    );
    document.addEventListener("visibilitychange", () => void this.lookForMore());
  }

  private build(root: HTMLElement): void {
    const main = h("main", {}, this.buildDamage(), this.nothing, this.grid.element);
    this.page.append(this.toolbar.element, this.filters.element, main);
    root.append(this.page);
    listenToKeys(this.keys);
  }

  private buildTitle(): HTMLElement {
    const { output, compare } = this.start;
    const [own, other] = this.outputs;
    const against = compare
      ? h("span", { class: "muted" }, " against ", h("bdi", { title: compare.output }, other))
      : null;
    return h("h1", { title: output }, h("bdi", {}, own), against);
  }

  /** Returns what of the output cannot be read; null where all can. */
  private buildDamage(): HTMLElement | null {
    const sentences = Object.values(this.start.damaged ?? {});
    if (sentences.length === 0) return null;
    return h(
      "div",
      { class: "damage", role: "status", "data-testid": "damage" },
      ...sentences.map((sentence) => h("p", { class: "error" }, sentence)),
    );
  }

  private listKeys(): Key[] {
    const answers: Key[] =
      this.source.answer && !this.start.is_boxes
        ? [
            {
              key: "a",
              about: "accept the object of the card (among objects)",
              run: () => this.answerCard("accepted"),
            },
            { key: "x", about: "reject it", run: () => this.answerCard("rejected") },
            { key: "z", about: "take back the last answer", run: (event) => event.repeat || this.undo() },
          ]
        : [];
    return [
      { key: "g", about: "go to the cards", run: () => this.grid.focusActive() },
      // Only listed: the grid listens to these where it has the focus, and sliders need them, too.
      { key: "in the grid", shown: "← → ↑ ↓", about: "move between cards", run: () => undefined },
      { key: "in the grid, too", shown: "Enter", about: "open the card", run: () => undefined },
      ...answers,
      {
        key: "f",
        about: "find in file names",
        run: () => this.filters.element.querySelector<HTMLElement>("#filter-name")?.focus(),
      },
      {
        key: "c",
        about: "find a class",
        run: () => this.filters.element.querySelector<HTMLElement>("#filter-class")?.focus(),
      },
      { key: "?", about: "these keys", run: () => undefined },
    ];
  }

  private change(part: ViewPart): void {
    this.set(changeView(this.view, part));
    if (part.name || part.sort === "name") void this.completeNames();
  }

  private set(view: View): void {
    this.remember(view);
    // A slider that is dragged changes the view more often than the screen is drawn.
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.show();
    });
  }

  /** Keeps the view in the address. */
  private remember(view: View): void {
    const isOpened = view.open !== null && this.view.open === null;
    this.view = view;
    clearTimeout(this.timer);
    const write = (): void => {
      const hash = writeHash(this.view, this.initial);
      if (location.hash.replace(/^#/, "") === hash) return;
      // The button "back" closes the large view.
      if (isOpened) history.pushState(null, "", `#${hash}`);
      else history.replaceState(null, "", hash === "" ? location.pathname + location.search : `#${hash}`);
    };
    if (isOpened) write();
    else this.timer = window.setTimeout(write, ADDRESS_MS);
  }

  /** Follows an address that was typed, pasted, or gone back to. */
  private readAddress(): void {
    const view = readHash(location.hash, this.initial);
    if (writeHash(view, this.initial) === writeHash(this.view, this.initial)) return;
    this.view = view;
    this.show();
    void this.completeNames();
    if (view.open === null) this.large.close();
    else this.openPlace();
  }

  /** Reads file names where the view needs them; nothing else waits for them. */
  private async completeNames(): Promise<void> {
    if (this.view.name === "" && this.view.sort !== "name") return;
    try {
      this.fileNames ??= await this.source.names();
    } catch (error) {
      sayError(describe(error));
      return;
    }
    this.show();
  }

  private show(keepPlace = false): void {
    performance.mark("filter-start");
    const { view } = this;
    if (this.fileNames) {
      this.extra = {
        categories: this.categories,
        nameMatches: view.name === "" ? null : findNames(this.fileNames, view.name),
        nameRanks: this.rankNames(this.fileNames),
      };
    }
    this.selection = this.selector.select(view, this.extra);
    performance.measure("gallery: filter", "filter-start");
    const { items } = this.selection;
    this.showCounts(this.selection);
    this.nothing.hidden = items.length > 0;
    this.nothing.replaceChildren(
      this.index.images === 0 ? "This output has no images yet." : "Nothing fits all filters.",
    );
    this.toolbar.update(view);
    this.grid.show(items.length, view.mode === "images" ? IMAGE_CARD : OBJECT_CARD, keepPlace);
    performance.measure("gallery: show", "filter-start");
  }

  private showCounts(counted: Counted): void {
    this.toolbar.count(counted);
    this.filters.update(this.view, counted.choices);
  }

  private rankNames(names: readonly string[]): Float32Array | null {
    if (this.extra.nameRanks || this.view.sort !== "name") return this.extra.nameRanks;
    this.selector.forgetOrders();
    return rankNames(names);
  }

  /** When somebody comes back to the page: says whether a run has labelled more meanwhile. */
  private async lookForMore(): Promise<void> {
    if (document.hidden || !this.source.count) return;
    try {
      const more = (await this.source.count()) - this.index.images;
      if (more > 0) say(`${formatAmount(more, "more image")} labelled meanwhile; reload the page to see them.`);
    } catch {
      // The next request that matters says so.
    }
  }

  private findRow(position: number): number {
    const item = this.selection.items[position] ?? 0;
    return this.view.mode === "images" ? item : (this.selector.owner[item] ?? 0);
  }

  private listRows(start: number, end: number): number[] {
    const rows = new Set<number>();
    for (let position = start; position < end; position++) rows.add(this.findRow(position));
    return [...rows];
  }

  private fillCard(card: HTMLElement, position: number): void {
    const row = this.findRow(position);
    const image = this.loader.get(row);
    const ids = this.ids.of(row);
    const facts: CardFacts = {
      image,
      hasFailed: this.index.status[row] === FAILED,
      error: this.loader.getError(row),
      objects: countObjects(this.index, row),
      highestRisk: findHighestRisk(this.index, row),
      difference: this.index.difference?.[row] ?? null,
      passes: (object) => this.selection.passes(ids[object.number] ?? -1),
      thumbnail: (side) => this.source.thumbnail(row, side),
    };
    if (this.view.mode === "images") fillImageCard(card, facts);
    else this.fillObject(card, facts, this.selection.items[position] ?? -1);
  }

  private fillObject(card: HTMLElement, facts: CardFacts, object: number): void {
    const number = this.ids.of(this.selector.owner[object] ?? 0).indexOf(object);
    const isRejected = this.index.verdict[object] === VERDICTS.indexOf("rejected");
    fillObjectCard(
      card,
      facts,
      facts.image?.objects[number] ?? null,
      isRejected ? "Rejected." : "Not among the labels any more.",
    );
  }

  /** Fills a card for each item, for print; returns those whose row is here. */
  private fillAllCards(): HTMLElement[] {
    const cards: HTMLElement[] = [];
    for (let position = 0; position < this.selection.items.length && cards.length < MOST_PRINTED; position++) {
      if (!this.loader.get(this.findRow(position))) continue;
      const card = h("div", { class: "card" });
      this.fillCard(card, position);
      cards.push(card);
    }
    return cards;
  }

  /** Counts anew after an answer; cards keep their places until the view changes. */
  private takeAnswer(row: number): void {
    this.selector.forgetOrders();
    this.refreshRows([row]);
    clearTimeout(this.countTimer);
    this.countTimer = window.setTimeout(() => this.showCounts(this.selector.count(this.view, this.extra)), COUNT_MS);
  }

  private takeRows(rows: readonly number[]): void {
    for (const row of rows) {
      const image = this.loader.get(row);
      if (image) this.ids.note(image);
    }
    this.refreshRows(rows);
  }

  private refreshRows(rows: readonly number[]): void {
    const changed = new Set(rows);
    this.grid.refresh((position) => changed.has(this.findRow(position)));
  }

  private makeWalk(): Walk {
    const owner = this.view.mode === "objects" ? this.selector.owner : null;
    return new Walk(this.index, this.ids, this.selection.items, owner);
  }

  private openPosition(position: number): void {
    const walk = this.makeWalk();
    const stop = walk.at(position);
    if (stop) void this.large.open(walk, stop);
  }

  /** Opens what the address names, on its own where the filters leave it out. */
  private openPlace(): void {
    const { open } = this.view;
    if (open === null) return;
    if (open.row >= this.index.images) {
      say(`There is no image in row ${open.row} of this output.`);
      this.remember({ ...this.view, open: null });
      return;
    }
    const walk = this.makeWalk();
    const found = walk.isByObject ? walk.findObject(open.row, open.number) : this.selection.items.indexOf(open.row);
    if (found !== null && found >= 0) void this.large.open(walk, { place: found, ...open });
    else void this.large.open(new Walk(this.index, this.ids, Uint32Array.of(open.row), null), { place: 0, ...open });
  }

  private returnToGrid(stop: Stop): void {
    this.remember({ ...this.view, open: null });
    this.show(true);
    const id = this.ids.of(stop.row)[stop.number ?? -1] ?? -1;
    const item = this.view.mode === "images" ? stop.row : id;
    const position = this.selection.items.indexOf(item);
    if (position >= 0) this.grid.focus(position);
  }

  /** Answers for the object whose card has the focus, and moves on to the next card. */
  private answerCard(verdict: Answer["verdict"]): void {
    const card = document.activeElement?.closest<HTMLElement>(".card");
    if (!card || this.view.mode !== "objects") return;
    const position = Number(card.dataset["position"]);
    const object = this.selection.items[position];
    if (object === undefined || !this.loader.get(this.findRow(position))) return;
    this.grid.focus(position + 1);
    this.enqueue(() => this.sendAnswer(object, verdict));
  }

  /** One after the other: an answer may change the numbers of the objects in its row. */
  private enqueue(step: () => Promise<void>): void {
    this.queue = this.queue.then(step).catch((error: unknown) => sayError(describe(error)));
  }

  /** Takes back the last answer, and goes to the card of its object. */
  private undo(): void {
    this.enqueue(async () => {
      const undone = await this.answers.undo();
      if (!undone) {
        say("No answer of this session is left to take back.");
        return;
      }
      say(`Took back: ${undone.about}.`);
      const { row } = undone.image;
      const id = this.ids.of(row)[undone.object?.number ?? -1] ?? -1;
      const position = this.selection.items.indexOf(this.view.mode === "images" ? row : id);
      if (position >= 0) this.grid.focus(position);
    });
  }

  private async sendAnswer(object: number, verdict: Answer["verdict"]): Promise<void> {
    const row = this.selector.owner[object] ?? 0;
    const image = await this.loader.load(row);
    const number = this.ids.of(row).indexOf(object);
    const drawn = image.objects[number];
    if (!drawn) return;
    await this.answers.give(image, drawn, verdict);
    if (verdict === "rejected") say(`Rejected ${drawn.category}.`, { text: "Undo", run: () => this.undo() });
  }
}

/** Returns the last part of a path or an address. */
function findLastPart(path: string): string {
  return path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;
}

/** Returns short names of two outputs: the last parts of their paths, where these tell them apart. */
function nameOutputs(one: string, other: string): [string, string] {
  const [short, shortOther] = [findLastPart(one), findLastPart(other)];
  return short === shortOther ? [one, other] : [short, shortOther];
}
