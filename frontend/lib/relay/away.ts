/** What was published while the reader was away, in the last absence that had anything. */
export interface Away {
  /** Ids of the hints that the page learnt of by catching up. */
  readonly hints: ReadonlySet<string>;
  /** The same of the transcript's lines. */
  readonly lines: ReadonlySet<string>;
  /** Whether the page has caught up: what is missed from now on belongs to another absence. */
  readonly over: boolean;
}

export const NOTHING_MISSED: Away = { hints: new Set(), lines: new Set(), over: true };

/** Returns the same to write on; an absence that is over makes room for the next. */
export function reopenAway(away: Away) {
  return {
    hints: new Set(away.over ? [] : away.hints),
    lines: new Set(away.over ? [] : away.lines),
    over: false,
  } satisfies Away;
}

/** Closes an absence; what was missed in it stays marked. */
export function closeAway(away: Away): Away {
  return away.over ? away : { ...away, over: true };
}
