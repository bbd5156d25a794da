/**
 * Tells whether somebody may answer: mark hints, stop them, and tell the agent something.
 *
 * @param role the token's, as the relay says it; null where the relay needs no token, or hasn't said
 */
export function mayAnswer(role: string | null): boolean {
  return role === null || role === "facilitator";
}
