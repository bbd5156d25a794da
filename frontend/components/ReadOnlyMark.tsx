import { PencilOff } from "lucide-react";

/** Says that the reader may look on, and no more. */
export function ReadOnlyMark() {
  return (
    <span
      data-testid="read-only"
      title="Your link lets you look on; marking hints and telling the coach is for others."
      className="flex shrink-0 items-center gap-1.5 text-ink-faint text-sm"
    >
      <PencilOff aria-hidden="true" className="size-4 shrink-0" />
      Read-only
    </span>
  );
}
