import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BACKOFF, backoffMs } from "@/lib/relay/backoff";

const almostOne = () => 1 - Number.EPSILON;

describe("backoff", () => {
  it("bounds the tries by 1, 2, 4 … and at most 30 seconds", () => {
    const bounds = [0, 1, 2, 3, 4, 5, 6, 5_000].map((n) => Math.round(backoffMs(n, almostOne)));
    expect(bounds).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
  });

  it("draws the very first delay too", () => {
    expect(backoffMs(0, () => 0)).toBe(100);
    expect(backoffMs(0, () => 0.5)).toBe(550);
  });

  it("never spins and never waits longer than the cap", () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 0.999_999, noNaN: true }), (attempt, luck) => {
        const delay = backoffMs(attempt, () => luck);
        expect(delay).toBeGreaterThanOrEqual(BACKOFF.baseMs / 10);
        expect(delay).toBeLessThanOrEqual(BACKOFF.capMs);
      }),
    );
  });

  it("spreads a fleet evenly over the whole range", () => {
    const delays = Array.from({ length: 1_000 }, (_, i) => backoffMs(2, () => i / 1_000));
    const inFirstHalf = delays.filter((delay) => delay < 2_200).length;
    expect(inFirstHalf).toBeGreaterThan(480);
    expect(inFirstHalf).toBeLessThan(520);
  });
});
