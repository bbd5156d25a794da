/** Runs a function before the next paint, or soon where nothing is painted; returns its undoing. */
export type RequestFrame = (run: () => void) => () => void;

/**
 * Collects items and hands them on at most once per animation frame.
 *
 * A burst of messages costs one render. After `stop`, nothing is handed on until the next `push`.
 */
export class FrameQueue<T> {
  readonly #apply: (items: readonly T[]) => void;
  readonly #requestFrame: RequestFrame;
  #items: T[] = [];
  #cancel: (() => void) | null = null;

  constructor(apply: (items: readonly T[]) => void, requestFrame: RequestFrame) {
    this.#apply = apply;
    this.#requestFrame = requestFrame;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#cancel ??= this.#requestFrame(this.#flush);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = null;
    this.#items = [];
  }

  #flush = (): void => {
    this.#cancel = null;
    const items = this.#items;
    this.#items = [];
    this.#apply(items);
  };
}

const HIDDEN_FLUSH_MS = 250;

/** The browser's animation frame. Hidden pages paint none, so a timer stands in for it. */
export const requestBrowserFrame: RequestFrame = (run) => {
  const settle = () => {
    cancel();
    run();
  };
  const frame = window.requestAnimationFrame(settle);
  const timer = window.setTimeout(settle, HIDDEN_FLUSH_MS);
  const cancel = () => {
    window.cancelAnimationFrame(frame);
    window.clearTimeout(timer);
  };
  return cancel;
};
