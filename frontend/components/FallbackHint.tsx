"use client";

import { Waypoints } from "lucide-react";
import { useId } from "react";
import { usePopover } from "@/hooks/usePopover";
import { WhereItFits } from "./WhereItFits";

/** Says that WebSockets don't get through here; a press says what that means, and tries again. */
export function FallbackHint({ onRetry }: { readonly onRetry: () => void }) {
  const id = useId();
  const { open, toggle, root, button } = usePopover();
  return (
    <div ref={root} className="relative min-w-0">
      <button
        ref={button}
        type="button"
        data-testid="fallback"
        aria-label="WebSockets are blocked here: using the fallback"
        aria-expanded={open}
        aria-controls={id}
        onClick={toggle}
        className="flex min-h-11 max-w-full items-center gap-1.5 rounded-lg px-2 text-ink-faint text-sm hover:text-ink"
      >
        <Waypoints aria-hidden="true" className="size-4 shrink-0" />
        <span className="min-w-0 lg:hidden">
          <WhereItFits>Fallback</WhereItFits>
        </span>
        <span className="truncate max-lg:hidden">
          WebSockets are blocked here: using the fallback
        </span>
      </button>
      <div
        id={id}
        hidden={!open}
        className="absolute top-full right-0 z-20 w-72 max-w-[calc(100vw-2rem)] rounded-xl border border-line-strong bg-surface p-4 text-sm"
      >
        <p className="font-medium">WebSockets are blocked here</p>
        <p className="mt-1 text-ink-soft">
          A proxy or firewall on the way lets none through, so hints come over plain HTTP instead.
          Everything works. WebSockets are tried again every five minutes.
        </p>
        <button
          type="button"
          onClick={() => {
            // What has the focus goes away.
            button.current?.focus();
            toggle();
            onRetry();
          }}
          className="mt-3 inline-flex min-h-10 items-center rounded-lg border border-line-strong px-3 font-medium"
        >
          Try now
        </button>
      </div>
    </div>
  );
}
