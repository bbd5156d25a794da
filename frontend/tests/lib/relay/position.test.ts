import { describe, expect, it } from "vitest";
import { comparePositions, formatPosition, isCovered, parsePosition } from "@/lib/relay/position";

const MAX = 2 ** 53 - 1;

describe("position", () => {
  it("reads what it writes", () => {
    const text = `${MAX}-${MAX}`;
    const position = parsePosition(text);
    expect(position).toEqual({ epoch: MAX, offset: MAX });
    expect(position && formatPosition(position)).toBe(text);
  });

  it.each([
    "",
    "1",
    "1-",
    "-1",
    "0-1",
    "1-0",
    "01-1",
    "1-01",
    "1-1-1",
    " 1-1",
    "1-1\n",
    "+1-1",
    "1.5-1",
    "1e3-1",
    "٣-1",
    `${MAX + 1}-1`,
    `1-${MAX + 1}`,
    "99999999999999999-1",
  ])("refuses %j", (text) => {
    expect(parsePosition(text)).toBeNull();
  });

  it.each([null, undefined, 1, {}, ["1-1"]])("refuses %j, which is no text", (value) => {
    expect(parsePosition(value)).toBeNull();
  });

  it("orders by epoch first, then by offset as a number", () => {
    const texts = ["2-1", "1-10", "1-9"];
    const sorted = texts
      .map((text) => parsePosition(text))
      .filter((position) => position !== null)
      .sort(comparePositions)
      .map(formatPosition);
    expect(sorted).toEqual(["1-9", "1-10", "2-1"]);
  });

  it("covers only what stands in the same log and not later", () => {
    const newest = { epoch: 5, offset: 3 };
    expect(isCovered({ epoch: 5, offset: 3 }, newest)).toBe(true);
    expect(isCovered({ epoch: 5, offset: 4 }, newest)).toBe(false);
    expect(isCovered({ epoch: 4, offset: 1 }, newest)).toBe(false);
    expect(isCovered({ epoch: 5, offset: 1 }, null)).toBe(false);
  });
});
