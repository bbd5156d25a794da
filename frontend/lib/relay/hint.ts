import type { Delivery } from "./delivery";
import type { MessageOf } from "./messages";
import { isCovered, type Position, parsePosition } from "./position";

export type HintStatus = "streaming" | "complete" | "cancelled" | "interrupted";
export type HintPriority = "low" | "normal" | "high";

/** One hint as the page shows it. */
export interface Hint {
  readonly id: string;
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
  readonly used: boolean;
  readonly dismissed: boolean;
  readonly pinned: boolean;
  readonly rating: "helpful" | "unhelpful" | null;
  /** A facilitator asked the agent to stop this hint, and it goes on as yet. */
  readonly cancelRequested: boolean;
  /** The position that it began at, and the newest that changed it. */
  readonly first: Position | null;
  readonly newest: Position | null;
}

/** Tells whether a hint is no longer of use. */
export function isExpired(hint: Hint, nowS: number): boolean {
  return hint.expiresAt !== null && hint.expiresAt <= nowS;
}

/** Tells whether a hint should step back: used, dismissed, expired, or stopped. */
export function isSpent(hint: Hint, nowS: number): boolean {
  if (hint.pinned) return false;
  return hint.used || hint.dismissed || hint.status === "cancelled" || isExpired(hint, nowS);
}

/**
 * Puts a hint among the others, the newest last.
 *
 * A hint whose id is there already takes the other's place: a snapshot, or a resumed stretch of the
 * log, brings as one message what the page has pieced together from many.
 */
export function putHint(
  hints: Map<string, Hint>,
  message: MessageOf<"hint">,
  delivery: Delivery,
): void {
  const id = message.id || delivery.fallbackId;
  const at = parsePosition(message.position);
  const before = hints.get(id);
  if (before !== undefined && at !== null && !delivery.snapshot && isCovered(at, before.newest)) {
    return;
  }
  const status = message.status ?? "complete";
  hints.set(id, {
    id,
    text: message.text,
    at: message.timestamp ?? before?.at ?? delivery.arrivedAt,
    status,
    priority: message.priority ?? "normal",
    category: message.category ?? null,
    source: message.source ?? null,
    replyTo: message.reply_to ?? null,
    expiresAt: message.expires_at ?? null,
    used: before?.used ?? false,
    dismissed: before?.dismissed ?? false,
    pinned: before?.pinned ?? false,
    rating: before?.rating ?? null,
    cancelRequested: status === "streaming" && (before?.cancelRequested ?? false),
    first: before?.first ?? at,
    newest: at ?? before?.newest ?? null,
  });
}

/** Adds text to the end of a hint. Text for a hint that the page no longer has is let go. */
export function appendToHint(hints: Map<string, Hint>, message: MessageOf<"append">): void {
  const hint = hints.get(message.id);
  if (hint === undefined) return;
  const at = parsePosition(message.position);
  if (at !== null && isCovered(at, hint.newest)) return;
  const status = message.status ?? hint.status;
  hints.set(hint.id, {
    ...hint,
    text: hint.text + message.text,
    status,
    cancelRequested: hint.cancelRequested && status === "streaming",
    newest: at ?? hint.newest,
  });
}

/** Notes on a hint what a facilitator did with it. */
export function markHint(hints: Map<string, Hint>, message: MessageOf<"feedback">): void {
  const hint = hints.get(message.hint);
  if (hint !== undefined) hints.set(hint.id, { ...hint, ...marksOf(message.action) });
}

/** Notes that a facilitator asked for a hint to be stopped. */
export function requestCancel(hints: Map<string, Hint>, id: string): void {
  const hint = hints.get(id);
  if (hint?.status === "streaming") hints.set(id, { ...hint, cancelRequested: true });
}

function marksOf(action: MessageOf<"feedback">["action"]): Partial<Hint> {
  switch (action) {
    case "used":
      return { used: true };
    case "dismissed":
      return { dismissed: true };
    case "pinned":
      return { pinned: true };
    case "unpinned":
      return { pinned: false };
    case "helpful":
    case "unhelpful":
      return { rating: action };
  }
}
