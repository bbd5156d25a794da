import { describe, expect, it } from "vitest";
import { MAX_AGE_MS, MAX_ARCHIVED_LINES, readArchive, writeArchive } from "@/lib/relay/archive";
import { EMPTY_SESSION, MAX_HINTS, reduceSession, type SessionState } from "@/lib/relay/state";
import { delivered } from "../../fakes/session";

const NOW_MS = 1_763_900_100_000;
const LEVEL = { position: "7-9", standing: "level" } as const;

function sessionOf(...messages: object[]): SessionState {
  const events = messages.map((message) => delivered(message, { missed: true }));
  return reduceSession(EMPTY_SESSION, [...events, { type: "place", place: LEVEL }]);
}

function write(state: SessionState): string {
  const text = writeArchive("demo", state, NOW_MS);
  if (text === null) throw new Error("nothing was written");
  return text;
}

const read = (text: string, nowMs = NOW_MS) => readArchive("demo", text, nowMs);
const h = (n: number, fields: object = {}) => ({
  type: "hint",
  id: `h${n}`,
  text: `${n}`,
  position: `7-${n}`,
  ...fields,
});
const t = (n: number, fields: object = {}) => ({
  ...h(n, fields),
  type: "transcript",
  id: `t${n}`,
});

describe("archive", () => {
  it("brings back all that a page shows", () => {
    const state = sessionOf(
      h(1, { timestamp: 5, priority: "high", category: "pacing", source: "coach", expires_at: 9 }),
      h(2, { status: "streaming", reply_to: "q" }),
      { type: "feedback", hint: "h1", action: "pinned", position: "7-3" },
      { type: "feedback", hint: "h1", action: "helpful", position: "7-4" },
      { type: "feedback", hint: "to come", action: "used", by: "ann", position: "7-4" },
      t(5, { speaker: "Actor" }),
      t(6, { speaker: "Coach", final: false }),
      { type: "command", id: "c", name: "cancel", hint: "h2", by: "ann", position: "7-7" },
      { type: "error", text: "The model does not answer.", position: "7-8" },
      {
        type: "connection",
        status: "connected",
        recovered: false,
        position: "7-9",
        you: "guest-1",
      },
    );
    const dismissed = reduceSession(state, [
      { type: "dismiss_notice", key: "at:7-8" },
      { type: "clear_hints" },
    ]);
    const behind = reduceSession(state, [
      { type: "place", place: { position: null, standing: "behind" } },
      delivered(h(11), { missed: true }),
    ]);
    for (const each of [state, dismissed, behind]) expect(read(write(each))).toEqual(each);
  });

  it("writes nothing before the page has had what was there when it came", () => {
    const state = reduceSession(EMPTY_SESSION, [delivered(h(1))]);
    expect(writeArchive("demo", state, NOW_MS)).toBeNull();
  });

  it("keeps the newest lines, and forgets the others for good", () => {
    const count = MAX_ARCHIVED_LINES + 10;
    const lines = Array.from({ length: count }, (_, n) => t(n + 1));
    const state = read(write(sessionOf(...lines)));
    expect(state?.lines.size).toBe(MAX_ARCHIVED_LINES);
    expect(state?.forgottenLines).toEqual({ epoch: 7, offset: 10 });
    expect(state && reduceSession(state, [delivered(t(10))]).lines.has("t10")).toBe(false);
  });

  it("stays within some 1 MB, and keeps room for hints in a talkative session", () => {
    const long = "x".repeat(5_000);
    const messages = Array.from({ length: MAX_HINTS }, (_, n) => [
      t(2 * n + 1, { text: long }),
      h(2 * n + 2, { text: long }),
    ]).flat();
    const text = write(sessionOf(...messages));
    expect(text.length).toBeLessThan(550_000);
    const state = read(text);
    expect(state?.hints.size).toBeGreaterThan(50);
    expect(state?.lines.size).toBeGreaterThan(30);
    expect([...(state?.hints.keys() ?? [])].at(-1)).toBe(`h${2 * MAX_HINTS}`);
    expect(state?.forgottenHints?.offset).toBe(2 * (MAX_HINTS - (state?.hints.size ?? 0)));
  });

  it("is not read when it is another session's, another version's, broken, or a day old", () => {
    const text = write(sessionOf(h(1)));
    expect(readArchive("other", text, NOW_MS)).toBeNull();
    expect(read(text.replace('"version":2', '"version":0'))).toBeNull();
    expect(read(text.replace('"text":"1"', '"text":1'))).toBeNull();
    expect(read(text.slice(0, -1))).toBeNull();
    for (const other of ["", "null", "[]", "7", "{}"]) expect(read(other)).toBeNull();
    expect(read(text, NOW_MS + MAX_AGE_MS)).not.toBeNull();
    expect(read(text, NOW_MS + MAX_AGE_MS + 1)).toBeNull();
  });
});
