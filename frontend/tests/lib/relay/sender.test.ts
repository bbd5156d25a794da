import { beforeEach, describe, expect, it } from "vitest";
import type { Letter, Outgoing } from "@/lib/relay/outbox";
import { Sender } from "@/lib/relay/sender";
import { FakeStorage } from "../../fakes/storage";
import { FakeWorld } from "../../fakes/world";

let world: FakeWorld;
let storage: FakeStorage;
let online: boolean;
let wire: Outgoing[];
let refused: Letter[];

beforeEach(() => {
  world = new FakeWorld();
  storage = new FakeStorage();
  online = true;
  wire = [];
  refused = [];
});

const newSender = (session = "demo") =>
  new Sender(storage, session, world, {
    send: (message) => {
      if (online) wire.push(message);
      return online;
    },
    onChange: () => {},
    onRefused: (letter) => refused.push(letter),
  });
const used = { type: "feedback", hint: "h1", action: "used" } as const;
const steer = { type: "command", name: "steer", text: "Shorter." } as const;

describe("sender", () => {
  it("sends at once where it can, and when there is a connection where it can't", () => {
    const sender = newSender();
    sender.post(used);
    expect(wire).toMatchObject([used]);
    online = false;
    sender.post(steer);
    expect(wire).toHaveLength(1);
    online = true;
    sender.connected();
    expect(wire.map(({ type }) => type)).toEqual(["feedback", "feedback", "command"]);
    expect(new Set(wire.map(({ id }) => id)).size).toBe(2);
  });

  it("sends under the same id from the page after a reload", () => {
    online = false;
    newSender().post(used);
    online = true;
    const next = newSender();
    expect(wire).toEqual([]);
    next.connected();
    const id = wire[0]?.id ?? "";
    expect(wire).toMatchObject([{ ...used, id }]);
    next.take([{ type: "ack", ref: id, position: "7-1" }], "7-1");
    const last = newSender();
    last.connected();
    expect([wire.length, last.outbox.length, storage.entries.size]).toEqual([1, 0, 0]);
  });

  it("forgets what has waited for longer than any relay keeps a session", () => {
    online = false;
    newSender().post(used);
    world.advance(24 * 3_600_000 + 1);
    expect(newSender().outbox).toEqual([]);
  });

  it("tries again by itself after the delay, and leaves no timer behind", () => {
    const sender = newSender();
    sender.post(used);
    const ref = wire[0]?.id ?? "";
    const text = "Too many.";
    sender.take([{ type: "error", ref, code: "rate_limited", text, retry_after_ms: 700 }], null);
    world.advance(699);
    expect(wire).toHaveLength(1);
    world.advance(1);
    expect(wire.map(({ id }) => id)).toEqual([ref, ref]);
    sender.take([{ type: "error", ref, code: "unavailable", text }], null);
    sender.close();
    expect(world.timers).toBe(0);
  });

  it("leaves a relay alone that is unavailable for as long as it asks", () => {
    const sender = newSender();
    sender.post(used);
    const error = { type: "error", code: "unavailable", text: "x", retry_after_ms: 9_000 } as const;
    sender.take([{ ...error, ref: wire[0]?.id }], null);
    world.advance(9_000);
    expect(wire).toHaveLength(1);
    world.advance(1_000);
    expect(wire).toHaveLength(2);
  });

  it("says once what was refused, and goes on with what waited behind it", () => {
    const sender = newSender();
    sender.post(used);
    sender.post({ ...used, action: "restored" });
    expect(wire).toHaveLength(1);
    const error = { type: "error", ref: wire[0]?.id, code: "unknown_hint", text: "No." } as const;
    sender.take([error], null);
    sender.take([error], null);
    expect(refused).toMatchObject([{ message: used, reason: "No." }]);
    expect(wire.at(-1)).toMatchObject({ action: "restored" });
  });

  it("does not send again for ever what the relay hangs up on", () => {
    const sender = newSender();
    sender.post(used);
    sender.post({ ...steer, text: "x".repeat(500) });
    sender.tooBig();
    expect(sender.outbox.map(({ phase }) => phase)).toEqual(["sent", "refused"]);
    sender.connected();
    expect(wire.map(({ type }) => type)).toEqual(["feedback", "command", "feedback"]);
    sender.tooBig();
    sender.tooBig();
    expect(refused).toMatchObject([{ message: used }]);
    sender.connected();
    expect(wire).toHaveLength(3);
  });

  it("keeps a refused steer to be sent again as another, or to be forgotten", () => {
    const sender = newSender();
    const refuse = () =>
      sender.take(
        [{ type: "error", ref: wire.at(-1)?.id, code: "too_large", text: "Too long." }],
        null,
      );
    sender.post(steer);
    refuse();
    expect([refused.length, sender.outbox[0]?.phase]).toEqual([0, "refused"]);
    sender.repost(wire[0]?.id ?? "");
    expect(wire).toHaveLength(2);
    expect(wire[1]).toMatchObject(steer);
    expect(wire[1]?.id).not.toBe(wire[0]?.id);
    sender.discard(wire[1]?.id ?? "");
    expect(sender.outbox).toHaveLength(1);
    refuse();
    sender.discard(wire[1]?.id ?? "");
    expect(sender.outbox).toEqual([]);
  });

  it("works for as long as the page where storage is forbidden or full of something else", () => {
    storage.setItem("hint-relay:outbox:demo", "nonsense");
    expect(newSender().outbox).toEqual([]);
    storage.refusal = new DOMException("forbidden", "SecurityError");
    const sender = newSender();
    expect(sender.post(used)).toBe(true);
    expect(wire).toHaveLength(1);
  });
});
