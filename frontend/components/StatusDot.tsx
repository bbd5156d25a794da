import { STATUS_WORDS } from "@/lib/connection-words";
import type { ConnectionStatus } from "@/lib/relay/connection-state";

// Filled when all is well, a ring while it is being worked on, a square when it isn't: the shape
// says what the colour says.
const SHAPES: Readonly<Record<ConnectionStatus, string>> = {
  connected: "rounded-full bg-good",
  connecting: "rounded-full border-[3px] border-warn",
  reconnecting: "rounded-full border-[3px] border-warn",
  offline: "rounded-[2px] bg-bad",
  refused: "rounded-[2px] bg-bad",
  closed: "rounded-[2px] bg-bad",
};

/** How the connection is: a dot and a word, read out when it changes. */
export function StatusDot({ status }: { readonly status: ConnectionStatus }) {
  return (
    <span
      role="status"
      aria-live="polite"
      data-testid="status"
      data-status={status}
      className="flex shrink-0 items-center gap-2 text-ink-soft text-sm"
    >
      <span aria-hidden="true" className={`size-3 shrink-0 ${SHAPES[status]}`} />
      {STATUS_WORDS[status]}
    </span>
  );
}
