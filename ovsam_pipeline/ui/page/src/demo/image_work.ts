// One opened image: what is drawn on it, the newest answer, accepted objects, undo. No elements here.

import { describe } from "../shared/api";
import type { DrawnObject } from "../shared/types";
import type { Connection } from "./connection";
import { History } from "./history";
import { Newest } from "./newest";
import { EMPTY, hasObject, toJson, type Prompt, type Size } from "./prompt";
import * as server from "./server";
import type { Found, Opened } from "./server";

/** What is not accepted yet: the prompt, and the name where a person chose one. */
export interface Draft {
  readonly prompt: Prompt;
  readonly name: string | null;
}

/** What accepting did: an object in nearly the place of others replaces them. */
interface Added {
  readonly object: DrawnObject;
  readonly replaced: readonly DrawnObject[];
}

export const NOTHING: Draft = { prompt: EMPTY, name: null };

export class ImageWork implements Size {
  readonly row: number;
  readonly width: number;
  readonly height: number;
  readonly history = new History();
  draft: Draft = NOTHING;
  /** The newest answer; it belongs to an earlier prompt while `isAsking`. */
  found: Found | null = null;
  accepted: readonly DrawnObject[];
  /** Why there is no answer to the prompt, as a sentence. */
  error: string | null = null;
  /** When the newest prompt was drawn, by performance.now(). */
  askedAt = 0;
  private readonly asking = new Newest();
  private answer: Promise<void> = Promise.resolve();
  private isAccepting = false;
  /** Drafts of objects accepted by this page, by key: their removal can be undone. */
  private readonly drafts = new Map<string, Draft>();

  constructor(
    opened: Opened,
    private readonly connection: Connection,
    private readonly onChange: (work: ImageWork) => void,
  ) {
    this.row = opened.row;
    this.width = opened.width;
    this.height = opened.height;
    this.accepted = opened.accepted;
  }

  get isAsking(): boolean {
    return this.asking.isAsking;
  }

  /** The name that the object gets when it is accepted; null where nobody named it. */
  get name(): string | null {
    const best = this.found?.names.find(({ ignored }) => ignored !== true);
    return this.draft.name ?? best?.category ?? null;
  }

  /** Replace the draft, as one step of the history. */
  change(change: Partial<Draft>): void {
    const before = this.draft;
    const after = { ...before, ...change };
    this.history.add({ undo: () => this.put(before), redo: () => this.put(after) });
    this.put(after);
  }

  /** Ask again: after another vocabulary, or when the image is shown again. */
  refresh(): void {
    this.answer = this.ask();
    this.onChange(this);
  }

  /** Give up the question under way. */
  leave(): void {
    this.asking.cancel();
  }

  /** Wait for the answer to the newest prompt. */
  async settle(): Promise<void> {
    while (this.isAsking) await this.answer;
  }

  /** Accept the current object by its name; it must have a mask. */
  async accept(): Promise<void> {
    if (this.isAccepting) return;
    this.isAccepting = true;
    try {
      const { draft, name } = this;
      if (name === null) return;
      let added = await this.add(draft, name);
      this.history.add({
        undo: async () => {
          await this.take(added.object);
          for (const object of added.replaced) await this.restore(object);
          this.put(draft);
        },
        redo: async () => {
          added = await this.add(draft, name);
          this.put(NOTHING);
        },
      });
      // What was drawn meanwhile is the next object.
      if (this.draft === draft) this.put(NOTHING);
    } finally {
      this.isAccepting = false;
    }
  }

  canRestore(object: DrawnObject): boolean {
    return this.drafts.has(object.key);
  }

  /** Remove an accepted object; it can be undone where this page accepted it. */
  async remove(object: DrawnObject): Promise<void> {
    await this.take(object);
    if (!this.canRestore(object)) return;
    this.history.add({ undo: () => this.restore(object), redo: () => this.take(object) });
  }

  async rename(object: DrawnObject, category: string): Promise<void> {
    const give = async (name: string): Promise<void> => {
      const now = this.find(object);
      this.setAccepted(await this.connection.ask(() => server.rename(this.row, now, name)));
    };
    await give(category);
    this.history.add({ undo: () => give(object.category), redo: () => give(category) });
  }

  setAccepted({ accepted }: server.Accepted): void {
    this.accepted = accepted;
    this.onChange(this);
  }

  private put(draft: Draft): void {
    const isSame = draft.prompt === this.draft.prompt;
    this.draft = draft;
    if (!isSame) this.answer = this.ask();
    this.onChange(this);
  }

  private async ask(): Promise<void> {
    const { prompt } = this.draft;
    this.error = null;
    this.askedAt = performance.now();
    if (!hasObject(prompt)) {
      this.asking.cancel();
      this.found = null;
      return;
    }
    const question = toJson(prompt, this);
    try {
      const found = await this.asking.ask((signal) =>
        this.connection.keepAsking(() => server.predict(this.row, question, signal), signal),
      );
      if (found === undefined) return;
      this.found = found;
    } catch (error) {
      this.found = null;
      this.error = describe(error);
    }
    this.onChange(this);
  }

  private async add(draft: Draft, name: string): Promise<Added> {
    const before = this.accepted;
    const question = toJson(draft.prompt, this);
    const answer = await this.connection.ask(() => server.accept(this.row, question, name));
    const isIn = (objects: readonly DrawnObject[], key: string): boolean =>
      objects.some((object) => object.key === key);
    const { accepted } = answer;
    // The same mask again has the same key.
    const object =
      accepted.find(({ key }) => !isIn(before, key)) ??
      accepted.findLast(({ category }) => category === name);
    if (object === undefined) throw new Error("the server accepted the object and does not list it");
    this.drafts.set(object.key, draft);
    this.setAccepted(answer);
    return { object, replaced: before.filter(({ key }) => !isIn(accepted, key)) };
  }

  /** Accept an object again by the prompt that it came from; nothing where that is not known. */
  private async restore(object: DrawnObject): Promise<void> {
    const draft = this.drafts.get(object.key);
    if (draft !== undefined) await this.add(draft, object.category);
  }

  private async take(object: DrawnObject): Promise<void> {
    const now = this.find(object);
    this.setAccepted(await this.connection.ask(() => server.withdraw(this.row, now)));
  }

  /** Objects are numbered anew when one goes; the key stays. */
  private find(object: DrawnObject): DrawnObject {
    return this.accepted.find(({ key }) => key === object.key) ?? object;
  }
}
