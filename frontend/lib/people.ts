const GUEST = /^guest-(.+)$/;
const SHORT = 4;

/**
 * Names a facilitator to the reader.
 *
 * Guests' names are random: their first characters tell the few apart that watch one session.
 *
 * @param by the relay's name for them; null where it is not known
 * @param you the relay's name for the reader
 */
export function personName(by: string | null, you: string | null): string {
  if (by === null) return "somebody";
  if (by === you) return "you";
  const guest = GUEST.exec(by)?.[1];
  return guest === undefined ? by : `Guest ${guest.slice(0, SHORT)}`;
}
