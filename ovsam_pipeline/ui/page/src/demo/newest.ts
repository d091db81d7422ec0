// Questions of which only the newest matters: older answers never overwrite newer ones.

/** Asks one question at a time; a newer one aborts the one under way. */
export class Newest {
  private controller: AbortController | null = null;

  get isAsking(): boolean {
    return this.controller !== null;
  }

  /** Return the answer, or undefined where a newer question came or `cancel` was called. */
  async ask<T>(question: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    this.cancel();
    const controller = new AbortController();
    this.controller = controller;
    try {
      const answer = await question(controller.signal);
      return controller.signal.aborted ? undefined : answer;
    } catch (error) {
      if (controller.signal.aborted) return undefined;
      throw error;
    } finally {
      if (this.controller === controller) this.controller = null;
    }
  }

  cancel(): void {
    this.controller?.abort();
    this.controller = null;
  }
}

/** Asks as often as answers come: while one is under way, only the last wish is kept. */
export class Throttled<Q, A> {
  private isAsking = false;
  private next: Q | null = null;

  constructor(
    private readonly ask: (question: Q) => Promise<A>,
    private readonly onAnswer: (question: Q, answer: A) => void,
    private readonly onError: (error: unknown) => void,
  ) {}

  put(question: Q): void {
    this.next = question;
    if (!this.isAsking) void this.run();
  }

  /** Forget what was not asked yet; the answer under way still comes. */
  clear(): void {
    this.next = null;
  }

  private async run(): Promise<void> {
    this.isAsking = true;
    while (this.next !== null) {
      const question = this.next;
      this.next = null;
      try {
        this.onAnswer(question, await this.ask(question));
      } catch (error) {
        this.next = null;
        this.onError(error);
      }
    }
    this.isAsking = false;
  }
}
