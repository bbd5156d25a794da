import { describe, expect, it } from "vitest";
import { claimsOf } from "@/lib/relay/claims";
import { jwt } from "../../fakes/tokens";

describe("claims", () => {
  it("are what a token says, facilitator where it names no role", () => {
    expect(claimsOf(jwt(5_000))).toEqual({ expiresAt: 5, role: "facilitator" });
    expect(claimsOf(jwt(5_000, { role: "observer", sub: "Zoë" }))).toEqual({
      expiresAt: 5,
      role: "observer",
    });
  });

  it.each([null, "", "abc", "a.b.c", `a.${btoa("[1]")}.c`, `a.${btoa('{"exp":"soon"}')}.c`])(
    "are unknown of what is no such token: %j",
    (token) => {
      expect(claimsOf(token)).toEqual({ expiresAt: null, role: null });
    },
  );
});
