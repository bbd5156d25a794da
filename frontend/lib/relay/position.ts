/** One publication's place: the log it is in, and its number there. */
export interface Position {
  /** The Redis server's time, in ms, when the log began; stays for the log's life. */
  readonly epoch: number;
  /** 1, 2, 3 … in the order of publication. */
  readonly offset: number;
}

const SHAPE = /^([1-9][0-9]{0,15})-([1-9][0-9]{0,15})$/;

/**
 * Reads a position's text, `"<epoch>-<offset>"`.
 *
 * Returns null unless both numbers are plain decimals from 1 to 2^53 - 1 without leading zeros: one
 * position has one text, and beyond that JavaScript can't tell neighbours apart.
 */
export function parsePosition(text: unknown): Position | null {
  if (typeof text !== "string") return null;
  const match = SHAPE.exec(text);
  if (match === null) return null;
  const epoch = Number(match[1]);
  const offset = Number(match[2]);
  return Number.isSafeInteger(epoch) && Number.isSafeInteger(offset) ? { epoch, offset } : null;
}

/** Writes a position as it stands on the wire. */
export function formatPosition(position: Position): string {
  return `${position.epoch}-${position.offset}`;
}

/** Orders positions: negative when `a` comes first. A higher epoch is a later log. */
export function comparePositions(a: Position, b: Position): number {
  return a.epoch - b.epoch || a.offset - b.offset;
}

/** Tells whether `a` stands in the same log as `b` and not after it. */
export function isCovered(a: Position, b: Position | null): boolean {
  return b !== null && a.epoch === b.epoch && a.offset <= b.offset;
}

/** Returns the later of two positions; null stands before all. */
export function laterPosition(a: Position | null, b: Position | null): Position | null {
  if (a === null || b === null) return a ?? b;
  return comparePositions(a, b) >= 0 ? a : b;
}
