import { EventStream, type StreamRequest } from "./event-stream";

/** The part of a WebSocket that the client uses; an `EventStream` has it, too. */
export interface SocketLike {
  readonly readyState: number;
  onopen: ((event: Event) => void) | null;
  onmessage: ((event: MessageEvent) => void) | null;
  onerror: ((event: Event) => void) | null;
  onclose: ((event: CloseEvent) => void) | null;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** What happens around the page and matters to a session. */
export type PageEvent = "online" | "offline" | "visible" | "hidden" | "pageshow" | "pagehide";

/** The time, and what is to be done later. */
export interface Clock {
  nowMs(): number;
  /** Runs a function once after the delay; the result goes to `clearTimer`. */
  setTimer(run: () => void, delayMs: number): unknown;
  clearTimer(timer: unknown): void;
}

/** Everything the client needs of the world; tests give it a fake one with a manual clock. */
export interface Environment extends Clock {
  openSocket(url: string, protocols: readonly string[]): SocketLike;
  /** Opens what stands in for a socket where none gets through. */
  openStream(request: StreamRequest): SocketLike;
  /** Draws from [0, 1). */
  random(): number;
  /** Returns an id that nobody else has. */
  newId(): string;
  isOnline(): boolean;
  /** Tells whether the page can be seen: the tab is in front, and the screen is on. */
  isVisible(): boolean;
  /** Calls `run` at each such event, until the returned function is called. */
  listen(event: PageEvent, run: () => void): () => void;
}

/** Returns the browser's own clock, sockets and events. Only to be called in a browser. */
export function browserEnvironment(): Environment {
  const clock: Clock = {
    nowMs: () => Date.now(),
    setTimer: (run, delayMs) => window.setTimeout(run, delayMs),
    clearTimer: (timer) => window.clearTimeout(timer as number),
  };
  return {
    ...clock,
    openSocket: (url, protocols) => new WebSocket(url, [...protocols]),
    openStream: (request) => new EventStream(request, clock),
    random: () => Math.random(),
    newId,
    isOnline: () => navigator.onLine,
    isVisible: () => document.visibilityState === "visible",
    listen(event, run) {
      if (event !== "visible" && event !== "hidden") {
        window.addEventListener(event, run);
        return () => window.removeEventListener(event, run);
      }
      const onChange = () => {
        if (document.visibilityState === event) run();
      };
      document.addEventListener("visibilitychange", onChange);
      return () => document.removeEventListener("visibilitychange", onChange);
    },
  };
}

/** A UUID, version 4 (RFC 9562 §5.4). */
function newId(): string {
  // Pages that came over plain http from another machine have no `randomUUID`.
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
