/** Beyond that, a page that waits looks like one that is broken. */
export const MAX_RETRY_AFTER_MS = 300_000;

/**
 * Returns the delay in ms that a `Retry-After` header asks for (RFC 9110 §10.2.3): seconds or a date.
 *
 * Returns null where there is none that makes sense.
 */
export function retryAfterMs(header: string | null, nowMs: number): number | null {
  const text = header?.trim() ?? "";
  const ms = /^[0-9]+$/.test(text) ? Number(text) * 1_000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), MAX_RETRY_AFTER_MS);
}
