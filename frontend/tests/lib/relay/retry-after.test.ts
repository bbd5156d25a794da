import { expect, it } from "vitest";
import { MAX_RETRY_AFTER_MS, retryAfterMs } from "@/lib/relay/retry-after";

const NOW_MS = Date.parse("Sun, 23 Nov 2025 10:00:00 GMT");

it.each([
  ["0", 0],
  [" 7 ", 7_000],
  ["Sun, 23 Nov 2025 10:00:30 GMT", 30_000],
  ["Sun, 23 Nov 2025 09:00:00 GMT", 0],
  ["86400", MAX_RETRY_AFTER_MS],
  ["soon", null],
  ["", null],
  [null, null],
])("reads Retry-After: %j as %j ms", (header, ms) => {
  expect(retryAfterMs(header, NOW_MS)).toBe(ms);
});
