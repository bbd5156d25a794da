import { beforeEach, describe, expect, it } from "vitest";
import { RelayClient, type RelayClientOptions } from "@/lib/relay/client";
import { HANDSHAKE_WITHIN_MS } from "@/lib/relay/connection";
import type { Delivery } from "@/lib/relay/delivery";
import { SOCKET_AGAIN_MS } from "@/lib/relay/understudy";
import { FakeStream } from "../../fakes/socket";
import { FakeTokens } from "../../fakes/tokens";
import { FakeWorld } from "../../fakes/world";

let world: FakeWorld;
let client: RelayClient;
let deliveries: Delivery[];
let connected: boolean[];
let moves: number;
let claims: boolean[];

beforeEach(() => {
  world = new FakeWorld();
  deliveries = [];
  connected = [];
  moves = 0;
  claims = [];
});

function open(options: Partial<RelayClientOptions> = {}): void {
  client = new RelayClient(
    {
      url: "wss://relay.example/hints/ws?session=demo&guest=me",
      onDelivery: (delivery) => deliveries.push(delivery),
      onConnected: (again) => connected.push(again),
      onMoved: () => {
        moves += 1;
      },
      onState: ({ fallback }) => claims.push(fallback),
      ...options,
    },
    world,
  );
  client.open();
  world.advance(0);
}

/** Lets the present try fail before it opens, and the next one begin. */
function blockOnce(): void {
  world.socket.breakOff();
  world.advance((client.state.retryAtMs ?? 0) - world.nowMs());
}

/** Gets to a stream that stands, and to the failed socket that proves that none gets through. */
function fallBack(fields: object = {}, options: Partial<RelayClientOptions> = {}): FakeStream {
  open(options);
  blockOnce();
  blockOnce();
  world.stream.greet({ heartbeat_s: 1e9, ...fields });
  world.advance(4_000);
  world.socket.breakOff();
  return world.stream;
}

const isStream = () => world.socket instanceof FakeStream;
const hint = (position: string) => ({ position, type: "hint", text: position });
const texts = () =>
  deliveries.flatMap(({ message }) => (message.type === "hint" ? [message.text] : []));

describe("where no WebSocket gets through", () => {
  it("comes over a stream after two in a row that never opened", () => {
    open({ token: "abc" });
    blockOnce();
    expect(isStream()).toBe(false);
    blockOnce();
    expect(world.stream.request).toEqual({
      url: "https://relay.example/hints/events?session=demo&guest=me",
      messagesUrl: "https://relay.example/hints/sessions/demo/messages?guest=me",
      token: "abc",
    });
    world.stream.greet();
    expect([client.state.status, connected]).toEqual(["connected", [false]]);
  });

  it("counts a socket that opens and lets nothing through as one that never opened", () => {
    open();
    for (let n = 0; n < 2; n += 1) {
      world.advance(HANDSHAKE_WITHIN_MS);
      world.advance((client.state.retryAtMs ?? 0) - world.nowMs());
    }
    expect(isStream()).toBe(true);
  });

  it("says so only once a socket has failed beside a stream that stands", () => {
    open();
    blockOnce();
    blockOnce();
    world.stream.greet();
    expect(client.state.fallback).toBe(false);
    world.advance(4_000);
    expect([isStream(), client.state.status]).toEqual([false, "connected"]);
    world.socket.breakOff();
    expect(client.state).toMatchObject({ status: "connected", fallback: true });
  });

  it("goes back to a socket where the relay had only been away, and never says otherwise", () => {
    open();
    for (let n = 0; n < 12; n += 1) blockOnce();
    while (!isStream()) blockOnce();
    const stream = world.stream;
    stream.greet({ position: "7-1", recovered: null });
    world.advance(4_000);
    expect(world.socket.query("since")).toBe("7-1");
    stream.receive(hint("7-2"));
    world.socket.greet({ position: "7-3", recovered: true });
    expect(stream.isClosed).toBe(true);
    for (const position of ["7-2", "7-3"]) world.socket.receive(hint(position));
    expect(texts()).toEqual(["7-2", "7-3"]);
    expect(deliveries.some(({ missed }) => missed)).toBe(false);
    expect(claims).not.toContain(true);
    expect([moves, connected, world.liveSockets]).toEqual([1, [false], 1]);
  });

  it("tries both in turn while neither works", () => {
    open();
    const kinds: string[] = [];
    for (let n = 0; n < 8; n += 1) {
      kinds.push(isStream() ? "stream" : "socket");
      blockOnce();
    }
    expect(kinds.join(" ")).toBe("socket socket stream socket stream socket stream socket");
  });

  it("concludes nothing from tries without a network", () => {
    open();
    world.online = false;
    for (let n = 0; n < 4; n += 1) blockOnce();
    expect(isStream()).toBe(false);
  });

  it("concludes nothing from sockets that the relay itself has closed", () => {
    open();
    for (let n = 0; n < 4; n += 1) {
      world.socket.breakOff(4001);
      world.advance((client.state.retryAtMs ?? 0) - world.nowMs());
    }
    expect(world.streams).toHaveLength(0);
  });

  it("comes back over a stream at once when that breaks, from where it was", () => {
    const stream = fallBack({ position: "7-1" });
    stream.receive(hint("7-2"));
    stream.breakOff();
    world.advance(1_000);
    expect(world.streams).toHaveLength(2);
    expect(world.socket.query("since")).toBe("7-2");
    world.stream.greet({ position: "7-2", recovered: true });
    expect(connected).toEqual([false, true]);
  });

  it("tries a socket again every five minutes, and moves to it without a gap", () => {
    fallBack();
    const tries = world.sockets.length;
    world.advance(SOCKET_AGAIN_MS * 0.7);
    expect(world.sockets).toHaveLength(tries);
    world.advance(SOCKET_AGAIN_MS * 0.3);
    expect(world.sockets).toHaveLength(tries + 1);
    world.socket.breakOff();
    world.advance(SOCKET_AGAIN_MS);
    expect([world.sockets.length, client.state.status]).toEqual([tries + 2, "connected"]);
    world.socket.greet();
    expect(client.state).toMatchObject({ status: "connected", fallback: false });
    expect(client.state.socket).toBe(world.socket);
    world.socket.breakOff();
    world.advance(1_000);
    expect(isStream()).toBe(false);
  });

  it("tries a socket when the person asks for it, one at a time, and stays where it is meanwhile", () => {
    const stream = fallBack();
    const tries = world.sockets.length;
    client.retryNow();
    client.retryNow();
    expect(world.sockets).toHaveLength(tries + 1);
    world.advance(HANDSHAKE_WITHIN_MS);
    expect(client.state).toMatchObject({ status: "connected", socket: stream, fallback: true });
    expect(world.liveSockets).toBe(1);
  });

  it("stays where it is when the relay would not have a second connection", () => {
    const stream = fallBack();
    client.retryNow();
    world.socket.open();
    world.socket.receive({ type: "error", code: "limit_reached", text: "Too many." });
    world.socket.breakOff(4102);
    expect(client.state).toMatchObject({ status: "connected", socket: stream, problem: null });
    expect(client.state.fallback).toBe(false);
    const tries = world.sockets.length;
    world.advance(SOCKET_AGAIN_MS * 0.7);
    expect(world.sockets).toHaveLength(tries);
  });

  it("begins with a socket again in another network", () => {
    const stream = fallBack();
    world.emit("offline");
    world.emit("online");
    expect(stream.isClosed).toBe(true);
    expect([isStream(), world.liveSockets]).toEqual([false, 1]);
  });

  it("tries a socket soon in another network that the stream has survived", () => {
    fallBack();
    world.emit("offline");
    world.stream.receive({ type: "heartbeat", position: null });
    world.emit("online");
    const tried = world.sockets.length;
    world.advance(4_000);
    expect([world.sockets.length, isStream(), world.stream.isClosed]).toEqual([
      tried + 1,
      false,
      false,
    ]);
    world.socket.breakOff();
    expect(client.state).toMatchObject({ status: "connected", fallback: true });
  });

  it("leaves nothing behind when it closes while a socket is tried", () => {
    fallBack();
    client.retryNow();
    client.close();
    expect([world.timers, world.listeners, world.liveSockets]).toEqual([0, 0, 0]);
  });
});

describe("a stream", () => {
  it("is opened anew when it is silent for too long, and is never pinged", () => {
    const stream = fallBack({ heartbeat_s: 10 });
    stream.receive({ type: "heartbeat", position: null });
    world.advance(14_999);
    world.emit("visible");
    expect(client.state.status).toBe("connected");
    world.advance(1);
    expect(client.state.status).toBe("reconnecting");
    expect([stream.sent, stream.isClosed]).toEqual([[], true]);
    world.advance(1_000);
    expect(world.streams).toHaveLength(2);
  });

  it("is found dead at once after a sleep", () => {
    const stream = fallBack({ heartbeat_s: 10 });
    stream.receive({ type: "heartbeat", position: null });
    world.advance(3_600_000);
    expect(stream.isClosed).toBe(true);
  });

  it("waits as long as the relay asks, and some more", () => {
    fallBack();
    world.stream.breakOff();
    world.advance(1_000);
    world.stream.receive({
      type: "error",
      code: "limit_reached",
      text: "x",
      retry_after_ms: 7_000,
    });
    world.stream.breakOff();
    const waitMs = (client.state.retryAtMs ?? 0) - world.nowMs();
    expect(waitMs).toBeGreaterThan(7_000);
    expect(waitMs).toBeLessThan(10_000);
  });

  it("tells why the relay turns it away, until it is let in or says something else", () => {
    open();
    blockOnce();
    blockOnce();
    world.stream.receive({ type: "error", code: "rate_limited", text: "Close some." });
    world.stream.breakOff();
    expect(client.state).toMatchObject({ status: "reconnecting", turnedAway: "Close some." });
    world.advance((client.state.retryAtMs ?? 0) - world.nowMs());
    blockOnce();
    expect([client.state.turnedAway, isStream()]).toEqual(["Close some.", true]);
    world.stream.greet();
    expect(client.state.turnedAway).toBe("");
    world.stream.receive({ type: "error", code: "unknown_hint", text: "No such hint.", ref: "f1" });
    world.stream.breakOff();
    expect(client.state.turnedAway).toBe("");
  });

  it("goes on from a drain after the delay that it was given", () => {
    fallBack();
    world.stream.receive({ type: "drain", reconnect_after_ms: 500 });
    world.stream.breakOff(4001);
    world.advance(500);
    expect(world.streams).toHaveLength(2);
  });

  it("forgets the drain of a relay that another connection has taken it away from", () => {
    const stream = fallBack({ position: "7-1" }, { token: "old" });
    stream.receive({ type: "drain", reconnect_after_ms: 5_000 });
    client.bringToken("next");
    world.stream.greet({ position: "7-1", recovered: true });
    world.advance(5_000);
    expect([world.stream === stream, client.state.status]).toEqual([false, "connected"]);
    world.stream.breakOff();
    expect(client.state.retryAtMs).toBeGreaterThan(world.nowMs());
  });

  it("is opened anew with the next token, and the old one stays until the new one has greeted", async () => {
    const tokens = new FakeTokens();
    const expires_at = world.nowMs() / 1_000 + 100;
    const old = fallBack({ expires_at, position: "7-1" }, { token: "old", ...tokens });
    world.advance(84_000);
    await tokens.give("next");
    expect(world.stream.request).toMatchObject({ token: "next" });
    expect([old.isClosed, client.state.status]).toEqual([false, "connected"]);
    world.stream.greet({ expires_at: expires_at + 100, position: "7-1", recovered: true });
    expect([old.isClosed, moves, connected]).toEqual([true, 1, [false]]);
    expect(client.state).toMatchObject({ status: "connected", socket: world.stream });
  });

  it("stays when the relay declines the next token", () => {
    const old = fallBack({}, { token: "old" });
    client.bringToken("bad");
    world.stream.receive({ type: "error", code: "unauthorized", text: "No." });
    world.stream.breakOff(1008);
    expect(client.state).toMatchObject({
      status: "connected",
      socket: old,
      tokenTrouble: { kind: "not_taken", detail: "No." },
    });
  });

  it("stops on a refusal, as a socket does", () => {
    fallBack({}, { token: "old" });
    world.stream.breakOff(1008);
    expect(client.state).toMatchObject({ status: "refused", problem: { kind: "unauthorized" } });
  });
});
