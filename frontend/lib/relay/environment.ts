/** The part of a WebSocket that the client uses. */
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

/** Everything the client needs of the world; tests give it a fake one with a manual clock. */
export interface Environment {
  openSocket(url: string, protocols: readonly string[]): SocketLike;
  nowMs(): number;
  /** Runs a function once after the delay; the result goes to `clearTimer`. */
  setTimer(run: () => void, delayMs: number): unknown;
  clearTimer(timer: unknown): void;
  /** Draws from [0, 1). */
  random(): number;
  isOnline(): boolean;
  /** Calls `run` at each such event, until the returned function is called. */
  listen(event: PageEvent, run: () => void): () => void;
}

/** Returns the browser's own clock, sockets and events. Only to be called in a browser. */
export function browserEnvironment(): Environment {
  return {
    openSocket: (url, protocols) => new WebSocket(url, [...protocols]),
    nowMs: () => Date.now(),
    setTimer: (run, delayMs) => window.setTimeout(run, delayMs),
    clearTimer: (timer) => window.clearTimeout(timer as number),
    random: () => Math.random(),
    isOnline: () => navigator.onLine,
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
