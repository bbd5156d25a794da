/** Bounds of the delay between two tries, in ms. */
export interface BackoffLimits {
  /** The first try comes within this time; the bound doubles from try to try. */
  readonly baseMs: number;
  /** The bound that it grows to. */
  readonly capMs: number;
}

export const BACKOFF: BackoffLimits = { baseMs: 1_000, capMs: 30_000 };

/**
 * Returns the delay in ms before a try to reconnect, with full jitter.
 *
 * The delay is drawn anew for each try, the first included: when a relay dies, all its pages notice
 * at the same moment, and only the very first delay can spread them. A tenth of the bound is the
 * floor, so that bad luck can't make the page spin.
 *
 * @param attempt tries that failed since the last success: 0, 1, 2 …
 * @param random draws from [0, 1)
 */
export function backoffMs(attempt: number, random: () => number, limits = BACKOFF): number {
  // 2 ** attempt ends in Infinity, which Math.min takes care of.
  const bound = Math.min(limits.capMs, limits.baseMs * 2 ** attempt);
  return bound * (0.1 + 0.9 * random());
}
