import * as v from "valibot";
import type { Hint } from "./hint";
import type { Line } from "./line";
import { laterPosition, type Position } from "./position";
import { EMPTY_SESSION, MAX_HINTS, type SessionState } from "./state";

/** Raised with each change of what is written; others are not read. */
const VERSION = 2;
/** As long as a relay keeps a session's log by default: then there is nothing left to go on from. */
export const MAX_AGE_MS = 24 * 3_600 * 1_000;
/** As many lines as a relay keeps messages by default; the hints are bounded by the page itself. */
export const MAX_ARCHIVED_LINES = 1_000;
/** Browsers store UTF-16, so that the whole stays within some 1 MB of the tab's 5. */
const MAX_CHARS = 500_000;
/** The transcript's share, so that a talkative session leaves room for its hints. */
const MAX_LINE_CHARS = 200_000;

const text = v.optional(v.nullable(v.string()), null);
const flag = v.optional(v.boolean(), false);
const number = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const position = v.optional(v.nullable(v.object({ epoch: number, offset: number })), null);
const seconds = v.optional(v.nullable(v.number()), null);

const mark = <const A extends string>(...actions: readonly A[]) =>
  v.optional(v.nullable(v.object({ action: v.picklist(actions), by: text, pending: flag })), null);
const MARKS = v.object({
  outcome: mark("used", "dismissed"),
  rating: mark("helpful", "unhelpful"),
  pin: mark("pinned"),
  cancel: mark("cancel"),
});

const HINT = v.object({
  id: v.string(),
  named: flag,
  text: v.string(),
  at: v.number(),
  status: v.picklist(["streaming", "complete", "cancelled", "interrupted"]),
  priority: v.picklist(["low", "normal", "high"]),
  category: text,
  source: text,
  replyTo: text,
  expiresAt: seconds,
  marks: MARKS,
  first: position,
  newest: position,
});

const LINE = v.object({
  id: v.string(),
  text: v.string(),
  speaker: text,
  at: v.number(),
  final: flag,
  first: position,
  newest: position,
});

const NOTICE = v.object({
  key: v.string(),
  kind: v.picklist(["error", "unrecovered", "undone"]),
  text: v.string(),
  count: v.number(),
  at: v.number(),
  snapshot: flag,
});

const COMMAND = v.object({
  id: v.string(),
  name: v.picklist(["cancel", "steer"]),
  hint: text,
  text,
  by: text,
  at: v.number(),
});

const ARCHIVE = v.object({
  version: v.literal(VERSION),
  session: v.string(),
  savedAtMs: v.number(),
  place: v.object({
    position: text,
    standing: v.picklist(["behind", "level"]),
  }),
  hints: v.array(HINT),
  lines: v.array(LINE),
  speakers: v.array(v.string()),
  notices: v.array(NOTICE),
  commands: v.array(COMMAND),
  you: text,
  earlyMarks: v.array(v.object({ hint: v.string(), marks: MARKS })),
  forgottenHints: position,
  forgottenLines: position,
  dismissed: v.array(v.string()),
  away: v.object({ hints: v.array(v.string()), lines: v.array(v.string()), over: flag }),
});

/**
 * Writes what the page shows of a session, and how far that reaches, as one text.
 *
 * The newest hints and lines are in it, as many as fit. What is left out counts as forgotten, so that
 * it doesn't come back as news. Returns null while there is nothing to go on from: the session as it
 * was before the page came has not arrived in full.
 */
export function writeArchive(session: string, state: SessionState, nowMs: number): string | null {
  const { position, standing } = state.place;
  if (standing === "joining") return null;
  const lines = newestThatFit([...state.lines.values()], MAX_ARCHIVED_LINES, MAX_LINE_CHARS);
  const hints = newestThatFit([...state.hints.values()], MAX_HINTS, MAX_CHARS - lines.chars);
  const archive: v.InferInput<typeof ARCHIVE> = {
    version: VERSION,
    session,
    savedAtMs: nowMs,
    place: { position, standing },
    hints: hints.kept,
    lines: lines.kept,
    speakers: [...state.speakers.keys()],
    notices: [...state.notices],
    commands: [...state.commands],
    you: state.you,
    earlyMarks: [...state.earlyMarks].map(([hint, marks]) => ({ hint, marks })),
    forgottenHints: laterPosition(state.forgottenHints, hints.forgotten),
    forgottenLines: laterPosition(state.forgottenLines, lines.forgotten),
    dismissed: [...state.dismissed],
    away: { hints: [...state.away.hints], lines: [...state.away.lines], over: state.away.over },
  };
  return JSON.stringify(archive, withoutDefaults);
}

/** Reads such a text; null for one of another session, version or day, or that is no such text. */
export function readArchive(session: string, text: string, nowMs: number): SessionState | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const result = v.safeParse(ARCHIVE, value, { abortEarly: true });
  if (!result.success) return null;
  const archive = result.output;
  if (archive.session !== session || nowMs - archive.savedAtMs > MAX_AGE_MS) return null;
  return {
    ...EMPTY_SESSION,
    place: archive.place,
    hints: byId(archive.hints),
    lines: byId(archive.lines),
    speakers: new Map(archive.speakers.map((speaker, index) => [speaker, index])),
    notices: archive.notices,
    commands: archive.commands,
    you: archive.you,
    earlyMarks: new Map(archive.earlyMarks.map(({ hint, marks }) => [hint, marks])),
    forgottenHints: archive.forgottenHints,
    forgottenLines: archive.forgottenLines,
    dismissed: new Set(archive.dismissed),
    away: {
      hints: new Set(archive.away.hints),
      lines: new Set(archive.away.lines),
      over: archive.away.over,
    },
  };
}

function newestThatFit<T extends Hint | Line>(entries: readonly T[], max: number, chars: number) {
  let from = entries.length;
  let used = 0;
  const end = Math.max(0, entries.length - max);
  while (from > end) {
    const length = JSON.stringify(entries[from - 1], withoutDefaults).length + 1;
    if (used + length > chars) break;
    used += length;
    from -= 1;
  }
  const forgotten = entries
    .slice(0, from)
    .reduce<Position | null>((newest, entry) => laterPosition(newest, entry.first), null);
  return { kept: entries.slice(from), chars: used, forgotten };
}

/** Most fields of most entries say nothing: reading puts them back. */
function withoutDefaults(_key: string, value: unknown): unknown {
  return value === null || value === false ? undefined : value;
}

function byId<T extends { readonly id: string }>(entries: readonly T[]): ReadonlyMap<string, T> {
  return new Map(entries.map((entry) => [entry.id, entry]));
}
