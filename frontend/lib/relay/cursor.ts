import type { MessageOf, Parsed } from "./messages";
import {
  comparePositions,
  formatPosition,
  isCovered,
  type Position,
  parsePosition,
} from "./position";

/** What is to be done with a message. */
export interface Verdict {
  /** False for a message that has been applied before. */
  readonly apply: boolean;
  /** True when the message belongs to a snapshot: it replaces what the page has under its id. */
  readonly snapshot: boolean;
}

const APPLY: Verdict = { apply: true, snapshot: false };
const DROP: Verdict = { apply: false, snapshot: false };
const SNAPSHOT: Verdict = { apply: true, snapshot: true };

// These have no place in the log, even where they name one: an ack's position belongs to the message
// that it acknowledges, which arrives as well.
const CONTROL_TYPES: ReadonlySet<string> = new Set([
  "connection",
  "heartbeat",
  "ack",
  "presence",
  "drain",
]);

/**
 * The page's place in the session: decides what is new, what is a repetition, and what was missed.
 *
 * Does no I/O. Call `begin` with each `connection` message, `take` with each other frame,
 * `heartbeat` with each heartbeat, and `abandon` when the connection is gone.
 */
export class Cursor {
  #position: Position | null;
  /** The position that the running snapshot leads to. */
  #head: Position | null = null;
  #snapshotLeft = 0;
  /** The gap that was resumed for last: from where, and up to which head. */
  #asked: string | null = null;

  constructor(position: string | null = null) {
    this.#position = parsePosition(position);
  }

  /** The newest position up to which everything has arrived; what `since` asks for. */
  get position(): string | null {
    return this.#position === null ? null : formatPosition(this.#position);
  }

  get inSnapshot(): boolean {
    return this.#snapshotLeft > 0;
  }

  /** Starts over from what a `connection` message says. */
  begin(message: MessageOf<"connection">): void {
    this.#snapshotLeft = 0;
    if (message.recovered === true) return;
    this.#head = parsePosition(message.position);
    this.#snapshotLeft = message.snapshot ?? 0;
    // Until the snapshot is whole, `since` must ask for all of it again.
    if (this.#snapshotLeft === 0) this.#position = this.#head;
  }

  /** Accounts for one frame, usable or not: all of them hold a place in the log. */
  take(frame: Parsed): Verdict {
    if (isControl(frame)) return APPLY;
    const at = parsePosition(frame.position);
    // Beyond the snapshot's head there are only live messages, whatever the count said.
    if (at !== null && this.inSnapshot && !this.#isInSnapshot(at)) this.#finishSnapshot();
    if (this.inSnapshot) return this.#takeFromSnapshot(frame);
    if (at === null) return APPLY;
    if (isCovered(at, this.#position)) return DROP;
    this.#position = at;
    return APPLY;
  }

  /** Tells whether the log's head proves that something was missed: then resume. */
  heartbeat(position: string | null): boolean {
    const head = parsePosition(position);
    if (head === null || this.inSnapshot || !this.#isBehind(head)) return false;
    const gap = `${this.position} ${formatPosition(head)}`;
    // The log has holes where a finished hint took the place of its parts. Where resuming brought
    // nothing for this very gap, asking again would bring nothing again, for ever.
    if (this.#asked === gap) return false;
    this.#asked = gap;
    return true;
  }

  /** Forgets an unfinished snapshot; the position stays where it was before it. */
  abandon(): void {
    this.#snapshotLeft = 0;
  }

  #takeFromSnapshot(frame: Parsed): Verdict {
    if (!countsInSnapshot(frame)) return APPLY;
    this.#snapshotLeft -= 1;
    if (this.#snapshotLeft === 0) this.#finishSnapshot();
    return SNAPSHOT;
  }

  #finishSnapshot(): void {
    this.#snapshotLeft = 0;
    this.#position = this.#head;
  }

  #isInSnapshot(at: Position): boolean {
    return this.#head !== null && comparePositions(at, this.#head) <= 0;
  }

  #isBehind(head: Position): boolean {
    return this.#position === null || !isCovered(head, this.#position);
  }
}

function isControl(frame: Parsed): boolean {
  return frame.kind === "message" && CONTROL_TYPES.has(frame.message.type);
}

/** The relay's own errors, and types from the future, may come between the parts of a snapshot. */
function countsInSnapshot(frame: Parsed): boolean {
  if (frame.position !== null) return true;
  return frame.kind === "message" && frame.message.type !== "error";
}
