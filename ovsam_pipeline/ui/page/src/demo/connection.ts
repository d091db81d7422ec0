// A server that goes away and comes back: questions are repeated until it answers.

import { ApiError } from "../shared/api";

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 4000;

export class Connection {
  private isLost = false;

  /** `onChange` learns when the server stops and starts answering. */
  constructor(private readonly onChange: (isLost: boolean) => void) {}

  /** Ask until there is an answer, or another error than silence. */
  async keepAsking<T>(question: () => Promise<T>, signal: AbortSignal): Promise<T> {
    for (let wait = FIRST_WAIT_MS; ; wait = Math.min(2 * wait, LONGEST_WAIT_MS)) {
      try {
        return await this.ask(question);
      } catch (error) {
        if (!isSilence(error) || signal.aborted) throw error;
        await pause(wait, signal);
      }
    }
  }

  /** Ask once. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    try {
      const answer = await question();
      this.mark(false);
      return answer;
    } catch (error) {
      if (isSilence(error)) this.mark(true);
      else if (error instanceof ApiError) this.mark(false);
      throw error;
    }
  }

  private mark(isLost: boolean): void {
    if (isLost === this.isLost) return;
    this.isLost = isLost;
    this.onChange(isLost);
  }
}

/** Whether the server did not answer at all. */
export function isSilence(error: unknown): boolean {
  return error instanceof ApiError && error.status === 0;
}

/** Wait, or until the question is given up. */
function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
