import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isShown } from "@/lib/relay/hint";
import {
  EMPTY_SESSION,
  reduceSession,
  type SessionEvent,
  type SessionState,
} from "@/lib/relay/state";
import { delivered, hint } from "../../fakes/session";

const sessionOf = (...events: SessionEvent[]): SessionState => reduceSession(EMPTY_SESSION, events);
const begin = (id: string, n: number, fields: object = {}) => ({
  type: "hint",
  id,
  text: "",
  status: "streaming",
  position: `7-${n}`,
  ...fields,
});
const piece = (id: string, n: number, at: number | undefined, text: string, fields = {}) =>
  delivered({ type: "append", id, position: `7-${n}`, at, text, ...fields });
const textOf = (state: SessionState, id = "a") => state.hints.get(id)?.text;
const order = (state: SessionState) => [...state.hints.keys()];

describe("a growing hint", () => {
  it("takes the place of what it has beyond a piece's beginning", () => {
    const state = sessionOf(delivered(begin("a", 1, { text: "Let him" })), piece("a", 2, 4, "her"));
    expect(textOf(state)).toBe("Let her");
  });

  it("counts length as JavaScript does", () => {
    const state = sessionOf(delivered(begin("a", 1, { text: "👏" })), piece("a", 2, 2, " so"));
    expect([textOf(state), state.gaps.size]).toEqual(["👏 so", 0]);
  });

  it("passes over a piece whose beginning is missing, and says so until the whole comes", () => {
    const gap = sessionOf(delivered(begin("a", 1)), piece("a", 3, 4, "her"), piece("b", 4, 0, "x"));
    expect([textOf(gap), [...gap.gaps]]).toEqual(["", ["a", "b"]]);
    const whole = begin("a", 5, { text: "Let her", began: "7-1" });
    expect([...reduceSession(gap, [delivered(whole)]).gaps]).toEqual(["b"]);
  });

  it("lets go of a piece by hand that belongs to nothing", () => {
    expect(sessionOf(delivered({ type: "append", id: "x", text: "y" })).gaps.size).toBe(0);
  });

  it("ends in the same text whatever mix of pieces, snapshots and resumed stretches brings it", () => {
    const script = fc.record({
      words: fc.array(fc.string({ minLength: 1, maxLength: 6, unit: "binary" }), {
        minLength: 1,
        maxLength: 30,
      }),
      cuts: fc.array(fc.nat(30), { maxLength: 5 }),
      snapshot: fc.boolean(),
    });
    fc.assert(
      fc.property(script, ({ words, cuts, snapshot }) => {
        let state = sessionOf(delivered(begin("a", 1)));
        let text = "";
        words.forEach((word, n) => {
          const position = n + 2;
          const before = text;
          text += word;
          // Away for this piece: the whole comes instead, and then perhaps the piece once more.
          if (cuts.includes(n)) {
            const whole = begin("a", position, { text, began: "7-1" });
            state = reduceSession(state, [delivered(whole, { snapshot, missed: true })]);
          }
          if (!cuts.includes(n) || n % 2 === 0) {
            state = reduceSession(state, [piece("a", position, before.length, word)]);
          }
        });
        expect(textOf(state)).toBe(text);
      }),
    );
  });
});

describe("the order of hints", () => {
  it("is that in which they began, however late their texts come", () => {
    const long = begin("long", 9, { text: "x", began: "7-1" });
    const state = sessionOf(delivered(begin("b", 2)), delivered(begin("c", 5)), delivered(long));
    expect(order(state)).toEqual(["long", "b", "c"]);
  });

  it("is the same for a page that was there all the time, and one that came late", () => {
    const there = sessionOf(
      delivered(begin("a", 1)),
      delivered(begin("b", 2)),
      piece("a", 3, 0, "x"),
    );
    const late = sessionOf(
      delivered(begin("b", 2), { snapshot: true }),
      delivered(begin("a", 3, { text: "x", began: "7-1" }), { snapshot: true }),
    );
    expect(order(late)).toEqual(order(there));
  });

  it("leaves hints without a position where they arrived", () => {
    const state = sessionOf(
      delivered({ type: "hint", id: "hand", text: "x" }),
      delivered(begin("b", 5)),
      delivered(begin("a", 6, { began: "7-2" })),
    );
    expect(order(state)).toEqual(["hand", "a", "b"]);
  });

  it("counts a hint as forgotten by where it began", () => {
    const cleared = sessionOf(delivered(begin("a", 3, { status: "complete", text: "x" })), {
      type: "clear_hints",
    });
    const again = begin("a", 9, { text: "x", status: "complete", began: "7-3" });
    expect(reduceSession(cleared, [delivered(again, { snapshot: true })]).hints.size).toBe(0);
  });
});

describe("what was done with a hint", () => {
  const feedback = (action: string, n: number, by = "ana") =>
    delivered({ type: "feedback", id: `f${n}`, hint: "a", action, by, position: `7-${n}` });

  it("holds until something else of its kind is done, or it is taken back", () => {
    const used = sessionOf(delivered(begin("a", 1)), feedback("dismissed", 2), feedback("used", 3));
    expect(used.hints.get("a")?.marks.outcome).toMatchObject({ action: "used", by: "ana" });
    const back = reduceSession(used, [feedback("restored", 4), feedback("helpful", 5)]);
    expect(back.hints.get("a")?.marks).toMatchObject({
      outcome: null,
      rating: { action: "helpful" },
    });
    const unrated = reduceSession(back, [feedback("unrated", 6)]);
    expect(unrated.hints.get("a")?.marks.rating).toBeNull();
  });

  it("waits for a hint that stands in the log after it, having grown meanwhile", () => {
    const stop = { type: "command", id: "c", name: "cancel", hint: "a", position: "7-4" };
    const early = sessionOf(feedback("pinned", 3), delivered(stop));
    const state = reduceSession(early, [delivered(begin("a", 9, { text: "x", began: "7-1" }))]);
    const marks = state.hints.get("a")?.marks;
    expect([marks?.pin?.action, marks?.cancel?.action]).toEqual(["pinned", "cancel"]);
    expect(state.earlyMarks.size).toBe(0);
  });
});

it("shows an empty hint while it may grow, and where its end has to be told", () => {
  const shown = (["streaming", "complete", "cancelled", "interrupted"] as const).map((status) =>
    isShown(hint({ text: "", status })),
  );
  expect(shown).toEqual([true, false, true, true]);
});
