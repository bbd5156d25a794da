import { type Away, closeAway, NOTHING_MISSED, reopenAway } from "./away";
import type { Delivery } from "./delivery";
import { appendToHint, type Hint, putHint } from "./hint";
import { type Line, putLine } from "./line";
import { type Marks, markOf, NO_MARKS, withAction } from "./marks";
import type { MessageOf } from "./messages";
import { addNotice, errorNotice, type Notice, unrecoveredNotice } from "./notice";
import { NOWHERE, type Place } from "./place";
import { isCovered, laterPosition, type Position, parsePosition } from "./position";

export const MAX_HINTS = 500;
export const MAX_LINES = 5_000;
/** Lines go by the batch: the transcript moves once in a while, not with each new line. */
const LINES_SLACK = 250;
const MAX_COMMANDS = 50;
const MAX_EARLY_MARKS = 200;
const MAX_GAPS = 100;
const MAX_DISMISSED = 100;
const MAX_SPEAKERS = 200;

/** Who is watching. */
export interface Presence {
  readonly facilitators: number;
  readonly who: readonly string[];
}

/** What a facilitator asked of the agent. */
export interface Command {
  readonly id: string;
  readonly name: "cancel" | "steer";
  readonly hint: string | null;
  readonly text: string | null;
  readonly by: string | null;
  readonly at: number;
}

/** Everything that the page shows of a session. Never changed in place. */
export interface SessionState {
  /** By id, the oldest first. */
  readonly hints: ReadonlyMap<string, Hint>;
  /** By id, the oldest first. */
  readonly lines: ReadonlyMap<string, Line>;
  /** The order in which the speakers were first heard. */
  readonly speakers: ReadonlyMap<string, number>;
  readonly notices: readonly Notice[];
  readonly presence: Presence | null;
  readonly commands: readonly Command[];
  /** Who the relay takes this page for. */
  readonly you: string | null;
  /**
   * What was done with hints that have not come yet. A hint that grew for long stands in the log
   * where it ended, after what was done with it meanwhile.
   */
  readonly earlyMarks: ReadonlyMap<string, Marks>;
  /** Hints of which a piece came whose beginning the page lacks: only all of the log can help. */
  readonly gaps: ReadonlySet<string>;
  /** The newest positions that made room: a snapshot must not bring those back as news. */
  readonly forgottenHints: Position | null;
  readonly forgottenLines: Position | null;
  readonly dismissed: ReadonlySet<string>;
  readonly away: Away;
  /** How far all of this reaches: never further than what is in it. */
  readonly place: Place;
}

export type SessionEvent =
  | { readonly type: "delivery"; readonly delivery: Delivery }
  /** Everything up to this place has been delivered. */
  | { readonly type: "place"; readonly place: Place }
  /** Lets old hints go, but for those that are pinned or still being written. */
  | { readonly type: "clear_hints" }
  | { readonly type: "notice"; readonly notice: Notice }
  | { readonly type: "dismiss_notice"; readonly key: string }
  | { readonly type: "dismiss_away" };

export const EMPTY_SESSION: SessionState = {
  hints: new Map(),
  lines: new Map(),
  speakers: new Map(),
  notices: [],
  presence: null,
  commands: [],
  you: null,
  earlyMarks: new Map(),
  gaps: new Set(),
  forgottenHints: null,
  forgottenLines: null,
  dismissed: new Set(),
  away: NOTHING_MISSED,
  place: NOWHERE,
};

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Applies events in order; a batch costs one copy of what it touches. Same input, same output. */
export function reduceSession(state: SessionState, events: readonly SessionEvent[]): SessionState {
  const draft = new Draft(state);
  for (const event of events) {
    switch (event.type) {
      case "delivery":
        deliver(draft, event.delivery);
        break;
      case "place":
        arrive(draft, event.place);
        break;
      case "clear_hints":
        clearHints(draft);
        break;
      case "notice":
        draft.next.notices = addNotice(draft.next.notices, event.notice);
        break;
      case "dismiss_notice":
        dismiss(draft, event.key);
        break;
      case "dismiss_away":
        draft.next.away = NOTHING_MISSED;
        break;
    }
  }
  return draft.finish();
}

/** The next state in the making: maps are copied when they are first written to. */
class Draft {
  readonly next: Mutable<SessionState>;
  readonly #before: SessionState;
  #away: ReturnType<typeof reopenAway> | null = null;

  constructor(before: SessionState) {
    this.#before = before;
    this.next = { ...before };
  }

  get hints(): Map<string, Hint> {
    if (this.next.hints === this.#before.hints) this.next.hints = new Map(this.next.hints);
    return this.next.hints as Map<string, Hint>;
  }

  get lines(): Map<string, Line> {
    if (this.next.lines === this.#before.lines) this.next.lines = new Map(this.next.lines);
    return this.next.lines as Map<string, Line>;
  }

  /** What is being missed. */
  get away() {
    if (this.#away !== this.next.away) this.next.away = this.#away = reopenAway(this.next.away);
    return this.#away;
  }

  finish(): SessionState {
    const { next } = this;
    next.forgottenHints = trim(next.hints, this.#hintsToDrop(), next.forgottenHints);
    next.forgottenLines = trim(next.lines, this.#linesToDrop(), next.forgottenLines);
    return next;
  }

  #hintsToDrop(): number {
    return this.next.hints === this.#before.hints ? 0 : this.next.hints.size - MAX_HINTS;
  }

  #linesToDrop(): number {
    const { size } = this.next.lines;
    return size > MAX_LINES ? size - MAX_LINES + LINES_SLACK : 0;
  }
}

function deliver(draft: Draft, delivery: Delivery): void {
  const { message } = delivery;
  const { next } = draft;
  switch (message.type) {
    case "hint": {
      const id = message.id || delivery.fallbackId;
      const known = next.hints.has(id);
      const began = message.began ?? message.position;
      if (!known && isForgotten(began, next.forgottenHints)) return;
      if (!known && delivery.missed) draft.away.hints.add(id);
      putHint(draft.hints, message, delivery);
      closeGap(draft, id);
      applyEarlyMarks(draft, id);
      forgetPastErrors(draft);
      return;
    }
    case "append":
      if (appendToHint(draft.hints, message) === "gap") openGap(draft, message.id);
      forgetPastErrors(draft);
      return;
    case "transcript": {
      const id = message.id || delivery.fallbackId;
      const known = next.lines.has(id);
      if (!known && isForgotten(message.position, next.forgottenLines)) return;
      if (!known && delivery.missed) draft.away.lines.add(id);
      putLine(draft.lines, message, delivery);
      meetSpeaker(draft, message.speaker);
      return;
    }
    case "feedback":
      markHint(draft, message);
      return;
    case "command":
      markHint(draft, message);
      addCommand(draft, message, delivery);
      return;
    case "presence":
      next.presence = { facilitators: message.facilitators, who: message.who ?? [] };
      return;
    case "error":
      if (isAboutRequest(message) || next.dismissed.has(delivery.fallbackId)) return;
      next.notices = addNotice(next.notices, errorNotice(message, delivery));
      return;
    case "connection":
      next.you = message.you ?? next.you;
      if (message.recovered === false) loseHistory(draft, message, delivery);
      return;
    case "ack":
    case "seen":
    case "heartbeat":
    case "drain":
      return;
  }
}

// Codes of what this page itself has sent. Whoever sent it tells the reader, where there is anything
// to tell: most of it is sent again without a word.
const REQUEST_CODES: ReadonlySet<string> = new Set([
  "bad_message",
  "too_large",
  "unknown_hint",
  "rate_limited",
  "unavailable",
]);
// Codes of what is wrong with the connection. They come before it is closed, or in answer to a token;
// how the connection is, and why, is said elsewhere for as long as it is so.
const CONNECTION_CODES: ReadonlySet<string> = new Set([
  "unauthorized",
  "forbidden",
  "limit_reached",
  "bad_session",
  "bad_position",
  "bad_request",
]);

/** Tells whether an error is about what this page has sent or asked for, and not the agent's. */
function isAboutRequest(message: MessageOf<"error">): boolean {
  if (message.position) return false;
  const code = message.code ?? "";
  return Boolean(message.ref) || REQUEST_CODES.has(code) || CONNECTION_CODES.has(code);
}

/** Notes what a facilitator did with a hint, which may be yet to come. */
function markHint(draft: Draft, message: MessageOf<"feedback"> | MessageOf<"command">): void {
  const mark = markOf(message);
  if (mark === null) return;
  const { next } = draft;
  const hint = next.hints.get(mark.hint);
  const before = hint?.marks ?? next.earlyMarks.get(mark.hint) ?? NO_MARKS;
  const marks = withAction(before, mark.action, message.by ?? null);
  if (hint !== undefined) draft.hints.set(hint.id, { ...hint, marks });
  else next.earlyMarks = newest([...next.earlyMarks, [mark.hint, marks]], MAX_EARLY_MARKS);
}

function applyEarlyMarks(draft: Draft, id: string): void {
  const { next } = draft;
  const marks = next.earlyMarks.get(id);
  const hint = next.hints.get(id);
  if (marks === undefined || hint === undefined) return;
  draft.hints.set(id, { ...hint, marks });
  next.earlyMarks = new Map([...next.earlyMarks].filter(([other]) => other !== id));
}

function openGap(draft: Draft, id: string): void {
  if (draft.next.gaps.has(id)) return;
  draft.next.gaps = new Set([...draft.next.gaps, id].slice(-MAX_GAPS));
}

function closeGap(draft: Draft, id: string): void {
  if (!draft.next.gaps.has(id)) return;
  draft.next.gaps = new Set([...draft.next.gaps].filter((other) => other !== id));
}

function arrive(draft: Draft, place: Place): void {
  draft.next.place = place;
  if (place.standing === "level") draft.next.away = closeAway(draft.next.away);
}

function loseHistory(draft: Draft, message: MessageOf<"connection">, delivery: Delivery): void {
  const { next } = draft;
  const head = parsePosition(message.position);
  next.notices = addNotice(next.notices, unrecoveredNotice(delivery));
  // A log that was rolled back numbers new messages like those that it lost: they are no old ones.
  next.forgottenHints = upTo(next.forgottenHints, head);
  next.forgottenLines = upTo(next.forgottenLines, head);
}

function clearHints(draft: Draft): void {
  for (const hint of [...draft.hints.values()]) {
    if (hint.marks.pin !== null || hint.status === "streaming") continue;
    draft.hints.delete(hint.id);
    draft.next.forgottenHints = laterPosition(draft.next.forgottenHints, hint.first);
  }
}

function dismiss(draft: Draft, key: string): void {
  const { next } = draft;
  next.notices = next.notices.filter((notice) => notice.key !== key);
  next.dismissed = new Set([...next.dismissed, key].slice(-MAX_DISMISSED));
}

/** An agent that has given a hint since is well again. */
function forgetPastErrors(draft: Draft): void {
  const { next } = draft;
  if (!next.notices.some((notice) => notice.snapshot)) return;
  next.notices = next.notices.filter((notice) => !notice.snapshot);
}

function meetSpeaker(draft: Draft, speaker: string | null | undefined): void {
  const { next } = draft;
  if (!speaker || next.speakers.has(speaker) || next.speakers.size >= MAX_SPEAKERS) return;
  next.speakers = new Map(next.speakers).set(speaker, next.speakers.size);
}

function addCommand(draft: Draft, message: MessageOf<"command">, delivery: Delivery): void {
  const id = message.id || delivery.fallbackId;
  if (draft.next.commands.some((command) => command.id === id)) return;
  const command: Command = {
    id,
    name: message.name,
    hint: message.hint ?? null,
    text: message.text ?? null,
    by: message.by ?? null,
    at: message.timestamp ?? delivery.arrivedAt,
  };
  draft.next.commands = [...draft.next.commands, command].slice(-MAX_COMMANDS);
}

function isForgotten(position: string | null | undefined, forgotten: Position | null): boolean {
  const at = parsePosition(position);
  return at !== null && isCovered(at, forgotten);
}

/** Deletes the first `count` entries; returns the newest position that is gone for good. */
function trim<T extends { readonly first: Position | null }>(
  entries: ReadonlyMap<string, T>,
  count: number,
  forgotten: Position | null,
): Position | null {
  let left = count;
  let gone = forgotten;
  for (const [id, entry] of entries) {
    if (left <= 0) break;
    (entries as Map<string, T>).delete(id);
    gone = laterPosition(gone, entry.first);
    left -= 1;
  }
  return gone;
}

/** Returns the position, or the head of its log where that is lower. */
function upTo(position: Position | null, head: Position | null): Position | null {
  return head !== null && isCovered(head, position) ? head : position;
}

function newest<K, V>(entries: [K, V][], max: number): ReadonlyMap<K, V> {
  return new Map(entries.slice(-max));
}
