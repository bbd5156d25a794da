const SESSION_ID = /^[A-Za-z0-9_.~-]{1,128}$/;

/** Says in words what `isSessionId` accepts. */
export const SESSION_ID_RULE = "1 to 128 letters, digits, or any of _ . ~ -";

/** Tells whether a text names a session: 1–128 characters of `A-Za-z0-9_.~-`. */
export function isSessionId(text: string): boolean {
  return SESSION_ID.test(text);
}
