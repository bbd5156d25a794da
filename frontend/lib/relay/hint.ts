import type { Delivery } from "./delivery";
import { type Marks, NO_MARKS } from "./marks";
import type { MessageOf } from "./messages";
import { comparePositions, isCovered, type Position, parsePosition } from "./position";

export type HintStatus = "streaming" | "complete" | "cancelled" | "interrupted";
export type HintPriority = "low" | "normal" | "high";

/** One hint as the page shows it. */
export interface Hint {
  readonly id: string;
  /** Whether the id is its producer's: one that the page made up means nothing to the relay. */
  readonly named: boolean;
  readonly text: string;
  /** Seconds since the epoch. */
  readonly at: number;
  readonly status: HintStatus;
  readonly priority: HintPriority;
  readonly category: string | null;
  readonly source: string | null;
  readonly replyTo: string | null;
  /** Seconds since the epoch; from then on the hint is no longer of use. */
  readonly expiresAt: number | null;
  readonly marks: Marks;
  /** The position that it began at, by which it stands among the others. */
  readonly first: Position | null;
  /** The newest position that changed its text. */
  readonly newest: Position | null;
}

/** Tells whether a hint is no longer of use. */
export function isExpired(hint: Hint, nowS: number): boolean {
  return hint.expiresAt !== null && hint.expiresAt <= nowS;
}

/** Tells whether a hint should step back: used, dismissed, expired, or stopped. */
export function isSpent(hint: Hint, nowS: number): boolean {
  if (hint.marks.pin !== null) return false;
  return hint.marks.outcome !== null || hint.status === "cancelled" || isExpired(hint, nowS);
}

/** Tells whether a facilitator asked the agent to stop, and it goes on as yet. */
export function isStopping(hint: Hint): boolean {
  return hint.status === "streaming" && hint.marks.cancel !== null;
}

/** Tells whether there is anything to show: an agent may begin a hint, and then have nothing to say. */
export function isShown(hint: Hint): boolean {
  return hint.text !== "" || hint.status !== "complete";
}

/**
 * Puts a hint among the others, by the position that it began at.
 *
 * A hint whose id is there already takes the other's place: a snapshot, or a resumed stretch of the
 * log, brings as one message what the page has pieced together from many. Returns the hint, or null
 * where the page knows better.
 */
export function putHint(
  hints: Map<string, Hint>,
  message: MessageOf<"hint">,
  delivery: Delivery,
): Hint | null {
  const id = message.id || delivery.fallbackId;
  const at = parsePosition(message.position);
  const before = hints.get(id);
  if (before !== undefined && at !== null && !delivery.snapshot && isCovered(at, before.newest)) {
    return null;
  }
  const hint: Hint = {
    id,
    named: Boolean(message.id),
    text: message.text,
    at: message.timestamp ?? before?.at ?? delivery.arrivedAt,
    status: message.status ?? "complete",
    priority: message.priority ?? "normal",
    category: message.category ?? null,
    source: message.source ?? null,
    replyTo: message.reply_to ?? null,
    expiresAt: message.expires_at ?? null,
    marks: before?.marks ?? NO_MARKS,
    first: parsePosition(message.began) ?? before?.first ?? at,
    newest: at ?? before?.newest ?? null,
  };
  if (before !== undefined && isSameStart(before.first, hint.first)) hints.set(id, hint);
  else insert(hints, hint);
  return hint;
}

/** What became of a piece of text: passed over, or a gap, where what stands before it is missing. */
export type Appended = "added" | "passed" | "gap";

/**
 * Puts a piece of text where it belongs in its hint.
 *
 * `at` says where that is, so that pieces and whole texts can come in any mix: what the page has
 * beyond it is replaced. A piece without `at` goes to the end.
 */
export function appendToHint(hints: Map<string, Hint>, message: MessageOf<"append">): Appended {
  const hint = hints.get(message.id);
  const from = message.at ?? null;
  // Nothing tells what a piece by hand belongs to: connecting anew wouldn't bring it.
  if (hint === undefined) return from === null ? "passed" : "gap";
  const at = parsePosition(message.position);
  if (at !== null && isCovered(at, hint.newest)) return "passed";
  if (from !== null && from > hint.text.length) return "gap";
  const kept = from === null || from === hint.text.length ? hint.text : hint.text.slice(0, from);
  hints.set(hint.id, {
    ...hint,
    text: kept + message.text,
    status: message.status ?? hint.status,
    newest: at ?? hint.newest,
  });
  return "added";
}

function isSameStart(a: Position | null, b: Position | null): boolean {
  if (a === null || b === null) return a === b;
  return comparePositions(a, b) === 0;
}

/**
 * Inserts a hint before the first that began after it.
 *
 * So two pages agree on the order, whichever of them came late and got a long hint in one message.
 * Hints without a position stay where they arrived.
 */
function insert(hints: Map<string, Hint>, hint: Hint): void {
  hints.delete(hint.id);
  const { first } = hint;
  const later: Hint[] = [];
  if (first !== null) {
    let found = false;
    for (const other of hints.values()) {
      found ||= other.first !== null && comparePositions(other.first, first) > 0;
      if (found) later.push(other);
    }
  }
  hints.set(hint.id, hint);
  for (const other of later) {
    hints.delete(other.id);
    hints.set(other.id, other);
  }
}
