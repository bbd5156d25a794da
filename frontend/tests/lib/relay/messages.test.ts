import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseMessage } from "@/lib/relay/messages";
import { GOLDEN_MESSAGES } from "../../fakes/golden";

describe("messages", () => {
  it.each(GOLDEN_MESSAGES.valid)("takes as it is: $name", ({ message }) => {
    expect(parseMessage(JSON.stringify(message))).toEqual({
      kind: "message",
      message,
      position: message.position ?? null,
    });
  });

  it.each(GOLDEN_MESSAGES.unknown)("reports as unknown: $name", ({ message }) => {
    const parsed = parseMessage(JSON.stringify(message));
    expect(parsed).toEqual({ kind: "unknown", type: message.type, position: null });
  });

  it.each(GOLDEN_MESSAGES.invalid)("refuses: $name", ({ text }) => {
    expect(parseMessage(text).kind).toBe("invalid");
  });

  it("knows no type by the name of an object's own parts", () => {
    for (const type of ["toString", "__proto__", "constructor"]) {
      expect(parseMessage(JSON.stringify({ type })).kind).toBe("unknown");
    }
  });

  it("refuses a position of an unknown shape", () => {
    const text = '{"type":"hint","text":"hi","position":"yesterday"}';
    expect(parseMessage(text)).toMatchObject({ kind: "invalid", position: null });
  });

  it("tells the position of what it can't use, which holds a place in the log all the same", () => {
    expect(parseMessage('{"position":"7-3","type":"hint","text":5}')).toMatchObject({
      kind: "invalid",
      position: "7-3",
    });
    expect(parseMessage('{"position":"7-4","type":"poll"}')).toMatchObject({
      kind: "unknown",
      position: "7-4",
    });
  });

  it("says what is wrong", () => {
    expect(parseMessage('{"type":"hint","text":5}')).toMatchObject({
      reason: expect.stringContaining("hint: text"),
    });
  });

  it("takes null for an optional field that is not set", () => {
    const text = '{"type":"hint","text":"hi","id":null,"priority":null,"expires_at":null}';
    expect(parseMessage(text).kind).toBe("message");
  });

  it("refuses binary frames", () => {
    expect(parseMessage(new ArrayBuffer(2)).kind).toBe("invalid");
  });

  it("never throws, whatever arrives", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), fc.anything()), (frame) => {
        expect(() => parseMessage(frame)).not.toThrow();
      }),
    );
  });
});
