import { describe, expect, it } from "vitest";
import { age, clockTime, isoTime } from "@/lib/time";

describe("time", () => {
  it("is written as hours, minutes and seconds", () => {
    expect(clockTime(1_763_900_000)).toMatch(/^\d\d:\d\d:\d\d$/);
  });

  it("is empty for a number that is no time", () => {
    expect([clockTime(1e300), isoTime(Number.NaN)]).toEqual(["", ""]);
  });

  it.each([
    [-5, "just now"],
    [9, "just now"],
    [10, "10 s ago"],
    [59, "50 s ago"],
    [60, "1 min ago"],
    [3_599, "59 min ago"],
    [7_200, "2 h ago"],
  ])("calls %i seconds %s", (seconds, words) => {
    expect(age(100, 100 + seconds)).toBe(words);
  });
});
