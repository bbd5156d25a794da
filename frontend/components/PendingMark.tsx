import { Clock } from "lucide-react";

/** Says that something has not reached the relay yet; not at once, since most has within a moment. */
export function PendingMark() {
  return (
    <span className="inline-flex animate-belated items-center gap-1 whitespace-nowrap text-warn">
      <Clock aria-hidden="true" className="size-3.5 shrink-0" />
      not sent yet
    </span>
  );
}
