import type { Clock } from "./environment";
import { answerFrame, readAnswer, unknownOutcome } from "./http-answer";

/** An answer that takes longer is not waited for. */
export const POST_WITHIN_MS = 10_000;

export interface PostQueueOptions {
  readonly url: string;
  readonly token: string | null;
  /** Gets what a socket would have brought as the answer to a message. */
  readonly onAnswer: (frame: object) => void;
}

/**
 * Sends messages with POST, one after the other as a socket would.
 *
 * Each that has an id gets an answer in the end: where the outcome isn't known, one that says so, and
 * whoever wrote the message sends it again under its id.
 */
export class PostQueue {
  readonly #options: PostQueueOptions;
  readonly #clock: Clock;
  readonly #waiting: string[] = [];
  #busy = false;
  #closed = false;

  constructor(options: PostQueueOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** Sends a message as soon as those before it have their answers. */
  send(text: string): void {
    this.#waiting.push(text);
    if (!this.#busy) void this.#work();
  }

  /**
   * Sends no more and reports no more. What is under way goes on: it may be the last thing that the
   * person did before closing the tab.
   */
  close(): void {
    this.#closed = true;
    this.#waiting.length = 0;
  }

  async #work(): Promise<void> {
    this.#busy = true;
    for (let text = this.#waiting.shift(); text !== undefined; text = this.#waiting.shift()) {
      const answer = await this.#post(text);
      if (answer !== null && !this.#closed) this.#options.onAnswer(answer);
    }
    this.#busy = false;
  }

  async #post(text: string): Promise<object | null> {
    const { url, token } = this.#options;
    const ref = idOf(text);
    const patience = new AbortController();
    const timer = this.#clock.setTimer(() => patience.abort(), POST_WITHIN_MS);
    try {
      const response = await fetch(url, {
        method: "POST",
        body: text,
        headers: {
          "Content-Type": "application/json",
          ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
        },
        cache: "no-store",
        keepalive: true,
        signal: patience.signal,
      });
      return answerFrame(ref, await readAnswer(response, this.#clock.nowMs()));
    } catch {
      return unknownOutcome(ref, "The relay doesn't answer.");
    } finally {
      this.#clock.clearTimer(timer);
    }
  }
}

function idOf(text: string): string | null {
  const { id } = JSON.parse(text) as { readonly id?: unknown };
  return typeof id === "string" ? id : null;
}
