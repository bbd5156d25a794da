import { describe, expect, it } from "vitest";
import { explainConnection, explainProblem, explainTokenTrouble } from "@/lib/connection-words";
import { INITIAL_STATE } from "@/lib/relay/connection-state";

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

  it("pass on why a relay lets nobody in for now, rather than say that it doesn't answer", () => {
    const turnedAway = "You have all the connections that you may have (2): close one.";
    expect(explainConnection({ ...reconnecting, turnedAway }, true)).toEqual({
      title: "Not connected yet",
      text: turnedAway,
      canRetry: true,
    });
    const lost = { ...reconnecting, everConnected: true, turnedAway };
    expect(explainConnection(lost, false)?.text).toBe(turnedAway);
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

  it("say plainly that a link is not valid, or not any more, with the relay's own words", () => {
    const problem = { kind: "unauthorized", detail: "The token has expired." } as const;
    expect(explainProblem(problem)).toMatchObject({
      title: "Your link is not valid",
      text: "The token has expired. Ask for a new link.",
    });
    expect(explainProblem(problem, true).title).toBe("Your link is not valid any more");
    expect(explainProblem({ ...problem, detail: "Unauthorized" }).text).toBe("Ask for a new link.");
  });

  it("blame no link that may be good where the page or the session is the trouble", () => {
    const detail = "Pages of this origin may not talk to the relay.";
    expect(explainProblem({ kind: "forbidden", detail }, true)).toEqual({
      title: "No access to this session",
      text: `${detail} Ask whoever gave you the link.`,
      canRetry: false,
    });
  });

  it("offer another try where there is somebody to ask for a token", () => {
    const renewable = { kind: "unauthorized", detail: "", renewable: true } as const;
    expect(explainProblem(renewable)).toMatchObject({
      canRetry: true,
      text: "Sign in again, or ask for a new link.",
    });
    const signedOut = { kind: "signed_out", detail: "It answered 401." } as const;
    expect(explainProblem(signedOut)).toMatchObject({
      canRetry: true,
      text: expect.stringContaining("It answered 401. Sign in, then try again."),
    });
  });

  const tokenTrouble = { kind: "not_given", detail: "It answered 503.", failures: 2 } as const;

  it("name the sign-in service where there is no connection for want of a token", () => {
    expect(explainConnection({ ...reconnecting, tokenTrouble }, false)).toMatchObject({
      title: "The sign-in service fails",
      text: "It answered 503.",
      canRetry: true,
    });
  });

  it("tell of access that is not renewed while all still works, from the second failure on", () => {
    const connected = { ...INITIAL_STATE, status: "connected", tokenTrouble } as const;
    expect(explainTokenTrouble(connected)).toContain("It answered 503.");
    const once = { ...tokenTrouble, failures: 1 };
    expect(explainTokenTrouble({ ...connected, tokenTrouble: once })).toBeNull();
    expect(explainTokenTrouble({ ...connected, status: "reconnecting" })).toBeNull();
    expect(explainTokenTrouble({ ...connected, tokenTrouble: null })).toBeNull();
  });

  it("tell at once that the relay did not take a pasted link", () => {
    const declined = { kind: "not_taken", detail: "Not yours.", failures: 1 } as const;
    const connected = { ...INITIAL_STATE, status: "connected", tokenTrouble: declined } as const;
    expect(explainTokenTrouble(connected)).toContain("did not take the new link. Not yours.");
  });
});
