import type { Environment } from "./environment";
import { MAX_SEEN } from "./messages";

export interface SeenMessage {
  readonly type: "seen";
  readonly hints: readonly string[];
}

/** A hint that flits past hasn't been read. */
export const SEEN_AFTER_MS = 1_000;
/** What was reported so shortly before a connection broke may not have arrived. */
export const AGAIN_WITHIN_MS = 30_000;
/** A relay that could not take a report is left alone for so long. */
export const FAILED_FOR_MS = 5_000;
const TICK_MS = 1_000;

/**
 * Reports which hints were on a visible screen for a second, each once per page life, in batches.
 *
 * `inSight` and `outOfSight` as hints come and go on the screen; `connected` and `disconnected` as the
 * connection does. Wants `attach` for as long as the page is there.
 */
export class Sightings {
  readonly #environment: Environment;
  readonly #send: (message: SeenMessage) => boolean;
  readonly #inSight = new Set<string>();
  /** Since when those in sight that nobody has been told of are seen, in ms. */
  readonly #since = new Map<string, number>();
  readonly #told = new Set<string>();
  readonly #waiting = new Set<string>();
  /** When those that were told of lately were, in ms. */
  readonly #recent = new Map<string, number>();
  #connected = false;
  #notBeforeMs = 0;
  #timer: unknown = null;

  /** @param send puts a message on the present connection; false when there is none */
  constructor(environment: Environment, send: (message: SeenMessage) => boolean) {
    this.#environment = environment;
    this.#send = send;
  }

  inSight(id: string): void {
    this.#inSight.add(id);
    this.#begin(id);
  }

  outOfSight(id: string): void {
    this.#inSight.delete(id);
    this.#since.delete(id);
  }

  connected(): void {
    this.#connected = true;
    for (const id of this.#recent.keys()) this.#waiting.add(id);
    this.#recent.clear();
    if (this.#waiting.size > 0) this.#arm();
  }

  /** Is told that the relay could not take a report: what was reported lately goes again, later. */
  failed(retryAfterMs: number): void {
    this.#forgetOld();
    for (const id of this.#recent.keys()) this.#waiting.add(id);
    this.#recent.clear();
    this.#notBeforeMs = this.#environment.nowMs() + Math.max(retryAfterMs, FAILED_FOR_MS);
    if (this.#connected && this.#waiting.size > 0) this.#arm();
  }

  disconnected(): void {
    this.#connected = false;
    this.#forgetOld();
  }

  /** Follows whether the page is visible, until the returned function is called. */
  attach(): () => void {
    const unlisten = [
      this.#environment.listen("hidden", () => this.#since.clear()),
      this.#environment.listen("visible", () => {
        for (const id of this.#inSight) this.#begin(id);
      }),
    ];
    return () => {
      for (const stop of unlisten) stop();
      if (this.#timer !== null) this.#environment.clearTimer(this.#timer);
      this.#timer = null;
    };
  }

  #begin(id: string): void {
    if (this.#told.has(id) || !this.#environment.isVisible()) return;
    this.#since.set(id, this.#environment.nowMs());
    this.#arm();
  }

  #tick = (): void => {
    this.#timer = null;
    const nowMs = this.#environment.nowMs();
    for (const [id, sinceMs] of this.#since) {
      if (nowMs - sinceMs < SEEN_AFTER_MS) continue;
      this.#since.delete(id);
      this.#told.add(id);
      this.#waiting.add(id);
    }
    if (this.#connected) this.#report(nowMs);
    if (this.#since.size > 0 || (this.#connected && this.#waiting.size > 0)) this.#arm();
  };

  #report(nowMs: number): void {
    this.#forgetOld();
    if (nowMs < this.#notBeforeMs) return;
    const batch = [...this.#waiting].slice(0, MAX_SEEN);
    if (batch.length === 0 || !this.#send({ type: "seen", hints: batch })) return;
    for (const id of batch) {
      this.#waiting.delete(id);
      this.#recent.set(id, nowMs);
    }
  }

  #forgetOld(): void {
    const fromMs = this.#environment.nowMs() - AGAIN_WITHIN_MS;
    for (const [id, atMs] of this.#recent) if (atMs < fromMs) this.#recent.delete(id);
  }

  #arm(): void {
    this.#timer ??= this.#environment.setTimer(this.#tick, TICK_MS);
  }
}
