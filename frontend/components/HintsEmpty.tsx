import { WAITING_WORDS } from "@/lib/connection-words";
import type { ConnectionStatus } from "@/lib/relay/connection-state";

/** Stands where the hints will be, and says whether any can come. */
export function HintsEmpty({ status }: { readonly status: ConnectionStatus }) {
  return (
    <div
      data-testid="hints-empty"
      className="flex min-h-0 flex-1 flex-col justify-center px-4 pb-16 md:px-6"
    >
      <div className="mx-auto w-full max-w-4xl">
        <p className="text-balance font-medium text-lead">Hints will appear here.</p>
        <p className="mt-2 text-ink-soft text-lg">{WAITING_WORDS[status]}</p>
      </div>
    </div>
  );
}
