import { readArchive, writeArchive } from "./archive";
import type { Environment, PageEvent } from "./environment";
import type { SessionState } from "./state";

/** The part of a browser's storage that is used here: `window.sessionStorage` fits. */
export type TabStorage = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** A page that is killed without a warning loses no more than what this long brought. */
export const WRITE_EVERY_MS = 1_000;
// On phones the first may be the last that a page ever hears.
const LEAVING: readonly PageEvent[] = ["hidden", "pagehide"];

/**
 * Keeps what the page shows of one session, and how far that reaches, over a reload of the tab.
 *
 * Both are written as one text, so that they can't disagree. Where storage is forbidden or full,
 * nothing is kept and nothing fails: the next page starts with what the relay has.
 */
export class SessionStore {
  readonly #storage: TabStorage | null;
  readonly #session: string;
  readonly #key: string;
  readonly #environment: Environment;
  #latest: SessionState | null = null;
  #written: SessionState | null = null;
  #timer: unknown = null;

  /**
   * @param storage null where the browser forbids it
   * @param replay how many messages the page asked for: another number is another page
   */
  constructor(
    storage: TabStorage | null,
    session: string,
    replay: string | null,
    environment: Environment,
  ) {
    this.#storage = storage;
    this.#session = session;
    this.#key = `hint-relay:shown:${session}:${replay ?? "all"}`;
    this.#environment = environment;
  }

  /** Returns what was kept; null where there is nothing of use. */
  load(): SessionState | null {
    const text = this.#attempt((storage) => storage.getItem(this.#key));
    const state = text && readArchive(this.#session, text, this.#environment.nowMs());
    this.#written = state || null;
    return this.#written;
  }

  /** Notes what is shown now; it is written within a second, or when the page is left. */
  keep(state: SessionState): void {
    this.#latest = state;
    if (this.#timer !== null || state === this.#written) return;
    this.#timer = this.#environment.setTimer(this.flush, WRITE_EVERY_MS);
  }

  /** Writes what has not been written yet. */
  flush = (): void => {
    if (this.#timer !== null) this.#environment.clearTimer(this.#timer);
    this.#timer = null;
    const state = this.#latest;
    if (state === null || state === this.#written) return;
    this.#written = state;
    const text = writeArchive(this.#session, state, this.#environment.nowMs());
    if (text === null) return;
    const done = this.#attempt((storage) => {
      storage.setItem(this.#key, text);
      return true;
    });
    // What is there is older: what was shown since would come back as if it had been missed.
    if (!done) this.#attempt((storage) => storage.removeItem(this.#key));
  };

  /** Writes whenever the page is left, until the returned function is called, which writes as well. */
  attach(): () => void {
    const unlisten = LEAVING.map((event) => this.#environment.listen(event, this.flush));
    return () => {
      for (const stop of unlisten) stop();
      this.flush();
    };
  }

  #attempt<T>(access: (storage: TabStorage) => T): T | null {
    try {
      return this.#storage === null ? null : access(this.#storage);
    } catch {
      return null;
    }
  }
}

/** Returns the tab's own storage, which no other tab shares; null where it is forbidden. */
export function tabStorage(): TabStorage | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
