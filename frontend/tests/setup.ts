import "@testing-library/jest-dom/vitest";
import { cleanup } from "@testing-library/react";
import { afterEach } from "vitest";

afterEach(() => {
  cleanup();
  window.localStorage.clear();
  window.sessionStorage.clear();
});

// jsdom lays nothing out and has no ResizeObserver; the virtual list needs both to draw a line.
class StillObserver implements ResizeObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}
globalThis.ResizeObserver = StillObserver;
Object.defineProperty(HTMLElement.prototype, "offsetHeight", { get: () => 48 });
Object.defineProperty(HTMLElement.prototype, "clientHeight", { get: () => 480 });
Object.defineProperty(HTMLElement.prototype, "clientWidth", { get: () => 640 });
HTMLElement.prototype.scrollTo = () => {};
