import { describe, expect, it } from "vitest";
import { MAX_LEAD_MS, MIN_LEAD_MS, renewInMs } from "@/lib/relay/expiry";

const LUCKS = [0, 0.5, 0.999];

describe("renewal", () => {
  it.each([
    [3_600_000, MIN_LEAD_MS, MAX_LEAD_MS],
    [100_000, MIN_LEAD_MS, 20_000],
    [20_000, MIN_LEAD_MS, MIN_LEAD_MS],
  ])("of a token with %d ms to live comes %d to %d ms before the end", (lifeMs, least, most) => {
    for (const luck of LUCKS) {
      const beforeMs = lifeMs - (renewInMs(lifeMs, () => luck) ?? 0);
      expect(beforeMs).toBeGreaterThanOrEqual(least);
      expect(beforeMs).toBeLessThanOrEqual(most);
    }
  });

  it("is spread over time", () => {
    expect(new Set(LUCKS.map((luck) => renewInMs(3_600_000, () => luck))).size).toBe(LUCKS.length);
  });

  it("never comes more than once a second", () => {
    expect(renewInMs(1, () => 0)).toBe(1_000);
  });

  it("is left to the relay where the clock must be wrong", () => {
    expect(renewInMs(0, () => 0)).toBeNull();
    expect(renewInMs(-60_000, () => 0)).toBeNull();
  });
});
