import { X } from "lucide-react";

interface AwayDividerProps {
  /** How many came while the reader was away. */
  readonly count: number;
  /** Quiet among lines that are read on; plain among hints, which want to be noticed. */
  readonly quiet?: boolean;
  readonly onDismiss: () => void;
}

/** Stands before what was published while the reader was away. */
export function AwayDivider({ count, quiet = false, onDismiss }: AwayDividerProps) {
  return (
    <div
      data-testid={quiet ? "away-lines" : "away"}
      data-count={count}
      className={`flex items-center gap-3 text-sm ${quiet ? "-mb-2 pt-2 text-ink-faint" : "text-accent"}`}
    >
      <p className={`tabular-nums ${quiet ? "" : "font-semibold"}`}>
        While you were away ({count})
      </p>
      <span aria-hidden="true" className="h-px min-w-4 flex-1 bg-current opacity-40" />
      <button
        type="button"
        aria-label="Dismiss: while you were away"
        onClick={onDismiss}
        className="-mr-2 grid size-10 shrink-0 place-items-center rounded-lg hover:opacity-80"
      >
        <X aria-hidden="true" className="size-4" />
      </button>
    </div>
  );
}
