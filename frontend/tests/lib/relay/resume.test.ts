import { beforeEach, describe, expect, it } from "vitest";
import { RelayClient } from "@/lib/relay/client";
import type { Delivery } from "@/lib/relay/delivery";
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

describe("resuming", () => {
  it("asks for everything after the newest position", () => {
    start({ position: "7-3" });
    world.socket.receive(hint("7-4"));
    world.socket.breakOff();
    world.advance(1_000);
    expect(world.socket.query("since")).toBe("7-4");
    expect(world.socket.query("session")).toBe("demo");
    world.socket.greet({ position: "7-6", recovered: true });
    expect(connected).toEqual([false, true]);
  });

  it("delivers nothing twice when the relay repeats itself", () => {
    start({ position: "7-3" });
    world.socket.receive(hint("7-4"));
    world.socket.breakOff();
    world.advance(1_000);
    world.socket.greet({ position: "7-6", recovered: true });
    for (const n of [3, 4, 5, 5, 6]) world.socket.receive(hint(`7-${n}`));
    expect(texts()).toEqual(["7-4", "7-5", "7-6"]);
  });

  it("asks anew as before when a snapshot breaks off", () => {
    start({ position: "7-3", snapshot: 3 });
    world.socket.receive(hint("7-1"));
    world.socket.receive(hint("7-2"));
    world.socket.breakOff();
    world.advance(1_000);
    expect(world.socket.query("since")).toBeNull();
    world.socket.greet({ position: "7-4", snapshot: 1 });
    world.socket.receive(hint("7-4"));
    world.socket.breakOff();
    world.advance(1_000);
    expect(world.socket.query("since")).toBe("7-4");
  });

  it("gives a repeated message without an id the same id again", () => {
    start({ position: "7-1", snapshot: 2 });
    world.socket.receive(hint("7-1"));
    world.socket.breakOff();
    world.advance(1_000);
    world.socket.greet({ position: "7-1", snapshot: 1 });
    world.socket.receive(hint("7-1"));
    const ids = deliveries.filter((d) => d.message.type === "hint").map((d) => d.fallbackId);
    expect(ids).toEqual(["at:7-1", "at:7-1"]);
  });

  it("goes on from a new snapshot when the log is lost in the middle of a connection", () => {
    start({ position: "7-3" });
    world.socket.receive({
      type: "connection",
      status: "connected",
      position: "8-2",
      recovered: false,
      snapshot: 1,
      heartbeat_s: 10,
    });
    world.socket.receive(hint("8-1"));
    world.socket.receive(hint("8-3"));
    expect(texts()).toEqual(["8-1", "8-3"]);
    expect(connected).toEqual([false]);
    world.socket.breakOff();
    world.advance(1_000);
    expect(world.socket.query("since")).toBe("8-3");
  });

  it("asks for everything when it is to start over, as one that is behind", () => {
    const places: unknown[] = [];
    client = new RelayClient(
      { url: "ws://relay/ws?session=demo", onPlace: (place) => places.push(place) },
      world,
    );
    start({ position: "7-3" });
    client.startOver();
    expect([world.liveSockets, client.state.status]).toEqual([0, "reconnecting"]);
    expect(places.at(-1)).toEqual({ position: null, standing: "behind" });
    // It is asked for again while it waits: that changes nothing.
    client.startOver();
    world.advance(1_000);
    expect(world.sockets).toHaveLength(2);
    expect(world.socket.query("since")).toBeNull();
    world.socket.greet({ position: "7-4", snapshot: 1 });
    world.socket.receive(hint("7-4"));
    expect(client.place).toEqual({ position: "7-4", standing: "level" });
  });

  it("goes on from the place that another client had got to", () => {
    const events: unknown[] = [];
    client = new RelayClient(
      {
        url: "ws://relay/ws?session=demo",
        from: { position: "7-9", standing: "level" },
        onDelivery: ({ message, missed }) => events.push([message.type, missed]),
        onPlace: ({ position, standing }) => events.push([position, standing]),
      },
      world,
    );
    start({ position: "7-10", recovered: true });
    expect(world.socket.query("since")).toBe("7-9");
    world.socket.receive(hint("7-10"));
    world.socket.receive(hint("7-11"));
    // What a place covers is delivered before it.
    expect(events).toEqual([
      ["connection", false],
      ["7-9", "behind"],
      ["hint", true],
      ["7-10", "level"],
      ["hint", false],
      ["7-11", "level"],
    ]);
    client.close();
    expect(client.place.position).toBe("7-11");
  });

  it("reports the place of what nobody can read", () => {
    start({ position: "7-3" });
    world.socket.receive({ position: "7-4", type: "poll" });
    expect(client.place).toEqual({ position: "7-4", standing: "level" });
  });

  it("gives messages without id and position ids that no other client of the page gives", () => {
    start();
    world.socket.receive({ type: "hint", text: "by hand" });
    client.close();
    world.advance(1);
    client = newClient();
    start();
    world.socket.receive({ type: "hint", text: "by hand" });
    const ids = deliveries.filter((d) => d.message.type === "hint").map((d) => d.fallbackId);
    expect(new Set(ids).size).toBe(2);
  });
});
