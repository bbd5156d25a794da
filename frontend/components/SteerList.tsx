"use client";

import { Check, ChevronUp, CircleAlert, Clock, RotateCw, X } from "lucide-react";
import { useId, useState } from "react";
import { personName } from "@/lib/people";
import type { Steer } from "@/lib/relay/steer";
import { Time } from "./Time";

interface SteerListProps {
  /** The newest last. */
  readonly steers: readonly Steer[];
  readonly you: string | null;
  readonly onResend: (id: string) => void;
  readonly onDiscard: (id: string) => void;
}

/** What the agent was told: the newest in one line, all of it on demand; what failed always shows. */
export function SteerList({ steers, you, onResend, onDiscard }: SteerListProps) {
  const id = useId();
  const [open, setOpen] = useState(false);
  const newest = steers.at(-1);
  if (newest === undefined) return null;
  const shown = open
    ? steers
    : steers.filter((steer) => steer === newest || steer.state === "failed");
  const hidden = steers.length - shown.length;
  const foldable = open ? steers.length > 1 : hidden > 0;
  return (
    <div className="mb-1 flex items-end gap-1 md:mb-2">
      <ol
        id={id}
        aria-label="Told to the coach"
        className={`min-w-0 flex-1 overflow-y-auto text-sm ${open ? "max-h-40" : "max-h-24"}`}
      >
        {shown.map((steer) => (
          <SteerRow
            key={steer.id}
            steer={steer}
            who={steer.mine ? "You" : personName(steer.by, you)}
            whole={open}
            onResend={onResend}
            onDiscard={onDiscard}
          />
        ))}
      </ol>
      {foldable && (
        <button
          type="button"
          aria-expanded={open}
          aria-controls={id}
          aria-label={open ? "Show the newest only" : `Show ${hidden} more`}
          onClick={() => setOpen(!open)}
          className="inline-flex min-h-8 shrink-0 items-center gap-1 rounded-lg px-1.5 text-ink-faint text-sm tabular-nums hover:text-ink pointer-coarse:-my-1 pointer-coarse:min-h-10"
        >
          {open ? "Less" : `${hidden} more`}
          <ChevronUp
            aria-hidden="true"
            className={`size-4 motion-safe:transition-transform ${open ? "rotate-180" : ""}`}
          />
        </button>
      )}
    </div>
  );
}

interface SteerRowProps {
  readonly steer: Steer;
  readonly who: string;
  /** Whether all of the text is shown, rather than one line of it. */
  readonly whole: boolean;
  readonly onResend: (id: string) => void;
  readonly onDiscard: (id: string) => void;
}

function SteerRow({ steer, who, whole, onResend, onDiscard }: SteerRowProps) {
  const failed = steer.state === "failed";
  return (
    <li
      data-testid="steer"
      data-state={steer.state}
      className="flex min-h-8 items-start gap-2 py-1.5 text-ink-soft"
    >
      <StateIcon state={steer.state} />
      <div className="min-w-0 flex-1">
        <p className={whole ? "whitespace-pre-wrap break-words" : "truncate"}>
          <span className="font-medium text-ink">{who}:</span> {steer.text}
        </p>
        {/* Below: at the end of a long text, it would be cut off. */}
        {failed && (
          <p role="alert" className="break-words text-bad">
            Not told. {steer.reason}
          </p>
        )}
      </div>
      {failed ? (
        <>
          <button
            type="button"
            aria-label="Tell it again"
            title="Tell it again"
            onClick={() => onResend(steer.id)}
            className="-my-1.5 grid size-8 shrink-0 place-items-center rounded-lg hover:text-ink pointer-coarse:size-10"
          >
            <RotateCw aria-hidden="true" className="size-4" />
          </button>
          <button
            type="button"
            aria-label="Forget it"
            title="Forget it"
            onClick={() => onDiscard(steer.id)}
            className="-my-1.5 grid size-8 shrink-0 place-items-center rounded-lg hover:text-ink pointer-coarse:size-10"
          >
            <X aria-hidden="true" className="size-4" />
          </button>
        </>
      ) : (
        <Time at={steer.at} className="shrink-0 pt-0.5 text-ink-faint text-xs" />
      )}
    </li>
  );
}

const ICONS = { pending: Clock, sent: Check, failed: CircleAlert } as const;
const COLORS = { pending: "text-warn", sent: "text-ink-faint", failed: "text-bad" } as const;
const WORDS = { pending: "Not sent yet", sent: "Sent", failed: "Failed" } as const;

function StateIcon({ state }: Pick<Steer, "state">) {
  const Icon = ICONS[state];
  return (
    <span title={WORDS[state]} className={`mt-0.5 shrink-0 ${COLORS[state]}`}>
      <Icon aria-hidden="true" className="size-4" />
      <span className="sr-only">{WORDS[state]}: </span>
    </span>
  );
}
