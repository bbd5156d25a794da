"use client";

import { Eye } from "lucide-react";
import { useId } from "react";
import { usePopover } from "@/hooks/usePopover";
import { personName } from "@/lib/people";
import type { Presence } from "@/lib/relay/state";

interface WatchingProps {
  readonly presence: Presence;
  /** The relay's name for the reader. */
  readonly you: string | null;
}

/** How many facilitators are watching; a press says who. */
export function Watching({ presence, you }: WatchingProps) {
  const id = useId();
  const { open, toggle, root, button } = usePopover();
  const { facilitators, who } = presence;
  const alone = facilitators <= 1;
  const others = who.filter((name) => name !== you);
  const unnamed = facilitators - who.length;
  const words = alone ? "Only you" : `${facilitators} watching`;
  return (
    <div ref={root} className="relative">
      <button
        ref={button}
        type="button"
        data-testid="watching"
        aria-label={alone ? "Only you are watching" : words}
        aria-expanded={open}
        aria-controls={id}
        title={others.map((name) => personName(name, you)).join(", ") || words}
        onClick={toggle}
        className="flex min-h-11 items-center gap-1.5 rounded-lg px-2 text-ink-soft text-sm tabular-nums hover:text-ink"
      >
        <Eye aria-hidden="true" className="size-4.5" />
        <span className="sm:hidden">{facilitators}</span>
        <span className="max-sm:hidden">{words}</span>
      </button>
      <div
        id={id}
        hidden={!open}
        className="absolute top-full right-0 z-20 max-h-80 w-56 overflow-y-auto rounded-xl border border-line-strong bg-surface p-4 text-sm"
      >
        <p className="font-medium">Watching now</p>
        <ul className="mt-2 space-y-1 text-ink-soft">
          {(you === null || who.includes(you)) && <li>You</li>}
          {others.map((name) => (
            <li key={name} className="truncate" title={name}>
              {personName(name, you)}
            </li>
          ))}
          {unnamed > 0 && who.length > 0 && <li>and {unnamed} more</li>}
        </ul>
      </div>
    </div>
  );
}
