import type { Hint } from "./hint";
import { markOf, withAction } from "./marks";
import type { Letter, Outbox } from "./outbox";

/**
 * Returns the hints as they will be once everything in the outbox has arrived.
 *
 * A hint that nothing in it is about is the same object as before, and so is the whole where nothing
 * is about any.
 *
 * @param you who the relay takes this page for, where that is known
 */
export function withPending(
  hints: ReadonlyMap<string, Hint>,
  outbox: Outbox,
  you: string | null,
): ReadonlyMap<string, Hint> {
  let changed: Map<string, Hint> | null = null;
  for (const letter of outbox) {
    const mark = markOf(letter.message);
    const hint = mark === null ? undefined : (changed ?? hints).get(mark.hint);
    if (mark === null || hint === undefined || letter.phase === "refused") continue;
    changed ??= new Map(hints);
    const marks = withAction(hint.marks, mark.action, you, isUncertain(letter));
    changed.set(hint.id, { ...hint, marks });
  }
  return changed ?? hints;
}

function isUncertain({ phase }: Letter): boolean {
  return phase !== "accepted";
}
