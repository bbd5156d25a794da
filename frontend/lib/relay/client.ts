import { Access } from "./access";
import { BACKOFF, backoffMs } from "./backoff";
import { claimsOf } from "./claims";
import { closeName, shouldReconnect } from "./codes";
import { Connection, type ConnectionEnd } from "./connection";
import { type ConnectionState, INITIAL_STATE } from "./connection-state";
import type { Delivery } from "./delivery";
import type { Environment, PageEvent, SocketLike } from "./environment";
import { Intake } from "./intake";
import { type Log, silentLog } from "./log";
import type { MessageOf, Parsed } from "./messages";
import { NOWHERE, type Place } from "./place";
import { isRefusal, needsToken, type Problem, problemOfClose, problemOfThrow } from "./problem";
import { MAX_RETRY_AFTER_MS } from "./retry-after";
import { subprotocols } from "./subprotocols";
import type { GetToken } from "./token-keeper";
import { type Transport, TransportChoice } from "./transport-choice";
import { Understudy } from "./understudy";
import { httpAddresses, withQuery } from "./url";
import { Watchdog } from "./watchdog";

export interface RelayClientOptions {
  /** The socket's address with the session in its query; the client adds `since`. */
  readonly url: string;
  /** The token to begin with, where there is one; `bringToken` brings others later. */
  readonly token?: string | null;
  /** Asked for a token when there is none, and for the next one before the present one ends. */
  readonly getToken?: GetToken | null;
  /** The place to go on from; by default the client starts with all that is kept. */
  readonly from?: Place;
  readonly onState?: (state: ConnectionState) => void;
  /** Gets each message that has not been delivered before, in order. */
  readonly onDelivery?: (delivery: Delivery) => void;
  /** Called when the place has changed, after what changed it was delivered. */
  readonly onPlace?: (place: Place) => void;
  /** Called when the relay has answered, before anything is delivered. */
  readonly onConnected?: (again: boolean) => void;
  /** Called when another connection has taken over: answers to what was sent may have been lost. */
  readonly onMoved?: () => void;
  readonly log?: Log;
}

/** Whatever has a type goes; the relay decides about the rest. */
export interface Sendable {
  readonly type: string;
  readonly [field: string]: unknown;
}

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
 * delivers each message once. It stands on one connection at a time; another may be tried beside it,
 * and takes over when the relay has greeted it. After `close` nothing is called any more.
 */
export class RelayClient {
  readonly #options: RelayClientOptions;
  readonly #environment: Environment;
  readonly #log: Log;
  readonly #intake: Intake;
  readonly #watchdog: Watchdog;
  readonly #access: Access;
  readonly #choice = new TransportChoice();
  readonly #understudy: Understudy;
  #state = INITIAL_STATE;
  #isOpen = false;
  /** What the client stands on. */
  #connection: Connection | null = null;
  /** The next try. */
  #timer: unknown = null;
  #drainTimer: unknown = null;
  #drainDueMs: number | null = null;
  #unlisten: (() => void)[] = [];

  constructor(options: RelayClientOptions, environment: Environment) {
    this.#options = options;
    this.#environment = environment;
    this.#log = options.log ?? silentLog;
    this.#intake = new Intake(environment, options.from ?? NOWHERE, {
      onDelivery: (delivery) => options.onDelivery?.(delivery),
      onPlace: (place) => options.onPlace?.(place),
    });
    this.#watchdog = new Watchdog(
      environment,
      () => this.send({ type: "ping" }),
      () => this.#drop("no answer"),
    );
    this.#access = new Access(environment, {
      token: options.token ?? null,
      getToken: options.getToken ?? null,
      connection: () => this.#connection,
      onReplace: () => this.#understudy.try(this.#connection?.transport ?? this.#choice.next),
      onReady: this.#connect,
      onFailure: ({ refused, message }, retryInMs) => {
        if (refused) this.#stop({ kind: "signed_out", detail: message });
        else this.#waitFor(retryInMs);
      },
      onTrouble: (tokenTrouble) => this.#update({ tokenTrouble }),
    });
    this.#understudy = new Understudy(environment, this.#choice, {
      open: (transport) => this.#open(transport),
      isLeaving: () => this.#drainDueMs !== null,
      onFound: () => this.#update({}),
      onDeclined: (detail) => {
        if (this.#connection !== null) this.#access.declined(this.#connection, detail);
      },
    });
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** How far the client has got: what another one goes on from. */
  get place(): Place {
    return this.#intake.place;
  }

  /** Starts connecting, at the end of the present task. */
  open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    for (const event of WAKE_EVENTS) {
      this.#unlisten.push(this.#environment.listen(event, () => this.#wake(event)));
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
    this.#access.close();
    this.#detach(1000);
    this.#state = { ...this.#state, status: "closed", socket: null, retryAtMs: null };
  }

  /** Tries now instead of waiting; also after the client has stopped, and for a socket again. */
  retryNow(): void {
    if (!this.#isOpen) return;
    if (this.#connection !== null) {
      if (this.#connection.greeted && !isSocket(this.#connection)) this.#understudy.trySocket();
      return;
    }
    // What was refused is not going to be taken now: another is asked for, where there is whom to ask.
    const { problem } = this.#state;
    if (problem !== null && needsToken(problem)) this.#access.expired();
    this.#connect();
  }

  /**
   * Goes on with a token that the person has brought: on the present connection if it has one
   * already, else by connecting with it.
   */
  bringToken(token: string): void {
    if (token === this.#access.token || this.#access.bring(token) || !this.#isOpen) return;
    this.#detach();
    this.#connect();
  }

  /**
   * Connects anew and asks for all that is kept, as if the page had nothing: what it has stays, and is
   * set right by what comes.
   */
  startOver(): void {
    if (!this.#isOpen) return;
    this.#intake.startOver();
    // A relay in trouble may leave many pages with a gap at once: they come back spread out.
    if (this.#connection !== null) this.#drop("start over");
    this.#intake.report();
  }

  /** Sends one message; false when there is no connection to send it on. */
  send(message: Sendable): boolean {
    if (!this.#connection?.greeted) return false;
    this.#connection.send(message);
    return true;
  }

  #connect = (): void => {
    this.#disarm();
    this.#drainDueMs = null;
    const first = !this.#state.everConnected && this.#state.attempt === 0;
    const status = first ? "connecting" : "reconnecting";
    if (this.#access.mustWait()) {
      this.#update({ status, retryAtMs: null, problem: null });
      return;
    }
    try {
      this.#connection = this.#open(this.#choice.next);
    } catch (error) {
      this.#stop(problemOfThrow(error));
      return;
    }
    const { token } = this.#connection;
    const role = this.#state.everConnected ? this.#state.role : claimsOf(token).role;
    this.#update({ status, role, retryAtMs: null, problem: null });
  };

  /** Opens a connection from where the page is; throws where the browser won't have the address. */
  #open(transport: Transport): Connection {
    const { url } = this.#options;
    const { token } = this.#access;
    const since = { since: this.#intake.position };
    this.#log("connecting", { url, transport, attempt: this.#state.attempt, ...since });
    let socket: SocketLike;
    if (transport === "socket") {
      socket = this.#environment.openSocket(withQuery(url, since), subprotocols(token));
    } else {
      const { events, messages } = httpAddresses(url);
      const request = { url: withQuery(events, since), messagesUrl: messages, token };
      socket = this.#environment.openStream(request);
    }
    return new Connection(socket, this.#environment, {
      transport,
      token,
      onFrame: this.#onFrame,
      onEnd: this.#onEnd,
    });
  }

  #onFrame = (connection: Connection, frame: Parsed): void => {
    this.#log("message", { frame });
    const moved = this.#understudy.is(connection);
    if (moved) {
      if (frame.kind !== "message" || frame.message.type !== "connection") return;
      // It takes over. The page has missed nothing, so the intake goes on where it is.
      this.#understudy.release();
      this.#letGo();
      this.#drainDueMs = null;
      this.#connection = connection;
    }
    this.#watchdog.heard();
    if (isSocket(connection)) this.#choice.socketWorked();
    if (this.#state.status === "offline" && connection.greeted) {
      this.#update({ status: "connected" });
    }
    this.#handle(connection, frame, moved);
    this.#intake.report();
  };

  #handle(connection: Connection, frame: Parsed, moved: boolean): void {
    if (frame.kind !== "message") {
      if (frame.kind === "unknown") this.#log("unknown message type", { type: frame.type });
      else this.#log("invalid message", { reason: frame.reason });
      this.#intake.take(frame);
      return;
    }
    switch (frame.message.type) {
      case "connection":
        this.#onConnection(connection, frame.message, moved);
        this.#intake.deliver(frame);
        return;
      case "heartbeat":
        if (this.#intake.isBehind(frame.message.position ?? null)) this.#drop("missed something");
        return;
      case "drain":
        this.#onDrain(frame.message.reconnect_after_ms);
        return;
      case "refreshed":
        this.#onRefreshed(connection, frame.message);
        return;
      case "error":
        if (frame.position === null) this.#access.heard(connection, frame.message);
        break;
    }
    this.#intake.take(frame);
  }

  #onConnection(connection: Connection, message: MessageOf<"connection">, moved: boolean): void {
    this.#intake.begin(message);
    if (connection.greeted) return;
    connection.greet();
    const silenceMs = (message.heartbeat_s ?? DEFAULT_HEARTBEAT_S) * 1_000 + HEARTBEAT_GRACE_MS;
    this.#watchdog.start(silenceMs, isSocket(connection));
    if (!isSocket(connection)) {
      this.#choice.streamWorked();
      this.#understudy.watchFor();
    }
    const { everConnected } = this.#state;
    this.#update({
      status: "connected",
      attempt: 0,
      turnedAway: "",
      everConnected: true,
      role: message.role ?? null,
    });
    if (moved) this.#options.onMoved?.();
    else this.#options.onConnected?.(everConnected);
    this.#access.greeted(connection, message.expires_at);
  }

  #onRefreshed(connection: Connection, message: MessageOf<"refreshed">): void {
    this.#access.refreshed(connection, message.expires_at);
    this.#update({ role: message.role ?? this.#state.role });
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

  #onEnd = (connection: Connection, end: ConnectionEnd): void => {
    const { transport, token } = connection;
    this.#log("close", { transport, ...end });
    if (this.#understudy.is(connection)) {
      this.#understudy.ended(transport, end);
      return;
    }
    this.#noteEnd(end.reached);
    // A socket that never opened doesn't take back what the relay has said over a stream.
    if (end.reached || !isSocket(connection)) {
      this.#state = { ...this.#state, turnedAway: connection.greeted ? "" : end.said };
    }
    this.#detach();
    const name = closeName(end.code);
    if (name === "token_expired") this.#access.expired();
    const comesBack =
      shouldReconnect(end.code) || (name === "unauthorized" && this.#access.canRecover(token));
    if (comesBack) this.#wait(end.retryAfterMs);
    else this.#stop(problemOfClose(end.code, end.detail, end.forbidden));
  };

  /** Lets a connection go that is of no use, and comes back. */
  #drop(reason: string): void {
    this.#log("drop", { reason });
    this.#noteEnd(true);
    this.#detach();
    this.#wait();
  }

  /** Notes what the present connection's end says about its kind. */
  #noteEnd(reached: boolean): void {
    // Without a network nothing gets through.
    if (this.#connection === null || !this.#environment.isOnline()) return;
    if (isSocket(this.#connection)) {
      if (!reached) this.#choice.socketFailed();
    } else if (!this.#connection.greeted || !this.#choice.blocked) this.#choice.streamFailed();
  }

  /** @param leaveMs how long the relay wants to be left alone, on top of the delay of one's own */
  #wait(leaveMs = 0): void {
    const nowMs = this.#environment.nowMs();
    let delayMs: number;
    if (!this.#environment.isOnline()) delayMs = OFFLINE_RETRY_MS;
    else if (this.#drainDueMs !== null) delayMs = Math.max(0, this.#drainDueMs - nowMs);
    else {
      const backMs = backoffMs(this.#state.attempt, () => this.#environment.random(), BACKOFF);
      delayMs = Math.min(leaveMs, MAX_RETRY_AFTER_MS) + backMs;
    }
    this.#waitFor(delayMs);
  }

  #waitFor(delayMs: number): void {
    const online = this.#environment.isOnline();
    this.#arm(delayMs, this.#connect);
    this.#update({
      status: online ? "reconnecting" : "offline",
      retryAtMs: this.#environment.nowMs() + delayMs,
      // Without a network there is nothing to back off from.
      attempt: this.#state.attempt + (online ? 1 : 0),
    });
  }

  #stop(problem: Problem): void {
    this.#disarm();
    const status = isRefusal(problem) ? "refused" : "closed";
    const renewable = needsToken(problem) && this.#access.renewable;
    const final = renewable ? { ...problem, renewable } : problem;
    this.#update({ status, retryAtMs: null, problem: final });
  }

  #wake = (event: PageEvent): void => {
    const { problem, status } = this.#state;
    if (event === "online") this.#choice.networkChanged();
    if (problem !== null) {
      // Whoever comes back may have signed in meanwhile, in another tab.
      if (this.#access.renewable && needsToken(problem)) this.retryNow();
    } else if (this.#connection === null) this.#connect();
    else if (event === "online" && status === "offline" && !isSocket(this.#connection)) {
      // A stream can't be pinged, and one over the network that was lost is likely dead.
      this.#detach();
      this.#connect();
    } else if (this.#connection.greeted) {
      this.#watchdog.probe();
      // The stream stays; whether it is still needed is another question now.
      if (event === "online" && !isSocket(this.#connection)) this.#understudy.watchFor();
    }
  };

  #onOffline = (): void => {
    if (this.#state.problem !== null) return;
    if (this.#connection === null) {
      this.#wait();
      return;
    }
    // A relay on this very machine stays reachable: the next frame says so.
    this.#update({ status: "offline" });
    this.#watchdog.probe();
  };

  #detach(code?: number): void {
    this.#access.rest();
    this.#intake.abandon();
    this.#letGo(code);
  }

  #letGo(code?: number): void {
    this.#watchdog.stop();
    this.#clear(this.#drainTimer);
    this.#drainTimer = null;
    this.#understudy.close();
    this.#connection?.close(code);
    this.#connection = null;
  }

  #update(change: Partial<ConnectionState>): void {
    const socket = this.#connection?.socket ?? null;
    this.#state = { ...this.#state, socket, fallback: this.#choice.blocked, ...change };
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

function isSocket({ transport }: Connection): boolean {
  return transport === "socket";
}
