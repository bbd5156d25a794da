import { describe, expect, it } from "vitest";
import { explainConnection, explainProblem } from "@/lib/connection-words";
import { INITIAL_STATE } from "@/lib/relay/client";

const reconnecting = { ...INITIAL_STATE, status: "reconnecting", attempt: 1 } as const;

describe("connection words", () => {
  it("say nothing while there is nothing to say", () => {
    expect(explainConnection(INITIAL_STATE, false)).toBeNull();
    expect(explainConnection({ ...INITIAL_STATE, status: "connected" }, true)).toBeNull();
  });

  it("tell a lost connection from a relay that never answered", () => {
    expect(explainConnection({ ...reconnecting, everConnected: true }, false)?.title).toBe(
      "Connection lost",
    );
    expect(explainConnection(reconnecting, false)?.title).toBe("The relay doesn't answer");
  });

  it("name wss where an insecure address had to be upgraded and doesn't answer", () => {
    expect(explainConnection(reconnecting, true)?.text).toMatch(
      /^This page is served over https, so the relay must be reachable over wss\./,
    );
  });

  it("name wss where the browser blocked the address", () => {
    expect(explainProblem({ kind: "mixed_content", detail: "" }).text).toContain("wss");
  });

  it("ask for a new link where access was refused, and offer no other try", () => {
    const words = explainProblem({ kind: "unauthorized", detail: "Unauthorized" });
    expect(words).toMatchObject({ canRetry: false, text: expect.stringContaining("new link") });
  });
});
