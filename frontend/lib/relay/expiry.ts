/** How long before a token's end the next one is asked for, at the least and at the most. */
export const MIN_LEAD_MS = 5_000;
export const MAX_LEAD_MS = 60_000;
const LEAD_SHARE = 0.2;
/** However short-lived tokens are, the page asks for no more than one a second. */
const MIN_WAIT_MS = 1_000;

/**
 * Returns in how many ms the next token is to be asked for; null for "not at all".
 *
 * That is a fifth of the token's life before its end, within bounds, and spread: tokens that were
 * handed out together must not all be renewed in one moment. A token that the relay took and that is
 * past its end means that this device's clock is wrong. Then nothing here can tell when it ends; the
 * relay will.
 *
 * @param lifeMs how long the token lives from now on
 * @param random draws from [0, 1)
 */
export function renewInMs(lifeMs: number, random: () => number): number | null {
  if (lifeMs <= 0) return null;
  const lead = Math.min(Math.max(lifeMs * LEAD_SHARE, MIN_LEAD_MS), MAX_LEAD_MS);
  const spread = MIN_LEAD_MS + (lead - MIN_LEAD_MS) * (0.5 + 0.5 * random());
  return Math.max(lifeMs - spread, MIN_WAIT_MS);
}
