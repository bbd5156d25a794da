import type { MessageOf, Parsed } from "./messages";
import { NOWHERE, type Place, type Standing } from "./place";
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
  /** True when it was published while the page was away, and comes by catching up. */
  readonly missed: boolean;
}

const APPLY: Verdict = { apply: true, snapshot: false, missed: false };
const DROP: Verdict = { apply: false, snapshot: false, missed: false };

// These have no place in the log, even where they name one: an ack's position belongs to the message
// that it acknowledges, which arrives as well.
const CONTROL_TYPES: ReadonlySet<string> = new Set([
  "connection",
  "heartbeat",
  "ack",
  "presence",
  "refreshed",
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
  #standing: Standing;
  /** Whether the present connection has begun: before that, nothing tells how the page stands. */
  #begun = false;
  /** The newest position when the relay answered: what comes up to it is catching up. */
  #head: Position | null = null;
  #snapshotLeft = 0;
  /** The gap that was resumed for last: from where, and up to which head. */
  #asked: string | null = null;

  /** Starts from a place that the page had, which was left since. */
  constructor(place: Place = NOWHERE) {
    this.#position = parsePosition(place.position);
    this.#standing = place.standing === "joining" ? "joining" : "behind";
  }

  /** The newest position up to which everything has arrived; what `since` asks for. */
  get position(): string | null {
    return this.#position === null ? null : formatPosition(this.#position);
  }

  get place(): Place {
    return { position: this.position, standing: this.#standing };
  }

  get inSnapshot(): boolean {
    return this.#snapshotLeft > 0;
  }

  /** Starts over from what a `connection` message says. */
  begin(message: MessageOf<"connection">): void {
    this.#begun = true;
    this.#head = parsePosition(message.position);
    this.#snapshotLeft = message.recovered === true ? 0 : (message.snapshot ?? 0);
    // Until the snapshot is whole, `since` must ask for all of it again.
    if (message.recovered !== true && !this.inSnapshot) this.#position = this.#head;
    this.#noteLevel();
  }

  /** Accounts for one frame, usable or not: all of them hold a place in the log. */
  take(frame: Parsed): Verdict {
    if (isControl(frame)) return APPLY;
    const at = parsePosition(frame.position);
    const missed = this.#standing === "behind" && at !== null && isCovered(at, this.#head);
    const verdict = this.#place(frame, at);
    this.#noteLevel();
    return missed && verdict.apply ? { ...verdict, missed } : verdict;
  }

  #place(frame: Parsed, at: Position | null): Verdict {
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
    this.#begun = false;
    this.#snapshotLeft = 0;
    if (this.#standing === "level") this.#standing = "behind";
  }

  #takeFromSnapshot(frame: Parsed): Verdict {
    if (!countsInSnapshot(frame)) return APPLY;
    this.#snapshotLeft -= 1;
    if (this.#snapshotLeft === 0) this.#finishSnapshot();
    return { apply: true, snapshot: true, missed: false };
  }

  #finishSnapshot(): void {
    this.#snapshotLeft = 0;
    this.#position = this.#head;
  }

  #noteLevel(): void {
    if (!this.#begun || this.inSnapshot) return;
    if (this.#head === null || !this.#isBehind(this.#head)) this.#standing = "level";
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
