import { beforeEach, describe, expect, it } from "vitest";
import { RelayClient, type RelayClientOptions } from "@/lib/relay/client";
import { TOKEN_WITHIN_MS, TokenError } from "@/lib/relay/token-keeper";
import { FakeTokens, jwt } from "../../fakes/tokens";
import { FakeWorld } from "../../fakes/world";

let world: FakeWorld;
let tokens: FakeTokens;
let client: RelayClient;
let connected: boolean[];

beforeEach(() => {
  world = new FakeWorld();
  tokens = new FakeTokens();
  connected = [];
});

function open(options: Partial<RelayClientOptions> = {}): void {
  client = new RelayClient(
    {
      url: "ws://relay/ws?session=demo",
      onConnected: (again) => connected.push(again),
      ...options,
    },
    world,
  );
  client.open();
  world.advance(0);
}

const bearer = () => world.socket.protocols[1]?.slice("bearer.".length) ?? null;
const inS = (seconds: number) => world.nowMs() / 1_000 + seconds;
/** Has the relay greet, with a token that ends in so many seconds; silence is not what this is about. */
const greet = (endsInS: number, fields: object = {}) =>
  world.socket.greet({ expires_at: inS(endsInS), heartbeat_s: 1e9, ...fields });
const refreshes = () =>
  world.socket.sent.flatMap((message) => {
    const { type, token } = message as { type: string; token?: string };
    return type === "refresh" ? [token] : [];
  });

describe("a refused token", () => {
  it("stops the client for good, with the relay's own words", () => {
    open({ token: "old" });
    world.socket.open();
    world.socket.receive({ type: "error", code: "unauthorized", text: "The token has expired." });
    world.socket.breakOff(1008, "Unauthorized");
    expect(client.state).toMatchObject({
      status: "refused",
      problem: { kind: "unauthorized", detail: "The token has expired." },
    });
    world.advance(3_600_000);
    expect([world.sockets.length, world.timers]).toEqual([1, 0]);
  });

  it("is told from a page or a session that it is not for", () => {
    open({ token: "old" });
    world.socket.receive({ type: "error", code: "forbidden", text: "Not for this session." });
    world.socket.breakOff(1008, "Unauthorized");
    expect(client.state).toMatchObject({
      status: "refused",
      problem: { kind: "forbidden", detail: "Not for this session." },
    });
    client.bringToken("new");
    world.socket.greet();
    expect([bearer(), client.state.status]).toEqual(["new", "connected"]);
  });

  it("is forgotten when the person brings a good one", () => {
    open({ token: "old" });
    world.socket.breakOff(1008);
    client.bringToken("new");
    expect([world.sockets.length, bearer()]).toEqual([2, "new"]);
    world.socket.greet();
    expect(client.state).toMatchObject({ status: "connected", problem: null });
  });

  it("is tried once more after it has expired where there is no way to another", () => {
    open({ token: "old" });
    greet(60);
    world.socket.breakOff(4004, "Token expired");
    world.advance(1_000);
    expect([world.sockets.length, bearer()]).toEqual([2, "old"]);
    world.socket.breakOff(1008);
    world.advance(3_600_000);
    expect([world.sockets.length, client.state.status]).toEqual([2, "refused"]);
  });

  it("has another asked for where somebody can be asked, and stops when that is refused as well", async () => {
    open({ token: "old", ...tokens });
    world.socket.breakOff(1008);
    world.advance(1_000);
    await tokens.give("new");
    expect([world.sockets.length, bearer()]).toEqual([2, "new"]);
    world.socket.breakOff(1008);
    world.advance(3_600_000);
    expect(client.state).toMatchObject({
      status: "refused",
      problem: { kind: "unauthorized", renewable: true },
    });
    expect([tokens.questions.length, world.sockets.length]).toEqual([1, 2]);
  });

  it("has another asked for when the person tries again, or comes back to the page", async () => {
    open(tokens);
    await tokens.give("one");
    world.socket.breakOff(1008);
    client.retryNow();
    await tokens.give("two");
    expect(bearer()).toBe("two");
    world.socket.breakOff(1008);
    world.emit("visible");
    await tokens.give("three");
    expect(bearer()).toBe("three");
  });

  it("is no reason to stop when a newer one has come meanwhile", () => {
    open({ token: "old" });
    greet(60);
    client.bringToken("new");
    world.socket.breakOff(1008);
    world.advance(1_000);
    expect(bearer()).toBe("new");
  });
});

describe("asking for a token", () => {
  it("comes before the first connection when there is none", async () => {
    open(tokens);
    expect([world.sockets.length, client.state.status]).toEqual([0, "connecting"]);
    await tokens.give("fresh");
    expect(bearer()).toBe("fresh");
  });

  it("is not needed while the link's own token is good", () => {
    open({ token: jwt(world.nowMs() + 60_000), ...tokens });
    expect([tokens.questions.length, world.sockets.length]).toEqual([0, 1]);
  });

  it("comes before a connection when the held one has expired or is about to", async () => {
    open({ token: jwt(world.nowMs() + 4_000), ...tokens });
    expect([tokens.questions.length, world.sockets.length]).toEqual([1, 0]);
    await tokens.give("fresh");
    greet(3_600);
    world.socket.breakOff();
    world.advance(1_000);
    expect([tokens.questions.length, bearer()]).toEqual([1, "fresh"]);
    greet(3_600);
    world.emit("offline");
    world.socket.breakOff();
    world.emit("online");
    world.socket.breakOff();
    world.luck = 1;
    world.advance(30_000);
    expect(tokens.questions).toHaveLength(1);
  });

  it("comes before coming back when the relay says that the token has expired", async () => {
    open({ token: "old", ...tokens });
    greet(3_600, { position: "7-3" });
    world.socket.breakOff(4004);
    world.advance(1_000);
    expect([tokens.questions.length, world.sockets.length]).toEqual([1, 1]);
    await tokens.give("fresh");
    expect([bearer(), world.socket.query("since")]).toEqual(["fresh", "7-3"]);
  });

  it("gives up on one that hangs, says so, and asks again later", async () => {
    open(tokens);
    world.advance(TOKEN_WITHIN_MS);
    expect(tokens.question.signal.aborted).toBe(true);
    expect(client.state).toMatchObject({
      status: "reconnecting",
      tokenTrouble: { kind: "not_given", detail: "It doesn't answer.", failures: 1 },
    });
    expect(client.state.retryAtMs).toBeGreaterThan(world.nowMs());
    const late = tokens.question;
    world.advance(1_000);
    late.answer("late");
    await tokens.give("fresh");
    expect([tokens.questions.length, bearer()]).toEqual([2, "fresh"]);
    expect(client.state.tokenTrouble).toBeNull();
  });

  it("waits longer from failure to failure, and as long as it is told", async () => {
    world.luck = 1;
    open(tokens);
    const waits: number[] = [];
    for (const retryAfterMs of [null, null, null, 20_000]) {
      await tokens.fail(new TokenError("It answered 503.", false, retryAfterMs));
      const waitMs = (client.state.retryAtMs ?? 0) - world.nowMs();
      waits.push(waitMs);
      world.advance(waitMs);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 28_000]);
  });

  it("stops where the person has to sign in first, and goes on when they come back", async () => {
    open(tokens);
    await tokens.fail(new TokenError("It answered 401.", true));
    expect(client.state).toMatchObject({
      status: "refused",
      problem: { kind: "signed_out", renewable: true },
    });
    world.advance(3_600_000);
    expect(tokens.questions).toHaveLength(1);
    world.emit("visible");
    world.emit("pageshow");
    expect(tokens.questions).toHaveLength(2);
    await tokens.give("fresh");
    expect(bearer()).toBe("fresh");
  });

  it("asks one question at a time, however often the page wakes", () => {
    open(tokens);
    for (const event of ["online", "visible", "pageshow"] as const) world.emit(event);
    client.retryNow();
    expect(tokens.questions).toHaveLength(1);
  });

  it("is over when the client closes, or the person brings a token", async () => {
    open(tokens);
    client.bringToken("pasted");
    expect([tokens.question.signal.aborted, bearer()]).toEqual([true, "pasted"]);
    await tokens.give("late");
    expect(world.sockets).toHaveLength(1);
    client.close();
    expect([world.timers, world.listeners, world.liveSockets]).toEqual([0, 0, 0]);
  });
});

describe("an open connection", () => {
  it("gets the next token some time before the end, and its new end from the relay", async () => {
    open({ token: "old", ...tokens });
    greet(100);
    world.advance(79_999);
    expect(tokens.questions).toHaveLength(0);
    world.advance(4_001);
    expect(tokens.questions).toHaveLength(1);
    await tokens.give("next");
    expect(refreshes()).toEqual(["next"]);
    world.socket.receive({ type: "refreshed", expires_at: inS(100), role: "observer" });
    expect(client.state).toMatchObject({ status: "connected", role: "observer" });
    world.advance(79_999);
    expect(tokens.questions).toHaveLength(1);
    world.advance(4_001);
    expect([tokens.questions.length, world.sockets.length]).toEqual([2, 1]);
  });

  it("stays while no token is to be had, and says so until there is one", async () => {
    open({ token: "old", ...tokens });
    greet(100);
    world.advance(84_000);
    await tokens.fail();
    world.advance(1_000);
    await tokens.fail();
    expect(client.state).toMatchObject({
      status: "connected",
      tokenTrouble: { kind: "not_given", failures: 2 },
    });
    world.advance(2_000);
    await tokens.give("next");
    expect(client.state.tokenTrouble).toBeNull();
    expect(refreshes()).toEqual(["next"]);
  });

  it("stays when the relay declines a pasted token, and comes back with the one that it has", () => {
    open({ token: "old" });
    greet(100);
    client.bringToken("other");
    expect(refreshes()).toEqual(["other"]);
    world.socket.receive({ type: "error", code: "unauthorized", text: "Somebody else's." });
    expect(client.state).toMatchObject({
      status: "connected",
      tokenTrouble: { kind: "not_taken", detail: "Somebody else's." },
    });
    world.socket.breakOff();
    world.advance(1_000);
    expect(bearer()).toBe("old");
    world.socket.breakOff(4004);
    world.advance(2_000);
    expect(bearer()).toBe("other");
  });

  it("makes way for one with a pasted token of somebody else, once that has greeted", () => {
    open({ token: "old" });
    greet(1_000, { role: "observer" });
    const before = world.socket;
    client.bringToken("other");
    before.receive({ type: "error", code: "forbidden", text: "Somebody else's." });
    expect([world.sockets.length, bearer(), before.isClosed]).toEqual([2, "other", false]);
    greet(1_000, { role: "facilitator" });
    expect([before.isClosed, world.liveSockets]).toEqual([true, 1]);
    expect(client.state).toMatchObject({
      status: "connected",
      role: "facilitator",
      fallback: false,
      tokenTrouble: null,
    });
    world.advance(3_600_000);
    expect(world.sockets.length).toBe(2);
  });

  it.each([
    [1008, "unauthorized"],
    [4102, "limit_reached"],
  ])("stays when the relay has no place for the pasted token either, with %s", (code, name) => {
    open({ token: "old" });
    greet(1_000);
    const before = world.socket;
    client.bringToken("other");
    before.receive({ type: "error", code: "forbidden", text: "Somebody else's." });
    world.socket.receive({ type: "error", code: name, text: "Not here." });
    world.socket.breakOff(code);
    expect(client.state).toMatchObject({
      status: "connected",
      fallback: false,
      tokenTrouble: { kind: "not_taken", detail: "Not here." },
    });
    world.advance(3_600_000);
    expect([world.sockets.length, before.isClosed]).toEqual([2, false]);
  });

  it("does not take a socket that broke beside it for a sign that none gets through", () => {
    open({ token: "old" });
    greet(1_000);
    client.bringToken("other");
    world.socket.receive({ type: "error", code: "forbidden", text: "Somebody else's." });
    world.socket.breakOff();
    expect(client.state).toMatchObject({ status: "connected", fallback: false });
    world.sockets[0]?.breakOff();
    world.advance(1_000);
    expect([world.streams.length, bearer()]).toEqual([0, "other"]);
  });

  it("gets a token that came while it was being made", async () => {
    open({ token: jwt(world.nowMs() + 100_000), ...tokens });
    greet(100);
    world.advance(84_000);
    world.socket.breakOff();
    world.advance(1_000);
    await tokens.give("next");
    expect([world.sockets.length, bearer()]).not.toContain("next");
    greet(15);
    expect(refreshes()).toEqual(["next"]);
  });

  it("is not renewed by a clock that must be wrong: the relay says when a token has ended", () => {
    open({ token: "old", ...tokens });
    greet(-600);
    world.advance(3_000);
    expect(tokens.questions).toHaveLength(0);
  });

  it("outlasts what a browser's timer can hold", () => {
    open({ token: "old", ...tokens });
    greet(100 * 24 * 3_600);
    world.advance(2 ** 31);
    expect(tokens.questions).toHaveLength(0);
    world.advance(100 * 24 * 3_600_000 - 2 ** 31 - 46_000);
    expect(tokens.questions).toHaveLength(1);
  });

  it("is renewed no more once it is gone", () => {
    open({ token: "old", ...tokens });
    greet(100);
    client.close();
    world.advance(200_000);
    expect([tokens.questions.length, world.timers]).toEqual([0, 0]);
  });
});

describe("the role", () => {
  it("is what the relay says, and what the token says before that", () => {
    open({ token: jwt(world.nowMs() + 60_000, { role: "observer" }) });
    expect(client.state.role).toBe("observer");
    world.socket.greet({ role: "facilitator" });
    expect(client.state.role).toBe("facilitator");
  });

  it("is nobody's on a relay that needs no token", () => {
    open();
    world.socket.greet();
    expect(client.state.role).toBeNull();
  });
});
