import type { Hint } from "@/lib/relay/hint";
import { laterPosition } from "@/lib/relay/position";

/** Reads each hint out to screen readers, once, when it is whole; never piece by piece. */
export function HintAnnouncer({ hints }: { readonly hints: readonly Hint[] }) {
  const hint = latestWhole(hints);
  return (
    <p className="sr-only" aria-live="polite" aria-atomic="true">
      {/* The same words from another hint are said again: in a new element. */}
      {hint !== null && <span key={hint.id}>{wordsOf(hint)}</span>}
    </p>
  );
}

/** The one that was finished last, which needn't be the one that began last. */
function latestWhole(hints: readonly Hint[]): Hint | null {
  return hints.reduce<Hint | null>((latest, hint) => {
    if (hint.status === "streaming") return latest;
    if (latest === null || hint.newest === null || latest.newest === null) return hint;
    return laterPosition(hint.newest, latest.newest) === hint.newest ? hint : latest;
  }, null);
}

function wordsOf(hint: Hint): string {
  const urgent = hint.priority === "high" ? "Important: " : "";
  const end = ENDINGS[hint.status];
  return `${urgent}${hint.text}${end}`;
}

const ENDINGS: Readonly<Record<Hint["status"], string>> = {
  streaming: "",
  complete: "",
  cancelled: " (Stopped)",
  interrupted: " (The agent broke off)",
};
