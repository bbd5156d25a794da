import { describe, expect, it } from "vitest";
import type { Message } from "@/lib/relay/messages";
import {
  arrived,
  due,
  EMPTY_OUTBOX,
  heard,
  MAX_LETTERS,
  type Outbox,
  type Outgoing,
  post,
  reconnected,
  sent,
} from "@/lib/relay/outbox";
import { withPending } from "@/lib/relay/overlay";
import { steersOf } from "@/lib/relay/steer";
import { hint } from "../../fakes/session";

const NOW = 1_000_000;
const mark = (
  id: string,
  action: "used" | "restored" | "helpful" = "used",
  of = "h1",
): Outgoing => ({
  type: "feedback",
  id,
  hint: of,
  action,
});
const steer = (id: string): Outgoing => ({ type: "command", id, name: "steer", text: id });
const error = (ref: string, code: string, fields: object = {}): Message => ({
  type: "error",
  ref,
  code,
  text: "Because.",
  ...fields,
});
const hear = (outbox: Outbox, message: Message, nowMs = NOW) =>
  heard(outbox, message, nowMs, () => 0.5);

function outboxOf(...messages: Outgoing[]): Outbox {
  return messages.reduce((outbox, message) => post(outbox, message, NOW) ?? outbox, EMPTY_OUTBOX);
}
const sendAll = (outbox: Outbox, nowMs = NOW) =>
  due(outbox, nowMs).now.reduce((rest, { id }) => sent(rest, id), outbox);
const idsDue = (outbox: Outbox, nowMs = NOW) => due(outbox, nowMs).now.map(({ id }) => id);
const ids = (outbox: Outbox) => outbox.map(({ message }) => message.id);

describe("outbox", () => {
  it("sends once on a connection, and again under the same id on the next until it is answered", () => {
    const once = sendAll(outboxOf(mark("a"), steer("b")));
    expect(idsDue(once)).toEqual([]);
    const next = reconnected(once, NOW);
    expect(idsDue(next)).toEqual(["a", "b"]);
    const acked = hear(sendAll(next), { type: "ack", ref: "a", position: "7-3" });
    expect(idsDue(reconnected(acked, NOW))).toEqual(["b"]);
  });

  it("sends what is about the same thing one after the other", () => {
    const first = sendAll(outboxOf(mark("a")));
    const both = post(first, mark("b", "restored"), NOW) ?? first;
    const other = post(both, mark("c", "helpful"), NOW) ?? both;
    expect(idsDue(other)).toEqual(["c"]);
    expect(idsDue(hear(other, { type: "ack", ref: "a", position: "7-3" }))).toEqual(["b", "c"]);
  });

  it("replaces what was never sent, and keeps what may have arrived", () => {
    expect(ids(outboxOf(mark("a"), mark("b", "restored")))).toEqual(["b"]);
    const tried = reconnected(sendAll(outboxOf(mark("a"))), NOW);
    expect(ids(post(tried, mark("b", "restored"), NOW) ?? [])).toEqual(["a", "b"]);
    expect(ids(outboxOf(steer("a"), steer("b")))).toEqual(["a", "b"]);
  });

  it("keeps a letter until it has come back, so that what it did never disappears", () => {
    const acked = hear(sendAll(outboxOf(mark("a"))), { type: "ack", ref: "a", position: "7-3" });
    expect(ids(acked)).toEqual(["a"]);
    const echo = { type: "feedback", id: "a", hint: "h1", action: "used" } as const;
    expect(ids(hear(acked, echo))).toEqual([]);
    expect(ids(arrived(acked, "7-2"))).toEqual(["a"]);
    expect(ids(arrived(acked, "7-3"))).toEqual([]);
    expect(ids(arrived(acked, "8-1"))).toEqual([]);
  });

  it("drops a letter that has come back without an ack", () => {
    const echo = { type: "command", id: "a", name: "steer", text: "a" } as const;
    expect(hear(sendAll(outboxOf(steer("a"))), echo)).toEqual([]);
  });

  it("sends again after the delay that a busy relay asks for", () => {
    const busy = hear(
      sendAll(outboxOf(mark("a"))),
      error("a", "rate_limited", { retry_after_ms: 700 }),
    );
    expect(due(busy, NOW)).toEqual({ now: [], nextMs: NOW + 700 });
    expect(idsDue(busy, NOW + 700)).toEqual(["a"]);
  });

  it("backs off more and more while Redis is away", () => {
    let outbox = outboxOf(mark("a"));
    const waits: number[] = [];
    let nowMs = NOW;
    for (let n = 0; n < 7; n += 1) {
      outbox = hear(sendAll(outbox, nowMs), error("a", "unavailable"), nowMs);
      const { nextMs } = due(outbox, nowMs);
      waits.push((nextMs ?? 0) - nowMs);
      nowMs = nextMs ?? 0;
    }
    expect(waits).toEqual([550, 1_100, 2_200, 4_400, 8_800, 16_500, 16_500]);
  });

  it.each(["unknown_hint", "bad_message", "too_large", "from the future"])(
    "gives up after %s",
    (code) => {
      const refused = hear(sendAll(outboxOf(mark("a"))), error("a", code));
      expect(refused).toMatchObject([{ phase: "refused", reason: "Because." }]);
      expect(idsDue(reconnected(refused, NOW))).toEqual([]);
    },
  );

  it("keeps what was accepted when an error comes late", () => {
    const acked = hear(sendAll(outboxOf(mark("a"))), { type: "ack", ref: "a", position: "7-3" });
    expect(hear(acked, error("a", "unknown_hint"))).toEqual(acked);
  });

  it("minds its own business", () => {
    const outbox = sendAll(outboxOf(mark("a")));
    expect(hear(outbox, error("b", "unknown_hint"))).toBe(outbox);
    expect(hear(outbox, { type: "ack", ref: "b" })).toBe(outbox);
    // An agent may refer to anything.
    expect(hear(outbox, error("a", "agent", { position: "7-1" }))).toBe(outbox);
  });

  it("takes no more than a bounded number of letters", () => {
    const full = outboxOf(...Array.from({ length: MAX_LETTERS }, (_, n) => steer(`${n}`)));
    expect(full).toHaveLength(MAX_LETTERS);
    expect(post(full, mark("a"), NOW)).toBeNull();
  });
});

describe("what is under way", () => {
  const hints = new Map([
    ["h1", hint({ id: "h1" })],
    ["h2", hint({ id: "h2" })],
  ]);

  it("shows on its hint at once, and leaves the others as they are", () => {
    const shown = withPending(hints, outboxOf(mark("a")), "guest-1");
    expect(shown.get("h1")?.marks.outcome).toEqual({
      action: "used",
      by: "guest-1",
      pending: true,
    });
    expect(shown.get("h2")).toBe(hints.get("h2"));
    expect(withPending(hints, outboxOf(steer("a"), mark("b", "used", "gone")), null)).toBe(hints);
  });

  it("is certain once it is accepted, and undone once it is refused", () => {
    const outbox = sendAll(outboxOf(mark("a")));
    const acked = hear(outbox, { type: "ack", ref: "a", position: "7-3" });
    expect(withPending(hints, acked, null).get("h1")?.marks.outcome?.pending).toBe(false);
    expect(withPending(hints, hear(outbox, error("a", "too_large")), null)).toBe(hints);
  });

  it("stands after what the agent was told, once", () => {
    const told = { id: "a", name: "steer", hint: null, text: "a", by: "ana", at: 1 } as const;
    const cancel = { ...told, id: "c", name: "cancel" } as const;
    const outbox = hear(sendAll(outboxOf(steer("a"), steer("b"), steer("d"))), error("a", "x"));
    const steers = steersOf([told, cancel], outbox, "guest-1");
    expect(steers.map(({ id, state, mine }) => [id, state, mine])).toEqual([
      ["a", "sent", false],
      ["b", "pending", true],
      ["d", "pending", true],
    ]);
    expect(steersOf([], outbox, null)[0]).toMatchObject({ state: "failed", reason: "Because." });
  });
});
