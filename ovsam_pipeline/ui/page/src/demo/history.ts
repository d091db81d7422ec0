// Undo and redo of what a person did to one image: a list of steps that can be taken back.

/** A step that was done: both ways of it may ask the server and fail, then nothing changes. */
export interface Step {
  undo(): Promise<void> | void;
  redo(): Promise<void> | void;
}

export class History {
  private readonly done: Step[] = [];
  private readonly undone: Step[] = [];
  private isBusy = false;

  get canUndo(): boolean {
    return this.done.length > 0;
  }

  get canRedo(): boolean {
    return this.undone.length > 0;
  }

  /** Remember a step that was just done. */
  add(step: Step): void {
    this.done.push(step);
    this.undone.length = 0;
  }

  undo(): Promise<void> {
    return this.move(this.done, this.undone, (step) => step.undo());
  }

  redo(): Promise<void> {
    return this.move(this.undone, this.done, (step) => step.redo());
  }

  /** Take the newest step of one list to the other; one at a time, also when keys repeat. */
  private async move(
    from: Step[],
    to: Step[],
    run: (step: Step) => Promise<void> | void,
  ): Promise<void> {
    const step = from.at(-1);
    if (step === undefined || this.isBusy) return;
    this.isBusy = true;
    try {
      await run(step);
      // Another step may have been added meanwhile.
      from.splice(from.lastIndexOf(step), 1);
      to.push(step);
    } finally {
      this.isBusy = false;
    }
  }
}
