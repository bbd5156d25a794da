import { beforeEach, describe, expect, it } from "vitest";
import { OFFLINE_RETRY_MS, RelayClient } from "@/lib/relay/client";
import { HANDSHAKE_WITHIN_MS } from "@/lib/relay/connection";
import type { Delivery } from "@/lib/relay/delivery";
import { GOLDEN_CODES } from "../../fakes/golden";
import { FakeWorld } from "../../fakes/world";

let world: FakeWorld;
let client: RelayClient;
let deliveries: Delivery[];
let connected: boolean[];

beforeEach(() => {
  world = new FakeWorld();
  deliveries = [];
  connected = [];
  client = newClient();
});

function newClient(): RelayClient {
  return new RelayClient(
    {
      url: "ws://relay/ws?session=demo",
      token: "abc",
      onDelivery: (delivery) => deliveries.push(delivery),
      onConnected: (again) => connected.push(again),
    },
    world,
  );
}

function start(fields: object = {}): void {
  client.open();
  world.advance(0);
  world.socket.greet(fields);
}

const hint = (position: string, text = position) => ({ position, type: "hint", text });
const texts = () =>
  deliveries.flatMap(({ message }) => (message.type === "hint" ? [message.text] : []));

describe("connecting", () => {
  it("opens one socket with the session and both subprotocols, without a position", () => {
    client.open();
    client.open();
    expect(world.sockets).toHaveLength(0);
    world.advance(0);
    expect(world.sockets).toHaveLength(1);
    expect(world.socket.url).toBe("ws://relay/ws?session=demo");
    expect(world.socket.protocols).toEqual(["hints.v1", "bearer.abc"]);
    expect(client.state.status).toBe("connecting");
  });

  it("is connected when the relay has said so, not when the socket opens", () => {
    client.open();
    world.advance(0);
    world.socket.open();
    expect(client.state.status).toBe("connecting");
    world.socket.greet();
    expect(client.state).toMatchObject({ status: "connected", attempt: 0, retryAtMs: null });
    expect(connected).toEqual([false]);
  });

  it("gives up on a relay that accepts and then says nothing", () => {
    client.open();
    world.advance(0);
    world.socket.open();
    world.advance(HANDSHAKE_WITHIN_MS);
    expect(client.state).toMatchObject({ status: "reconnecting", attempt: 1 });
    expect(world.liveSockets).toBe(0);
  });

  it("delivers what the relay sends, and survives what nobody can read", () => {
    start();
    for (const text of ["hello", "", "null", "[1]", '{"type":"poll"}', '{"type":"hint"}']) {
      world.socket.receiveText(text);
    }
    world.socket.receiveText(new ArrayBuffer(1));
    world.socket.receive(hint("7-1"));
    expect(texts()).toEqual(["7-1"]);
    expect(client.state.status).toBe("connected");
  });
});

describe("heartbeat", () => {
  it("resumes at once when the head is ahead", () => {
    start({ position: "7-3" });
    world.socket.receive({ type: "heartbeat", position: "7-5" });
    expect(client.state.status).toBe("reconnecting");
    world.advance(1_000);
    expect(world.socket.query("since")).toBe("7-3");
  });

  it("pings after the heartbeat is two seconds late, and drops the socket three seconds later", () => {
    start();
    world.advance(11_999);
    expect(world.socket.sent).toEqual([]);
    world.advance(1);
    expect(world.socket.sent).toEqual([{ type: "ping" }]);
    world.advance(2_999);
    expect(client.state.status).toBe("connected");
    world.advance(1);
    expect(client.state.status).toBe("reconnecting");
    expect(world.liveSockets).toBe(0);
  });

  it("is content with any frame in time", () => {
    start();
    for (let n = 1; n <= 20; n += 1) {
      world.advance(9_000);
      world.socket.receive(hint(`7-${n}`));
    }
    expect(world.socket.sent).toEqual([]);
    world.advance(12_000);
    expect(world.socket.sent).toHaveLength(1);
    world.socket.receive({ type: "heartbeat", position: "7-20" });
    world.advance(3_000);
    expect(client.state.status).toBe("connected");
  });

  it("takes its interval from the relay", () => {
    start({ heartbeat_s: 1 });
    world.advance(3_000);
    expect(world.socket.sent).toHaveLength(1);
  });
});

describe("closing", () => {
  it.each(GOLDEN_CODES)("$code $name decides whether to come back", ({ code, reconnect }) => {
    start();
    world.socket.breakOff(code);
    world.advance(1_000);
    expect(world.sockets).toHaveLength(reconnect ? 2 : 1);
    expect(client.state.problem === null).toBe(reconnect);
  });

  it("says that access was refused after 1008", () => {
    start();
    world.socket.breakOff(1008, "Unauthorized");
    expect(client.state).toMatchObject({
      status: "refused",
      problem: { kind: "unauthorized", detail: "Unauthorized" },
    });
    for (const event of ["online", "visible", "pageshow", "offline"] as const) world.emit(event);
    expect(world.sockets).toHaveLength(1);
  });

  it("passes on the relay's own words about a refusal", () => {
    start();
    world.socket.receive({ type: "error", code: "limit", text: "Too many facilitators." });
    world.socket.breakOff(4102, "Limit reached");
    expect(client.state.problem).toEqual({
      kind: "limit_reached",
      detail: "Too many facilitators.",
    });
  });

  it("can be asked to try again after it has stopped", () => {
    start();
    world.socket.breakOff(4103);
    client.retryNow();
    expect(client.state).toMatchObject({ status: "reconnecting", problem: null });
    expect(world.sockets).toHaveLength(2);
  });

  it("never comes back after an intentional close, and leaves nothing behind", () => {
    start();
    const socket = world.socket;
    client.close();
    expect(socket.closedWith).toBe(1000);
    socket.breakOff(1006);
    world.advance(120_000);
    expect(world.sockets).toHaveLength(1);
    expect([world.timers, world.listeners]).toEqual([0, 0]);
  });

  it("opens nothing when it is closed in the task that opened it", () => {
    client.open();
    client.close();
    world.advance(60_000);
    expect(world.sockets).toHaveLength(0);
    expect([world.timers, world.listeners]).toEqual([0, 0]);
  });

  it("ignores a socket that it has let go", () => {
    start();
    const old = world.socket;
    const onMessage = old.onmessage;
    world.advance(15_000);
    expect(old.onmessage).toBeNull();
    onMessage?.(new MessageEvent("message", { data: JSON.stringify(hint("7-1")) }));
    expect(texts()).toEqual([]);
  });
});

describe("backing off", () => {
  it("waits within 1, 2, 4 … 30 seconds, and starts over after a success", () => {
    world.luck = 1;
    start();
    const waits: number[] = [];
    for (let n = 0; n < 7; n += 1) {
      world.socket.breakOff();
      const waitMs = (client.state.retryAtMs ?? 0) - world.nowMs();
      waits.push(waitMs);
      world.advance(waitMs);
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    expect(client.state.attempt).toBe(7);
    world.socket.greet();
    world.socket.breakOff();
    expect((client.state.retryAtMs ?? 0) - world.nowMs()).toBe(1_000);
  });

  it("comes back from a drain after the delay that it was given", () => {
    start();
    world.socket.receive({ type: "drain", reconnect_after_ms: 1_250 });
    world.socket.receive(hint("7-1"));
    expect(texts()).toEqual(["7-1"]);
    world.advance(250);
    world.socket.breakOff(4001);
    world.advance(999);
    expect(world.sockets).toHaveLength(1);
    world.advance(1);
    expect(world.sockets).toHaveLength(2);
    world.socket.breakOff();
    expect((client.state.retryAtMs ?? 0) - world.nowMs()).toBeGreaterThan(0);
  });

  it("leaves a draining relay by itself when the delay is over", () => {
    start();
    world.socket.receive({ type: "drain", reconnect_after_ms: 500 });
    world.advance(500);
    expect(world.sockets).toHaveLength(2);
    expect(world.liveSockets).toBe(1);
  });

  it("tries now when asked to", () => {
    start();
    world.socket.breakOff();
    client.retryNow();
    client.retryNow();
    expect(world.sockets).toHaveLength(2);
    expect(client.state.retryAtMs).toBeNull();
  });
});

describe("the page around it", () => {
  it.each(["online", "visible", "pageshow"] as const)("%s ends the wait", (event) => {
    start();
    world.socket.breakOff();
    world.emit(event);
    world.emit(event);
    expect(world.sockets).toHaveLength(2);
  });

  it.each(["online", "visible", "pageshow"] as const)("%s has the connection proved", (event) => {
    start();
    world.emit(event);
    world.emit(event);
    expect(world.socket.sent).toEqual([{ type: "ping" }]);
    world.advance(3_000);
    expect(client.state.status).toBe("reconnecting");
  });

  it("says that it is offline, and burns no tries", () => {
    start();
    world.emit("offline");
    expect(client.state.status).toBe("offline");
    world.advance(3_000);
    expect(client.state).toMatchObject({ status: "offline", attempt: 0, socket: null });
    world.advance(OFFLINE_RETRY_MS - 1);
    expect(world.sockets).toHaveLength(1);
    world.emit("online");
    expect(world.sockets).toHaveLength(2);
  });

  it("is connected after all when a frame still arrives", () => {
    start();
    world.emit("offline");
    world.socket.receive({ type: "heartbeat", position: null });
    expect(client.state.status).toBe("connected");
  });

  it("tries now and then while offline, since browsers can be wrong about that", () => {
    start();
    world.emit("offline");
    world.socket.breakOff();
    world.advance(OFFLINE_RETRY_MS);
    expect(world.sockets).toHaveLength(2);
  });
});

describe("addresses that can't be used", () => {
  it("names mixed content, and stops", () => {
    world.refusal = new DOMException("insecure", "SecurityError");
    client.open();
    world.advance(120_000);
    expect(client.state).toMatchObject({ status: "closed", problem: { kind: "mixed_content" } });
    expect(world.timers).toBe(0);
  });

  it("names a bad address, and stops", () => {
    world.refusal = new DOMException("no such scheme", "SyntaxError");
    client.open();
    world.advance(120_000);
    expect(client.state.problem?.kind).toBe("bad_address");
  });
});

it("leaves no listeners, timers or sockets behind over 10,000 reconnects", () => {
  start();
  const listeners = world.listeners;
  for (let n = 1; n <= 10_000; n += 1) {
    world.socket.receive(hint(`7-${n}`));
    world.socket.breakOff();
    world.advance(1_000);
    world.socket.greet({ position: `7-${n}`, recovered: true });
  }
  expect(world.listeners).toBe(listeners);
  expect(world.timers).toBe(1);
  expect(world.liveSockets).toBe(1);
  expect(texts()).toHaveLength(10_000);
  client.close();
  expect([world.timers, world.listeners, world.liveSockets]).toEqual([0, 0, 0]);
});
