"use client";

import { ChevronDown } from "lucide-react";
import { memo, useId } from "react";
import { type Away, NOTHING_MISSED } from "@/lib/relay/away";
import type { Line } from "@/lib/relay/line";
import { TranscriptList } from "./TranscriptList";

interface TranscriptPanelProps {
  /** The oldest first. */
  readonly lines: readonly Line[];
  readonly speakers: ReadonlyMap<string, number>;
  /** Narrow screens can fold the transcript away; wide ones always show it. */
  readonly open: boolean;
  readonly onToggle: (open: boolean) => void;
  readonly away?: Away;
  readonly onDismissAway?: () => void;
}

const ignore = () => {};

/** What is said, by whom, and when. */
export const TranscriptPanel = memo(function TranscriptPanel({
  lines,
  speakers,
  open,
  onToggle,
  away = NOTHING_MISSED,
  onDismissAway = ignore,
}: TranscriptPanelProps) {
  const id = useId();
  return (
    <section
      aria-labelledby={`${id}-title`}
      className="relative flex min-h-0 min-w-0 flex-col border-line border-t md:border-t-0 md:border-l"
    >
      <div className="flex h-11 shrink-0 items-center px-4 md:h-13 md:px-6">
        <h2 id={`${id}-title`} className="font-semibold text-lg">
          Transcript
        </h2>
        <button
          type="button"
          aria-label={open ? "Hide the transcript" : "Show the transcript"}
          aria-expanded={open}
          aria-controls={`${id}-lines`}
          onClick={() => onToggle(!open)}
          className="-mr-2 ml-auto grid size-11 place-items-center rounded-lg text-ink-soft md:hidden"
        >
          <ChevronDown
            aria-hidden="true"
            className={`size-5 motion-safe:transition-transform ${open ? "" : "rotate-180"}`}
          />
        </button>
      </div>
      <div
        id={`${id}-lines`}
        // Folded to no height rather than taken out: lines that aren't laid out can't be measured.
        className={`flex min-h-0 flex-col ${
          open ? "flex-1" : "max-md:invisible max-md:h-0 max-md:overflow-hidden md:flex-1"
        }`}
      >
        {lines.length === 0 ? (
          <p className="px-4 pt-1 pb-6 text-ink-soft md:px-6">What is said will appear here.</p>
        ) : (
          <TranscriptList
            lines={lines}
            speakers={speakers}
            away={away}
            onDismissAway={onDismissAway}
          />
        )}
      </div>
    </section>
  );
});
