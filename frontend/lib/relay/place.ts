/**
 * How the page stands to its session: still getting what was there before it came, behind because it
 * was away, or level with all that the relay has announced.
 */
export type Standing = "joining" | "behind" | "level";

/** How far the page has got in a session. */
export interface Place {
  /** The newest position up to which everything has arrived; what `since` asks for. */
  readonly position: string | null;
  readonly standing: Standing;
}

/** Where a page is that has never had anything. */
export const NOWHERE: Place = { position: null, standing: "joining" };

export function isSamePlace(a: Place, b: Place): boolean {
  return a.position === b.position && a.standing === b.standing;
}
