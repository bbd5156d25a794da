import type { Delivery } from "./delivery";
import type { MessageOf } from "./messages";
import { isCovered, type Position, parsePosition } from "./position";

/** One line of the transcript. */
export interface Line {
  readonly id: string;
  readonly text: string;
  /** Null when the producer didn't say. */
  readonly speaker: string | null;
  /** Seconds since the epoch. */
  readonly at: number;
  /** False while the words may still change. */
  readonly final: boolean;
  readonly first: Position | null;
  readonly newest: Position | null;
}

/** Puts a line at the end, or in the place of the interim line with its id. */
export function putLine(
  lines: Map<string, Line>,
  message: MessageOf<"transcript">,
  delivery: Delivery,
): void {
  const id = message.id || delivery.fallbackId;
  const at = parsePosition(message.position);
  const before = lines.get(id);
  const final = message.final ?? true;
  if (before !== undefined && !delivery.snapshot) {
    if (at !== null && isCovered(at, before.newest)) return;
    // A straggler: the final words are there already.
    if (before.final && !final) return;
  }
  lines.set(id, {
    id,
    text: message.text,
    speaker: message.speaker || null,
    at: message.timestamp ?? before?.at ?? delivery.arrivedAt,
    final,
    first: before?.first ?? at,
    newest: at ?? before?.newest ?? null,
  });
}
