import { vi } from "vitest";

/** Stands in for the browser's observer: the test says what comes into sight. */
export class FakeSight {
  readonly #watched = new Map<Element, IntersectionObserverCallback>();

  /** Takes the browser's place for the present test. */
  static install(): FakeSight {
    const sight = new FakeSight();
    vi.stubGlobal(
      "IntersectionObserver",
      class {
        constructor(readonly report: IntersectionObserverCallback) {}
        observe(element: Element): void {
          sight.#watched.set(element, this.report);
        }
        unobserve(element: Element): void {
          sight.#watched.delete(element);
        }
        disconnect(): void {}
      },
    );
    return sight;
  }

  /** Ids of what is being watched. */
  get watched(): readonly string[] {
    return [...this.#watched.keys()].map((element) => (element as HTMLElement).dataset.id ?? "");
  }

  /** Shows a share of a hint, so many pixels of it, in a panel of 400. */
  show(id: string, intersectionRatio: number, heightPx = 10): void {
    for (const [element, report] of this.#watched) {
      if ((element as HTMLElement).dataset.id !== id) continue;
      const entry = {
        target: element,
        intersectionRatio,
        intersectionRect: { height: heightPx },
        rootBounds: { height: 400 },
      };
      report([entry as IntersectionObserverEntry], this as unknown as IntersectionObserver);
    }
  }
}
