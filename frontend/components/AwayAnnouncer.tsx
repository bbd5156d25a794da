import type { Away } from "@/lib/relay/away";

/** Tells screen readers, once it is known, how many hints came while the reader was away. */
export function AwayAnnouncer({ away }: { readonly away: Away }) {
  const count = away.over ? away.hints.size : 0;
  const [first] = away.hints;
  return (
    <p className="sr-only" aria-live="polite" aria-atomic="true">
      {/* Another absence with as many hints is said again: the same words in a new element. */}
      {count > 0 && (
        <span key={first}>
          {count} {count === 1 ? "hint" : "hints"} while you were away
        </span>
      )}
    </p>
  );
}
