import { BACKOFF, backoffMs } from "./backoff";
import { shouldReconnect } from "./codes";
import { Cursor } from "./cursor";
import type { Delivery } from "./delivery";
import type { Environment, PageEvent, SocketLike } from "./environment";
import { type Log, silentLog } from "./log";
import { type MessageOf, type Parsed, parseMessage } from "./messages";
import { isSamePlace, NOWHERE, type Place } from "./place";
import { isRefusal, type Problem, problemOfClose, problemOfThrow } from "./problem";
import { withQuery } from "./url";
import { Watchdog } from "./watchdog";

export type ConnectionStatus =
  | "connecting"
  | "connected"
  | "reconnecting"
  | "offline"
  | "refused"
  | "closed";

/** What there is to know about the connection; a new object after each change. */
export interface ConnectionState {
  readonly status: ConnectionStatus;
  readonly socket: SocketLike | null;
  /** Tries that failed since the last success. */
  readonly attempt: number;
  /** When the next try is due, on the environment's clock; null while none is waited for. */
  readonly retryAtMs: number | null;
  /** Why the client has stopped; null unless the status is `refused` or `closed`. */
  readonly problem: Problem | null;
  /** Whether the relay has ever answered. */
  readonly everConnected: boolean;
}

export interface RelayClientOptions {
  /** The socket's address with the session in its query; the client adds `since`. */
  readonly url: string;
  /** Asked before each try, so that a token may change in between. */
  readonly protocols?: () => readonly string[];
  /** The place to go on from; by default the client starts with all that is kept. */
  readonly from?: Place;
  readonly onState?: (state: ConnectionState) => void;
  /** Gets each message that has not been delivered before, in order. */
  readonly onDelivery?: (delivery: Delivery) => void;
  /** Called when the place has changed, after what changed it was delivered. */
  readonly onPlace?: (place: Place) => void;
  /** Called when the relay has answered, before anything is delivered. */
  readonly onConnected?: (again: boolean) => void;
  readonly log?: Log;
}

export const INITIAL_STATE: ConnectionState = {
  status: "connecting",
  socket: null,
  attempt: 0,
  retryAtMs: null,
  problem: null,
  everConnected: false,
};

/** A relay that accepts a socket and then says nothing is as good as none. */
export const HANDSHAKE_WITHIN_MS = 10_000;
/** Browsers are at times wrong about being offline, so even then there is a try now and then. */
export const OFFLINE_RETRY_MS = 30_000;
/** Beyond the heartbeat's interval, for the way here. */
export const HEARTBEAT_GRACE_MS = 2_000;
const DEFAULT_HEARTBEAT_S = 10;
const WAKE_EVENTS: readonly PageEvent[] = ["online", "visible", "pageshow"];

/**
 * Keeps one session's connection to a relay, across relays, networks and sleep.
 *
 * `open` once, `close` once; in between it reconnects by itself, resumes from its position, and
 * delivers each message once. It has at most one socket at a time. After `close` nothing is called
 * any more.
 */
export class RelayClient {
  readonly #options: RelayClientOptions;
  readonly #environment: Environment;
  readonly #log: Log;
  #cursor: Cursor;
  readonly #watchdog: Watchdog;
  #state = INITIAL_STATE;
  #isOpen = false;
  /** Whether the present socket has brought its `connection` message. */
  #greeted = false;
  /** The next try, or the deadline of the present one. */
  #timer: unknown = null;
  #drainTimer: unknown = null;
  #drainDueMs: number | null = null;
  /** What the relay said last about itself: some close codes refer to it. */
  #lastError = "";
  #place: Place;
  #localIds = 0;
  #unlisten: (() => void)[] = [];

  constructor(options: RelayClientOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#log = options.log ?? silentLog;
    this.#place = options.from ?? NOWHERE;
    this.#cursor = new Cursor(this.#place);
    this.#watchdog = new Watchdog(
      environment,
      () => this.send({ type: "ping" }),
      () => this.#drop("no answer"),
    );
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** How far the client has got: what another one goes on from. */
  get place(): Place {
    return this.#place;
  }

  /** Starts connecting, at the end of the present task. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    for (const event of WAKE_EVENTS) {
      this.#unlisten.push(this.#environment.listen(event, this.#wake));
    }
    this.#unlisten.push(this.#environment.listen("offline", this.#onOffline));
    // Not at once: under React's strict mode the first of two mounts is undone in the same task,
    // and a socket that is closed before it opens is an error in the browser's console.
    this.#arm(0, this.#connect);
  }

  /** Leaves for good. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const unlisten of this.#unlisten.splice(0)) unlisten();
    this.#disarm();
    this.#detach(1000);
    this.#state = { ...this.#state, status: "closed", socket: null, retryAtMs: null };
  }

  /** Tries now instead of waiting; also after the client has stopped. */
  retryNow(): void {
    if (this.#isOpen && this.#state.socket === null) this.#connect();
  }

  /**
   * Connects anew and asks for all that is kept, as if the page had nothing: what it has stays, and is
   * set right by what comes.
   */
  startOver(): void {
    if (!this.#isOpen) return;
    this.#cursor = new Cursor({ position: null, standing: this.#cursor.place.standing });
    // A relay in trouble may leave many pages with a gap at once: they come back spread out.
    if (this.#state.socket !== null) this.#drop("start over");
    this.#report();
  }

  /** Sends one message; false when there is no connection to send it on. */
  send(message: { readonly type: string }): boolean {
    if (this.#state.socket === null || !this.#greeted) return false;
    this.#state.socket.send(JSON.stringify(message));
    return true;
  }

  #connect = (): void => {
    this.#disarm();
    this.#greeted = false;
    this.#drainDueMs = null;
    this.#lastError = "";
    const url = withQuery(this.#options.url, { since: this.#cursor.position });
    let socket: SocketLike;
    try {
      socket = this.#environment.openSocket(url, this.#options.protocols?.() ?? []);
    } catch (error) {
      this.#log("error", { error: String(error) });
      this.#stop(problemOfThrow(error));
      return;
    }
    this.#log("connecting", { url, attempt: this.#state.attempt });
    // A socket that was let go may still have events queued.
    const mine = (): boolean => this.#state.socket === socket;
    socket.onopen = () => this.#log("open", { url });
    socket.onmessage = (event) => mine() && this.#onFrame(event.data);
    socket.onerror = () => this.#log("error", { url });
    socket.onclose = (event) => mine() && this.#onClose(event.code, event.reason);
    this.#arm(HANDSHAKE_WITHIN_MS, () => this.#drop("no connection message"));
    const first = !this.#state.everConnected && this.#state.attempt === 0;
    this.#update({
      status: first ? "connecting" : "reconnecting",
      socket,
      retryAtMs: null,
      problem: null,
    });
  };

  #onFrame(data: unknown): void {
    this.#watchdog.heard();
    const frame = parseMessage(data);
    this.#log("message", { frame });
    if (this.#state.status === "offline" && this.#greeted) this.#update({ status: "connected" });
    this.#handle(frame);
    this.#report();
  }

  #handle(frame: Parsed): void {
    if (frame.kind !== "message") {
      if (frame.kind === "unknown") this.#log("unknown message type", { type: frame.type });
      else this.#log("invalid message", { reason: frame.reason });
      this.#cursor.take(frame);
      return;
    }
    switch (frame.message.type) {
      case "connection":
        this.#onConnection(frame.message);
        this.#deliver(frame, { snapshot: false, missed: false });
        return;
      case "heartbeat":
        if (this.#cursor.heartbeat(frame.message.position ?? null)) this.#drop("missed something");
        return;
      case "drain":
        this.#onDrain(frame.message.reconnect_after_ms);
        return;
      case "error":
        if (frame.position === null) this.#lastError = frame.message.text;
        break;
    }
    const verdict = this.#cursor.take(frame);
    if (verdict.apply) this.#deliver(frame, verdict);
  }

  #onConnection(message: MessageOf<"connection">): void {
    this.#cursor.begin(message);
    if (this.#greeted) return;
    this.#greeted = true;
    this.#disarm();
    this.#watchdog.start((message.heartbeat_s ?? DEFAULT_HEARTBEAT_S) * 1_000 + HEARTBEAT_GRACE_MS);
    const again = this.#state.everConnected;
    this.#update({ status: "connected", attempt: 0, everConnected: true });
    this.#options.onConnected?.(again);
  }

  /** Stays until the relay closes or the delay is over: what is published meanwhile still arrives. */
  #onDrain(delayMs: number): void {
    this.#clear(this.#drainTimer);
    this.#drainDueMs = this.#environment.nowMs() + delayMs;
    this.#drainTimer = this.#environment.setTimer(() => {
      this.#detach();
      this.#connect();
    }, delayMs);
  }

  #deliver(
    frame: Extract<Parsed, { kind: "message" }>,
    { snapshot, missed }: Pick<Delivery, "snapshot" | "missed">,
  ): void {
    const nowMs = this.#environment.nowMs();
    this.#localIds += 1;
    this.#options.onDelivery?.({
      message: frame.message,
      // With the time: another client of the same page, after a reload too, counts from 1 as well.
      fallbackId:
        frame.position === null ? `local:${nowMs}.${this.#localIds}` : `at:${frame.position}`,
      arrivedAt: nowMs / 1_000,
      snapshot,
      missed,
    });
  }

  #report(): void {
    const place = this.#cursor.place;
    if (isSamePlace(place, this.#place)) return;
    this.#place = place;
    this.#options.onPlace?.(place);
  }

  #onClose(code: number, reason: string): void {
    this.#log("close", { code, reason });
    const detail = this.#lastError || reason;
    this.#detach();
    if (shouldReconnect(code)) this.#wait();
    else this.#stop(problemOfClose(code, detail));
  }

  /** Lets a socket go that is of no use, and comes back. */
  #drop(reason: string): void {
    this.#log("drop", { reason });
    this.#detach();
    this.#wait();
  }

  #wait(): void {
    const nowMs = this.#environment.nowMs();
    const online = this.#environment.isOnline();
    const attempt = this.#state.attempt + 1;
    let delayMs: number;
    if (!online) delayMs = OFFLINE_RETRY_MS;
    else if (this.#drainDueMs !== null) delayMs = Math.max(0, this.#drainDueMs - nowMs);
    else delayMs = backoffMs(this.#state.attempt, () => this.#environment.random(), BACKOFF);
    this.#arm(delayMs, this.#connect);
    this.#update({
      status: online ? "reconnecting" : "offline",
      socket: null,
      retryAtMs: nowMs + delayMs,
      // Without a network there is nothing to back off from.
      attempt: online ? attempt : this.#state.attempt,
    });
  }

  #stop(problem: Problem): void {
    this.#disarm();
    const status = isRefusal(problem) ? "refused" : "closed";
    this.#update({ status, socket: null, retryAtMs: null, problem });
  }

  #wake = (): void => {
    if (this.#state.problem !== null) return;
    if (this.#state.socket === null) this.#connect();
    else if (this.#greeted) this.#watchdog.probe();
  };

  #onOffline = (): void => {
    if (this.#state.problem !== null) return;
    if (this.#state.socket === null) {
      this.#wait();
      return;
    }
    // A relay on this very machine stays reachable: the next frame says so.
    this.#update({ status: "offline" });
    this.#watchdog.probe();
  };

  #detach(code?: number): void {
    const socket = this.#state.socket;
    this.#watchdog.stop();
    this.#cursor.abandon();
    this.#clear(this.#drainTimer);
    this.#drainTimer = null;
    this.#greeted = false;
    if (socket === null) return;
    this.#state = { ...this.#state, socket: null };
    socket.onopen = null;
    socket.onmessage = null;
    socket.onerror = null;
    socket.onclose = null;
    socket.close(code);
  }

  #update(change: Partial<ConnectionState>): void {
    this.#state = { ...this.#state, ...change };
    if (this.#isOpen) this.#options.onState?.(this.#state);
  }

  #arm(delayMs: number, run: () => void): void {
    this.#clear(this.#timer);
    this.#timer = this.#environment.setTimer(run, delayMs);
  }

  #disarm(): void {
    this.#clear(this.#timer);
    this.#timer = null;
  }

  #clear(timer: unknown): void {
    if (timer !== null) this.#environment.clearTimer(timer);
  }
}
