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
HTMLElement.prototype.scrollIntoView = () => {};

// Nothing is ever in sight, until a test says so.
class BlindObserver {
  observe(): void {}
  unobserve(): void {}
  disconnect(): void {}
}
globalThis.IntersectionObserver = BlindObserver as unknown as typeof IntersectionObserver;

// Nor does it open dialogs.
HTMLDialogElement.prototype.showModal = function showModal() {
  this.open = true;
};
HTMLDialogElement.prototype.close = function close() {
  if (!this.open) return;
  this.open = false;
  this.dispatchEvent(new Event("close"));
};
