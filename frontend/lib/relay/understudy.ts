import { shouldReconnect } from "./codes";
import type { Connection, ConnectionEnd } from "./connection";
import type { Environment } from "./environment";
import type { Transport, TransportChoice } from "./transport-choice";

/** How often a socket is tried beside a stream that stands in for one. */
export const SOCKET_AGAIN_MS = 300_000;
/**
 * How soon after a stream's first message: by then a relay that was away when sockets failed lets them
 * in again, and one that limits how fast pages come has forgotten this one.
 */
export const SOCKET_CHECK_MS = 3_000;

export interface UnderstudyOptions {
  /** Opens a connection; may throw. */
  readonly open: (transport: Transport) => Connection;
  /** Whether the connection that stands is about to go: then its relay lets nobody in. */
  readonly isLeaving: () => boolean;
  /** Called when it is known whether sockets get through. */
  readonly onFound: () => void;
  /** Called when the relay would not have the newest token, with its words. */
  readonly onDeclined: (detail: string) => void;
}

/**
 * Tries another connection beside the one that stands, which stays until this one is known to work: a
 * socket where a stream stands in for one, or one with a token that the present one can't take.
 *
 * Its owner tells it when its connection has ended, and takes it over when the relay has greeted it.
 */
export class Understudy {
  readonly #environment: Environment;
  readonly #choice: TransportChoice;
  readonly #options: UnderstudyOptions;
  #connection: Connection | null = null;
  /** Whether a stream stands in for a socket. */
  #watching = false;
  #timer: unknown = null;

  constructor(environment: Environment, choice: TransportChoice, options: UnderstudyOptions) {
    this.#environment = environment;
    this.#choice = choice;
    this.#options = options;
  }

  /** Tells whether this is the connection that is being tried. */
  is(connection: Connection): boolean {
    return connection === this.#connection;
  }

  /** Has a socket tried some time after a stream has begun. */
  watchFor(): void {
    this.#watching = true;
    this.#trySocketIn(this.#choice.blocked ? SOCKET_AGAIN_MS : SOCKET_CHECK_MS);
  }

  /** Tries a socket now, unless something is being tried. */
  trySocket(): void {
    if (this.#connection === null && !this.#options.isLeaving()) this.try("socket");
    else this.#trySocketIn(SOCKET_CHECK_MS);
  }

  /** Tries a connection now, in the place of what is being tried. */
  try(transport: Transport): void {
    this.#connection?.close();
    this.#connection = null;
    try {
      this.#connection = this.#options.open(transport);
    } catch {
      // The browser itself won't have it, be it by a policy of the page's.
      this.ended(transport, { code: 1006, detail: "", reached: false });
    }
  }

  /** Is told of the end of what was tried: the connection that stands goes on. */
  ended(transport: Transport, end: Pick<ConnectionEnd, "code" | "detail" | "reached">): void {
    const { code, detail, reached } = end;
    this.#connection = null;
    if (this.#watching) {
      // Not sooner, whatever came of it: one that was refused would be refused again.
      this.#trySocketIn(SOCKET_AGAIN_MS);
      if (transport === "socket") {
        if (reached) this.#choice.socketWorked();
        else this.#choice.socketFailedBeside();
        this.#options.onFound();
      }
    }
    // After any other end, the next connection will go by the new token.
    if (!shouldReconnect(code)) this.#options.onDeclined(detail);
  }

  /** Forgets what it tries: that has taken over. */
  release(): void {
    this.#connection = null;
  }

  /** Gives up what it tries, and tries nothing more by itself. */
  close(): void {
    if (this.#timer !== null) this.#environment.clearTimer(this.#timer);
    this.#timer = null;
    this.#watching = false;
    this.#connection?.close();
    this.#connection = null;
  }

  #trySocketIn(aboutMs: number): void {
    if (this.#timer !== null) this.#environment.clearTimer(this.#timer);
    const delayMs = aboutMs * (0.8 + 0.4 * this.#environment.random());
    this.#timer = this.#environment.setTimer(() => this.trySocket(), delayMs);
  }
}
