import type { Environment } from "./environment";

/** How long a relay may take to answer a ping. */
export const ANSWER_WITHIN_MS = 3_000;

/**
 * Notices a connection that is open but dead.
 *
 * After `silenceMs` without a frame it pings; after three more seconds of silence it gives up. Where
 * there is no way to ping, it only waits as long. A browser doesn't see the WebSocket's own pings and
 * may take minutes to notice a dead link.
 */
export class Watchdog {
  readonly #environment: Environment;
  readonly #ping: () => void;
  readonly #giveUp: () => void;
  #silenceMs = 0;
  #canPing = true;
  #heardAtMs = 0;
  #heardSincePing = true;
  #timer: unknown = null;

  constructor(environment: Environment, ping: () => void, giveUp: () => void) {
    this.#environment = environment;
    this.#ping = ping;
    this.#giveUp = giveUp;
  }

  start(silenceMs: number, canPing = true): void {
    this.#silenceMs = canPing ? silenceMs : silenceMs + ANSWER_WITHIN_MS;
    this.#canPing = canPing;
    this.heard();
    this.#arm(this.#silenceMs, this.#onSilence);
  }

  stop(): void {
    if (this.#timer !== null) this.#environment.clearTimer(this.#timer);
    this.#timer = null;
  }

  /** Is told of each frame. Touches no timer: frames come by the hundred, silence is rare. */
  heard(): void {
    this.#heardAtMs = this.#environment.nowMs();
    this.#heardSincePing = true;
  }

  /** Pings now where it can, and expects an answer; nothing while not started or waiting for one. */
  probe(): void {
    if (this.#timer === null || !this.#heardSincePing) return;
    if (!this.#canPing) {
      this.#onSilence();
      return;
    }
    this.#heardSincePing = false;
    this.#arm(ANSWER_WITHIN_MS, this.#onAnswerDue);
    this.#ping();
  }

  #onSilence = (): void => {
    const silentMs = this.#environment.nowMs() - this.#heardAtMs;
    if (silentMs < this.#silenceMs) this.#arm(this.#silenceMs - silentMs, this.#onSilence);
    else if (this.#canPing) this.probe();
    else this.#end();
  };

  #onAnswerDue = (): void => {
    if (this.#heardSincePing) this.#onSilence();
    else this.#end();
  };

  #end(): void {
    this.stop();
    this.#giveUp();
  }

  #arm(delayMs: number, run: () => void): void {
    this.stop();
    this.#timer = this.#environment.setTimer(run, delayMs);
  }
}
