import { closeName } from "./codes";
import type { Clock, SocketLike } from "./environment";
import { type Parsed, parseMessage } from "./messages";
import type { Transport } from "./transport-choice";

/** A relay that accepts a socket and then says nothing is as good as none. */
export const HANDSHAKE_WITHIN_MS = 10_000;
const ABNORMAL = 1006;

/** How a connection came to its end. */
export interface ConnectionEnd {
  readonly code: number;
  /** What the relay said about it, be it the close code's own name; may be empty. */
  readonly detail: string;
  /** What the relay said in a sentence, before the close code; may be empty. */
  readonly said: string;
  /** Whether it said that access is not for this page or token, rather than that the token is bad. */
  readonly forbidden: boolean;
  /** Whether it ever got as far as a relay. */
  readonly reached: boolean;
  /** How long the relay has asked to be left alone, in ms. */
  readonly retryAfterMs: number;
}

export interface ConnectionOptions {
  readonly transport: Transport;
  readonly token: string | null;
  readonly onFrame: (connection: Connection, frame: Parsed) => void;
  /** Called once, unless the connection was closed from this side. */
  readonly onEnd: (connection: Connection, end: ConnectionEnd) => void;
}

/**
 * One connection to a relay, from its opening to its end.
 *
 * Its user calls `greet` with the relay's `connection` message; until then it has only so long. After
 * `close` nothing is called any more.
 */
export class Connection {
  readonly socket: SocketLike;
  readonly transport: Transport;
  /** The token that it goes by. */
  token: string | null;
  /** One that the relay is asked to take in its place. */
  offered: string | null = null;
  readonly #clock: Clock;
  readonly #options: ConnectionOptions;
  #deadline: unknown;
  #opened = false;
  #heard = false;
  #greeted = false;
  #closed = false;
  /** What the relay said last about itself: some close codes refer to it. */
  #lastError = "";
  #forbidden = false;
  #retryAfterMs = 0;

  constructor(socket: SocketLike, clock: Clock, options: ConnectionOptions) {
    this.socket = socket;
    this.transport = options.transport;
    this.token = options.token;
    this.#clock = clock;
    this.#options = options;
    // An open socket proves little: there are proxies that let one open and nothing through.
    this.#deadline = clock.setTimer(
      () => this.#end(ABNORMAL, "", this.#heard),
      HANDSHAKE_WITHIN_MS,
    );
    socket.onopen = () => {
      this.#opened = true;
    };
    socket.onmessage = ({ data }) => this.#onMessage(data);
    socket.onclose = ({ code, reason }) => {
      // A close code is a word from the relay itself; this one stands for no word at all.
      const reached = this.#opened || this.#heard || closeName(code) !== "abnormal";
      this.#end(code, reason, reached);
    };
  }

  /** Whether the relay has greeted. */
  get greeted(): boolean {
    return this.#greeted;
  }

  /** Notes that the relay has greeted. */
  greet(): void {
    this.#greeted = true;
    this.#clock.clearTimer(this.#deadline);
  }

  send(message: object): void {
    this.socket.send(JSON.stringify(message));
  }

  /** Lets it go. A socket that was let go may still have events queued: nobody hears them. */
  close(code?: number): void {
    this.#closed = true;
    this.#clock.clearTimer(this.#deadline);
    this.socket.onopen = null;
    this.socket.onmessage = null;
    this.socket.onclose = null;
    this.socket.close(code);
  }

  #onMessage(data: unknown): void {
    if (this.#closed) return;
    this.#heard = true;
    const frame = parseMessage(data);
    if (frame.kind === "message" && frame.message.type === "error" && frame.position === null) {
      this.#lastError = frame.message.text;
      this.#forbidden = frame.message.code === "forbidden";
      if (!this.#greeted) this.#retryAfterMs = frame.message.retry_after_ms ?? 0;
    }
    this.#options.onFrame(this, frame);
  }

  #end(code: number, reason: string, reached: boolean): void {
    if (this.#closed) return;
    const said = this.#lastError;
    const detail = said || reason;
    const forbidden = this.#forbidden;
    const retryAfterMs = this.#retryAfterMs;
    this.close();
    this.#options.onEnd(this, { code, detail, said, forbidden, reached, retryAfterMs });
  }
}
