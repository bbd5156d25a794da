import { describe, expect, it } from "vitest";
import { isSessionId } from "@/lib/relay/session";

describe("session id", () => {
  it.each(["a", "demo", "A-z_0.9~", "x".repeat(128)])("takes %j", (id) => {
    expect(isSessionId(id)).toBe(true);
  });

  it.each(["", "x".repeat(129), "a b", "a/b", "é", "a\n", "a:b", "{a}"])("refuses %j", (id) => {
    expect(isSessionId(id)).toBe(false);
  });
});
