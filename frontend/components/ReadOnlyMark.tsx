import { PencilOff } from "lucide-react";
import { WhereItFits } from "./WhereItFits";

/** Says that the reader may look on, and no more. */
export function ReadOnlyMark() {
  return (
    <span
      data-testid="read-only"
      title="Your link lets you look on; marking hints and telling the coach is for others."
      className="flex min-w-0 items-center gap-1.5 text-ink-faint text-sm sm:shrink-0"
    >
      <PencilOff aria-hidden="true" className="size-4 shrink-0" />
      <WhereItFits>Read-only</WhereItFits>
    </span>
  );
}
