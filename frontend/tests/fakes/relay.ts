import type { FakeSocket } from "./socket";

/** One frame on its way to the page, and what the relay knows of it. */
export interface Frame {
  readonly message: Readonly<Record<string, unknown>>;
  /** Part of what follows a `connection` message; otherwise it went out as it was published. */
  readonly backlog: boolean;
  /** Whether the page has all that was announced once this frame is there. */
  readonly completes: boolean;
}

type Kept = Readonly<Record<string, unknown>> & { readonly position: string };

/** A relay with one session's log and at most one connection; answers as real ones do. */
export class FakeRelay {
  /** What is kept. */
  log: Kept[] = [];
  /** All that was ever published with a position. */
  readonly history: Kept[] = [];
  socket: FakeSocket | null = null;
  readonly outbox: Frame[] = [];
  #epoch = 7;
  #offset = 0;
  #floor = 0;
  /** What the connection will have when the outbox is empty. */
  #fed: string | null = null;

  get #head(): string | null {
    return this.#offset === 0 ? null : `${this.#epoch}-${this.#offset}`;
  }

  /** Answers a socket: by what it has, if that joins up with what is kept. */
  accept(socket: FakeSocket): void {
    this.outbox.length = 0;
    this.socket = socket;
    const since = socket.query("since");
    if (since === null) this.#welcome(null, this.log);
    else if (this.#reaches(since)) this.#welcome(true, this.log.slice(this.#indexAfter(since)));
    else this.#welcome(false, this.log);
    socket.open();
  }

  publish(message: Record<string, unknown>): void {
    const before = this.#head;
    this.#offset += 1;
    const position = `${this.#epoch}-${this.#offset}`;
    const kept = { position, ...message };
    this.log.push(kept);
    this.history.push(kept);
    if (this.socket === null) return;
    if (this.#fed !== before) {
      // The log was lost: what is under way is worth nothing any more.
      this.outbox.length = 0;
      this.#welcome(false, this.log);
      return;
    }
    this.#fed = position;
    this.outbox.push({ message: kept, backlog: false, completes: false });
  }

  /** A plain PUBLISH: live only, and not kept. */
  publishPlain(message: Record<string, unknown>): void {
    if (this.socket !== null) this.outbox.push({ message, backlog: false, completes: false });
  }

  /** Lets the oldest go. */
  trim(count: number): void {
    const gone = this.log.splice(0, count).length;
    this.#floor += gone;
  }

  /** Loses the log; the next publication begins another. */
  lose(): void {
    this.log = [];
    this.#epoch += 1;
    this.#offset = 0;
    this.#floor = 0;
  }

  cut(): void {
    const socket = this.socket;
    this.socket = null;
    this.outbox.length = 0;
    socket?.breakOff();
  }

  /** Sends the next frame; null when there is none. */
  send(): Frame | null {
    const frame = this.outbox.shift() ?? null;
    if (frame !== null) this.socket?.receive(frame.message);
    return frame;
  }

  #welcome(recovered: boolean | null, backlog: readonly Kept[]): void {
    this.#fed = this.#head;
    const message = {
      type: "connection",
      status: "connected",
      session: "demo",
      position: this.#head,
      recovered,
      snapshot: recovered === true ? 0 : backlog.length,
      // Silence is not what this is about.
      heartbeat_s: 1e6,
    };
    this.outbox.push({ message, backlog: false, completes: backlog.length === 0 });
    backlog.forEach((kept, index) => {
      this.outbox.push({ message: kept, backlog: true, completes: index === backlog.length - 1 });
    });
  }

  #reaches(since: string): boolean {
    const [epoch, offset] = since.split("-").map(Number);
    return epoch === this.#epoch && Number(offset) >= this.#floor && Number(offset) <= this.#offset;
  }

  #indexAfter(since: string): number {
    return Number(since.split("-")[1]) - this.#floor;
  }
}
