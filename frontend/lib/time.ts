const CLOCK = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** Writes a time of day as 14:32:07, in the reader's time zone. */
export function clockTime(atS: number): string {
  const date = new Date(atS * 1_000);
  return Number.isNaN(date.getTime()) ? "" : CLOCK.format(date);
}

/** Writes a time for machines; empty for a number that is no time. */
export function isoTime(atS: number): string {
  const date = new Date(atS * 1_000);
  return Number.isNaN(date.getTime()) ? "" : date.toISOString();
}

/** Says how long ago something was, in steps that don't flicker. */
export function age(atS: number, nowS: number): string {
  const seconds = nowS - atS;
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds / 10) * 10} s ago`;
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3_600)} h ago`;
}
