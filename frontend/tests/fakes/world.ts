import type { Environment, PageEvent } from "@/lib/relay/environment";
import type { StreamRequest } from "@/lib/relay/event-stream";
import { FakeSocket, FakeStream } from "./socket";

interface Timer {
  readonly id: number;
  readonly dueMs: number;
  readonly run: () => void;
}

/** A world with a manual clock, in which nothing happens by itself. */
export class FakeWorld implements Environment {
  /** All connections in the order in which they were made, streams among them. */
  readonly sockets: FakeSocket[] = [];
  readonly streams: FakeStream[] = [];
  /** What `random` draws. */
  luck = 0.5;
  online = true;
  visible = true;
  /** Thrown by the next attempt to open a socket. */
  refusal: Error | null = null;
  #nowMs: number;
  #ids = 0;
  #letters = 0;
  #timers = new Map<number, Timer>();
  #listeners = new Map<PageEvent, Set<() => void>>();

  constructor(nowMs = 1_763_900_000_000) {
    this.#nowMs = nowMs;
  }

  openSocket(url: string, protocols: readonly string[]): FakeSocket {
    if (this.refusal !== null) throw this.refusal;
    const socket = new FakeSocket(url, protocols);
    this.sockets.push(socket);
    return socket;
  }

  openStream(request: StreamRequest): FakeStream {
    const stream = new FakeStream(request);
    this.sockets.push(stream);
    this.streams.push(stream);
    return stream;
  }

  nowMs(): number {
    return this.#nowMs;
  }

  setTimer(run: () => void, delayMs: number): number {
    this.#ids += 1;
    this.#timers.set(this.#ids, { id: this.#ids, dueMs: this.#nowMs + delayMs, run });
    return this.#ids;
  }

  clearTimer(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  random(): number {
    return this.luck;
  }

  newId(): string {
    this.#letters += 1;
    return `id-${this.#nowMs}-${this.#letters}`;
  }

  isVisible(): boolean {
    return this.visible;
  }

  isOnline(): boolean {
    return this.online;
  }

  listen(event: PageEvent, run: () => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(run));
    return () => listeners.delete(run);
  }

  emit(event: PageEvent): void {
    if (event === "online") this.online = true;
    if (event === "offline") this.online = false;
    if (event === "visible") this.visible = true;
    if (event === "hidden") this.visible = false;
    for (const run of [...(this.#listeners.get(event) ?? [])]) run();
  }

  /** Lets time pass, and runs what falls due in its order. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs;
    for (let timer = this.#next(untilMs); timer !== null; timer = this.#next(untilMs)) {
      this.#timers.delete(timer.id);
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs);
      timer.run();
    }
    this.#nowMs = untilMs;
  }

  get timers(): number {
    return this.#timers.size;
  }

  get listeners(): number {
    return [...this.#listeners.values()].reduce((sum, set) => sum + set.size, 0);
  }

  /** Sockets that nobody has closed. */
  get liveSockets(): number {
    return this.sockets.filter((socket) => !socket.isClosed).length;
  }

  get socket(): FakeSocket {
    const socket = this.sockets.at(-1);
    if (socket === undefined) throw new Error("no socket has been opened");
    return socket;
  }

  get stream(): FakeStream {
    const stream = this.streams.at(-1);
    if (stream === undefined) throw new Error("no stream has been opened");
    return stream;
  }

  #next(untilMs: number): Timer | null {
    let first: Timer | null = null;
    for (const timer of this.#timers.values()) {
      if (timer.dueMs <= untilMs && (first === null || timer.dueMs < first.dueMs)) first = timer;
    }
    return first;
  }
}
