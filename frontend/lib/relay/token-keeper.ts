import { backoffMs } from "./backoff";
import { claimsOf } from "./claims";
import type { Environment } from "./environment";
import { renewInMs } from "./expiry";

/**
 * Gets a token from the application that the page belongs to.
 *
 * Rejects with a `TokenError`; any other rejection is taken for a failure that passes.
 */
export type GetToken = (signal: AbortSignal) => Promise<string>;

/** Why the application gave no token; the message is a sentence about it. */
export class TokenError extends Error {
  override readonly name = "TokenError";

  /**
   * @param refused whether it would not give one to this person, rather than could not
   * @param retryAfterMs how long it asks to be left alone
   */
  constructor(
    message: string,
    readonly refused = false,
    readonly retryAfterMs: number | null = null,
  ) {
    super(message);
  }
}

export interface TokenKeeperOptions {
  /** The token to begin with. */
  readonly token: string | null;
  /** Null where there is nobody to ask. */
  readonly getToken: GetToken | null;
  /** Called with each token that was asked for, once it is held. */
  readonly onToken: () => void;
  /** Called with each failure, with the delay in ms after which it makes sense to ask again. */
  readonly onFailure: (error: TokenError, retryInMs: number) => void;
}

/** An application that takes longer has failed. */
export const TOKEN_WITHIN_MS = 10_000;
/** A token with less life than that is not worth connecting with. */
const ABOUT_TO_EXPIRE_MS = 5_000;
// What timers of browsers can hold; a longer delay would be over at once.
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * Holds the session's token, and knows when it needs another.
 *
 * It is told what the relay makes of a token, and asks the application for the next one in time. It
 * asks one question at a time.
 */
export class TokenKeeper {
  readonly #environment: Environment;
  readonly #options: TokenKeeperOptions;
  #token: string | null;
  /** As far as anybody has said; null where nobody has. */
  #expiresAtMs: number | null;
  /** Whether the relay has said that the token is no good any more. */
  #spent = false;
  /** Whether the token was asked for, and the relay has not seen it yet. */
  #untried = false;
  /** One that the relay would not put in the place of the held one. */
  #spare: string | null = null;
  #question: AbortController | null = null;
  #failures = 0;
  #timer: unknown = null;

  constructor(environment: Environment, options: TokenKeeperOptions) {
    this.#environment = environment;
    this.#options = options;
    this.#token = options.token;
    this.#expiresAtMs = endOf(options.token);
  }

  get token(): string | null {
    return this.#token;
  }

  /** Whether there is anybody to ask. */
  get canAsk(): boolean {
    return this.#options.getToken !== null;
  }

  /** Whether the held token was given by the application just now, for this very try. */
  get untried(): boolean {
    return this.#untried;
  }

  /** How often asking has failed since the last success. */
  get failures(): number {
    return this.#failures;
  }

  /** Whether another token is needed, and can be asked for, before connecting makes sense. */
  get mustAsk(): boolean {
    if (!this.canAsk) return false;
    if (this.#token === null || this.#spent) return true;
    const nowMs = this.#environment.nowMs();
    // One that has just been given is as good as they get, whatever this device's clock says.
    return (
      !this.#untried && this.#expiresAtMs !== null && this.#expiresAtMs - nowMs < ABOUT_TO_EXPIRE_MS
    );
  }

  /** Takes a token that the person has brought. */
  hold(token: string): void {
    this.#endQuestion();
    this.#take(token, false);
  }

  /** Notes that the relay took the token, and when it says that it ends. */
  accepted(expiresAtMs: number | null): void {
    this.#untried = false;
    this.#spent = false;
    this.#expiresAtMs = expiresAtMs ?? this.#expiresAtMs;
    if (expiresAtMs === null || !this.canAsk) return;
    const nowMs = this.#environment.nowMs();
    const inMs = renewInMs(expiresAtMs - nowMs, () => this.#environment.random());
    if (inMs === null) this.#disarm();
    else this.askIn(inMs);
  }

  /** Notes that the relay kept to the token before, and would not have this one instead. */
  declined(before: string | null): void {
    this.#spare = this.#token;
    this.#token = before;
    this.#untried = false;
    this.#failures += 1;
  }

  /** Notes that the relay takes the token no more. */
  spend(): void {
    if (!this.canAsk && this.#spare !== null) this.#take(this.#spare, false);
    else this.#spent = true;
  }

  /** Asks now; while there is a question already, it does nothing. */
  ask(): void {
    const { getToken } = this.#options;
    if (getToken === null || this.#question !== null) return;
    const question = new AbortController();
    this.#question = question;
    const mine = (): boolean => this.#question === question;
    this.#arm(TOKEN_WITHIN_MS, () => this.#fail(new TokenError("It doesn't answer.")));
    getToken(question.signal).then(
      (token) => {
        if (!mine()) return;
        this.#endQuestion();
        this.#take(token, true);
        this.#options.onToken();
      },
      (error: unknown) => {
        if (mine()) this.#fail(error);
      },
    );
  }

  /** Asks after a delay. */
  askIn(delayMs: number): void {
    if (this.#question !== null) return;
    const dueMs = this.#environment.nowMs() + delayMs;
    this.#arm(Math.min(delayMs, MAX_TIMER_MS), () => {
      const leftMs = dueMs - this.#environment.nowMs();
      if (leftMs > 0) this.askIn(leftMs);
      else this.ask();
    });
  }

  /** Asks nothing by itself until `accepted` or `askIn`; a question that was asked goes on. */
  rest(): void {
    if (this.#question === null) this.#disarm();
  }

  /** Stops; nothing is called any more. */
  close(): void {
    this.#endQuestion();
  }

  #take(token: string, untried: boolean): void {
    this.#token = token;
    this.#expiresAtMs = endOf(token);
    this.#spent = false;
    this.#untried = untried;
    this.#spare = null;
    this.#failures = 0;
  }

  #fail(error: unknown): void {
    this.#endQuestion();
    this.#failures += 1;
    const failure =
      error instanceof TokenError
        ? error
        : new TokenError(error instanceof Error ? error.message : String(error));
    const waitMs = backoffMs(this.#failures - 1, () => this.#environment.random());
    this.#options.onFailure(failure, (failure.retryAfterMs ?? 0) + waitMs);
  }

  #endQuestion(): void {
    this.#disarm();
    const question = this.#question;
    this.#question = null;
    // After an answer too: nobody minds.
    question?.abort();
  }

  #arm(delayMs: number, run: () => void): void {
    this.#disarm();
    this.#timer = this.#environment.setTimer(run, delayMs);
  }

  #disarm(): void {
    if (this.#timer !== null) this.#environment.clearTimer(this.#timer);
    this.#timer = null;
  }
}

function endOf(token: string | null): number | null {
  const { expiresAt } = claimsOf(token);
  return expiresAt === null ? null : expiresAt * 1_000;
}
