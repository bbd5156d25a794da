import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isStopping } from "@/lib/relay/hint";
import {
  EMPTY_SESSION,
  MAX_HINTS,
  MAX_LINES,
  reduceSession,
  type SessionEvent,
  type SessionState,
} from "@/lib/relay/state";
import { GOLDEN_MESSAGES } from "../../fakes/golden";
import { delivered } from "../../fakes/session";

const sessionOf = (...events: SessionEvent[]): SessionState => reduceSession(EMPTY_SESSION, events);
const hints = (state: SessionState) => [...state.hints.values()];
const lines = (state: SessionState) => [...state.lines.values()];
const h = (id: string, fields: object = {}) => ({ type: "hint", id, text: id, ...fields });
const t = (id: string, fields: object = {}) => ({ type: "transcript", id, text: id, ...fields });

describe("hints", () => {
  it("stand in the order of arrival, with what they say of themselves", () => {
    const state = sessionOf(
      delivered(h("a", { timestamp: 5, priority: "high", category: "pacing", expires_at: 9 })),
      delivered(h("b")),
    );
    expect(hints(state)).toMatchObject([
      { id: "a", at: 5, priority: "high", category: "pacing", expiresAt: 9, status: "complete" },
      { id: "b", at: 1_763_900_100, priority: "normal" },
    ]);
  });

  it("published by hand get an id and a time", () => {
    const [first] = hints(
      sessionOf(delivered({ type: "hint", text: "hi" }, { fallbackId: "local:7" })),
    );
    expect(first).toMatchObject({ id: "local:7", at: 1_763_900_100 });
  });

  it("grow by what is appended, until the last part ends them", () => {
    const state = sessionOf(
      delivered(h("a", { text: "", status: "streaming", position: "7-1" })),
      delivered({ type: "append", id: "a", text: "Let her ", position: "7-2" }),
      delivered({ type: "append", id: "a", text: "Let her ", position: "7-2" }),
      delivered({ type: "append", id: "a", text: "finish.", status: "complete", position: "7-3" }),
    );
    expect(hints(state)).toMatchObject([{ text: "Let her finish.", status: "complete" }]);
  });

  it("take nothing from parts of a hint that nobody has", () => {
    expect(sessionOf(delivered({ type: "append", id: "x", text: "y" })).hints.size).toBe(0);
  });

  it("are replaced in their place by a whole one with the same id", () => {
    const state = sessionOf(
      delivered(h("a", { text: "Let", status: "streaming", position: "7-1" })),
      delivered(h("b", { position: "7-2" })),
      delivered(h("a", { text: "Let her finish.", position: "7-9" })),
    );
    expect(hints(state).map((hint) => hint.text)).toEqual(["Let her finish.", "b"]);
  });

  it("keep what was appended when an old message is repeated", () => {
    const state = sessionOf(
      delivered(h("a", { text: "", status: "streaming", position: "7-1" })),
      delivered({ type: "append", id: "a", text: "x", position: "7-2" }),
      delivered(h("a", { text: "", status: "streaming", position: "7-1" })),
    );
    expect(hints(state)).toMatchObject([{ text: "x" }]);
  });

  it("follow a snapshot, which knows better", () => {
    const state = sessionOf(
      delivered(h("a", { text: "x", status: "streaming", position: "7-1" })),
      delivered({ type: "append", id: "a", text: "y", position: "7-2" }),
      delivered(h("a", { text: "xyz", position: "7-1" }), { snapshot: true }),
    );
    expect(hints(state)).toMatchObject([{ text: "xyz", status: "complete" }]);
  });

  it("carry what facilitators did with them, through a snapshot too", () => {
    const feedback = (action: string) =>
      delivered({ type: "feedback", id: action, hint: "a", action, by: "ana", timestamp: 1 });
    const state = sessionOf(
      delivered(h("a")),
      feedback("pinned"),
      feedback("used"),
      feedback("helpful"),
      feedback("unpinned"),
      feedback("dismissed"),
      delivered(h("a"), { snapshot: true }),
    );
    const mark = (action: string) => ({ action, by: "ana", pending: false });
    expect(hints(state)[0]?.marks).toEqual({
      outcome: mark("dismissed"),
      rating: mark("helpful"),
      pin: null,
      cancel: null,
    });
  });

  it("show that they are being stopped, until they are", () => {
    const cancel = delivered({ type: "command", id: "c", name: "cancel", hint: "a", timestamp: 1 });
    const asked = sessionOf(delivered(h("a", { status: "streaming" })), cancel);
    expect(hints(asked).map(isStopping)).toEqual([true]);
    const ended = reduceSession(asked, [
      delivered({ type: "append", id: "a", text: "", status: "cancelled" }),
    ]);
    expect(hints(ended).map(isStopping)).toEqual([false]);
    expect(hints(ended)).toMatchObject([{ status: "cancelled" }]);
  });

  it("are cleared on demand, but for the pinned and the unfinished, and stay away", () => {
    const state = sessionOf(
      delivered(h("a", { position: "7-1" })),
      delivered(h("b", { position: "7-2", status: "streaming" })),
      delivered(h("c", { position: "7-3" })),
      delivered({ type: "feedback", id: "f", hint: "c", action: "pinned", timestamp: 1 }),
      { type: "clear_hints" },
      delivered(h("a", { position: "7-1" }), { snapshot: true }),
      delivered(h("d", { position: "7-4" }), { snapshot: true }),
    );
    expect(hints(state).map((hint) => hint.id)).toEqual(["b", "c", "d"]);
  });

  it(`are kept to the newest ${MAX_HINTS}, and a snapshot doesn't bring back the others`, () => {
    const all = Array.from({ length: MAX_HINTS + 50 }, (_, n) =>
      h(`${n}`, { position: `7-${n + 1}` }),
    );
    const once = sessionOf(...all.map((message) => delivered(message)));
    const twice = reduceSession(
      once,
      all.map((message) => delivered(message, { snapshot: true })),
    );
    for (const state of [once, twice]) {
      expect(state.hints.size).toBe(MAX_HINTS);
      expect(hints(state).at(0)?.id).toBe("50");
      expect(hints(state).at(-1)?.id).toBe(`${MAX_HINTS + 49}`);
    }
  });
});

describe("transcript", () => {
  it("puts the final words in the place of the interim ones", () => {
    const state = sessionOf(
      delivered(t("a", { text: "I nev", final: false, speaker: "Actor" })),
      delivered(t("b", { speaker: "Coach" })),
      delivered(t("a", { text: "I never", speaker: "Actor" })),
      delivered(t("a", { text: "I nev", final: false, speaker: "Actor" })),
    );
    expect(lines(state)).toMatchObject([
      { text: "I never", final: true, speaker: "Actor" },
      { text: "b", speaker: "Coach" },
    ]);
  });

  it("numbers the speakers as they are first heard", () => {
    const state = sessionOf(
      delivered(t("a", { speaker: "Actor" })),
      delivered(t("b", { speaker: "Coach" })),
      delivered(t("c", { speaker: "Actor" })),
      delivered(t("d")),
    );
    expect([...state.speakers]).toEqual([
      ["Actor", 0],
      ["Coach", 1],
    ]);
  });

  it(`never keeps more than ${MAX_LINES} lines`, () => {
    let state = EMPTY_SESSION;
    for (let n = 0; n < 12_000; n += 100) {
      const batch = Array.from({ length: 100 }, (_, i) => delivered(t(`${n + i}`)));
      state = reduceSession(state, batch);
      expect(state.lines.size).toBeLessThanOrEqual(MAX_LINES);
    }
    expect(lines(state).at(-1)?.id).toBe("11999");
    expect(state.lines.size).toBeGreaterThan(MAX_LINES - 500);
  });
});

describe("notices", () => {
  it("show an error until it is dismissed, and not again when it is repeated", () => {
    const error = { type: "error", text: "The model does not answer.", position: "7-1" };
    const shown = sessionOf(delivered(error), delivered(error));
    expect(shown.notices).toMatchObject([{ kind: "error", count: 1, key: "at:7-1" }]);
    const gone = reduceSession(shown, [
      { type: "dismiss_notice", key: "at:7-1" },
      delivered(error, { snapshot: true }),
    ]);
    expect(gone.notices).toEqual([]);
  });

  it("count the same error said again", () => {
    const error = { type: "error", text: "x" };
    const state = sessionOf(
      delivered(error, { fallbackId: "local:1" }),
      delivered(error, { fallbackId: "local:2" }),
    );
    expect(state.notices).toMatchObject([{ count: 2 }]);
  });

  it("leave out a past error that the agent has got over", () => {
    const past = delivered({ type: "error", text: "x", position: "7-1" }, { snapshot: true });
    expect(sessionOf(past).notices).toHaveLength(1);
    expect(sessionOf(past, delivered(h("a"), { snapshot: true })).notices).toEqual([]);
  });

  it("say once that history is gone", () => {
    const lost = delivered({
      type: "connection",
      status: "connected",
      position: "8-1",
      recovered: false,
      heartbeat_s: 10,
    });
    expect(sessionOf(lost, lost).notices).toMatchObject([{ kind: "unrecovered", count: 1 }]);
  });

  it("are few at a time", () => {
    const many = Array.from({ length: 50 }, (_, n) =>
      delivered({ type: "error", text: `${n}` }, { fallbackId: `local:${n}` }),
    );
    expect(sessionOf(...many).notices).toHaveLength(4);
  });
});

describe("the rest", () => {
  it("keeps who is watching, who the reader is, and what was asked of the agent", () => {
    const steer = delivered({
      type: "command",
      id: "c",
      name: "steer",
      text: "shorter",
      by: "ana",
    });
    const state = sessionOf(
      delivered({ type: "presence", facilitators: 2, who: ["ana", "ben"] }),
      steer,
      steer,
      delivered({ type: "connection", status: "connected", you: "ana" }),
    );
    expect(state.you).toBe("ana");
    expect(state.presence).toEqual({ facilitators: 2, who: ["ana", "ben"] });
    expect(state.commands).toMatchObject([{ id: "c", name: "steer", text: "shorter", by: "ana" }]);
  });

  it("stays bounded whatever number of commands, marks and stray pieces arrive", () => {
    let state = EMPTY_SESSION;
    for (let n = 0; n < 500; n += 1) {
      state = reduceSession(state, [
        delivered({ type: "append", id: `${n}`, at: 4, text: "x" }),
        delivered({ type: "feedback", id: `f${n}`, hint: `${n}`, action: "used" }),
        delivered({ type: "command", id: `${n}`, name: "steer" }),
      ]);
    }
    expect([state.gaps.size, state.earlyMarks.size, state.commands.length]).toEqual([100, 200, 50]);
  });

  it.each(GOLDEN_MESSAGES.valid)("takes in $name without changing what was", ({ message }) => {
    const before = sessionOf(delivered(h("a")), delivered(t("b")));
    const copy = structuredClone(before);
    reduceSession(before, [delivered(message)]);
    expect(before).toEqual(copy);
  });
});

describe("what came while the reader was away", () => {
  const missed = (message: object) => delivered(message, { missed: true });
  const place = (standing: "behind" | "level"): SessionEvent => ({
    type: "place",
    place: { position: null, standing },
  });

  it("is marked, and stays so when live messages follow", () => {
    const { away } = sessionOf(
      delivered(h("a")),
      missed(h("b")),
      missed(t("1")),
      place("level"),
      delivered(h("c")),
    );
    expect(away).toEqual({ hints: new Set(["b"]), lines: new Set(["1"]), over: true });
  });

  it("doesn't count what was shown before, or what only changes it", () => {
    const { away } = sessionOf(
      delivered(h("a", { status: "streaming" })),
      missed({ type: "append", id: "a", text: "!", status: "complete" }),
      missed(h("a")),
      missed(h("b", { status: "streaming" })),
      missed({ type: "append", id: "b", text: "!" }),
    );
    expect([...away.hints]).toEqual(["b"]);
  });

  it("goes on through a catch-up in pieces, and makes room for the next absence", () => {
    const events = [missed(h("a")), place("behind"), missed(h("b"))];
    expect([...sessionOf(...events).away.hints]).toEqual(["a", "b"]);
    const once = sessionOf(...events, place("level"));
    // An absence that brought nothing leaves the marks of the one before.
    const still = reduceSession(once, [place("behind"), place("level")]);
    expect([...still.away.hints]).toEqual(["a", "b"]);
    expect([...reduceSession(still, [missed(h("c"))]).away.hints]).toEqual(["c"]);
  });

  it("is unmarked when the reader says so", () => {
    const { away, hints } = sessionOf(missed(h("a")), { type: "dismiss_away" });
    expect([away.hints.size, hints.size]).toEqual([0, 1]);
  });
});

it("shows what a log that was rolled back numbers like what it lost", () => {
  const cleared = sessionOf(delivered(h("lost", { position: "7-9" })), { type: "clear_hints" });
  const state = reduceSession(cleared, [
    delivered({ type: "connection", status: "connected", recovered: false, position: "7-8" }),
    delivered(h("old", { position: "7-8" }), { snapshot: true }),
    delivered(h("new", { position: "7-9" })),
  ]);
  expect([...state.hints.keys()]).toEqual(["new"]);
});

describe("whatever is repeated", () => {
  const message = fc.record({
    id: fc.option(fc.constantFrom("a", "b", "c", "d"), { nil: undefined }),
    offset: fc.integer({ min: 1, max: 12 }),
    kind: fc.constantFrom("hint", "append", "transcript"),
    snapshot: fc.boolean(),
  });

  it("is never shown twice", () => {
    fc.assert(
      fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
        const state = sessionOf(
          ...messages.map(({ id, offset, kind, snapshot }) =>
            delivered(
              {
                type: kind,
                id: kind === "append" ? (id ?? "a") : id,
                text: "x",
                position: `7-${offset}`,
              },
              { snapshot },
            ),
          ),
        );
        for (const shown of [hints(state), lines(state)]) {
          const ids = shown.map((entry) => entry.id);
          expect(new Set(ids).size).toBe(ids.length);
        }
      }),
    );
  });

  it("leaves a session as it was when the whole of it is delivered again", () => {
    const script = fc.array(fc.constantFrom("hint", "stream", "append", "transcript", "feedback"), {
      maxLength: 40,
    });
    fc.assert(
      fc.property(script, (kinds) => {
        const events = kinds.map((kind, n) => {
          const position = `7-${n + 1}`;
          if (kind === "append")
            return delivered({ type: "append", id: "s", text: `${n}`, position });
          if (kind === "stream") {
            return delivered({ ...h(n === 0 ? "s" : `s${n}`), status: "streaming", position });
          }
          if (kind === "feedback") {
            const fields = { hint: "s", action: "used", timestamp: 1 };
            return delivered({ type: "feedback", id: `f${n}`, position, ...fields });
          }
          return delivered({ type: kind, id: `${n}`, text: `${n}`, position });
        });
        const once = sessionOf(...events);
        expect(reduceSession(once, events)).toEqual(once);
      }),
    );
  });
});
