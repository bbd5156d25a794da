import { Square } from "lucide-react";
import { memo, useEffect, useRef, useState } from "react";
import type { Observe } from "@/hooks/useInSight";
import { useKeptFocus } from "@/hooks/useKeptFocus";
import { type Hint, isStopping } from "@/lib/relay/hint";
import type { MarkAction } from "@/lib/relay/marks";
import { age } from "@/lib/time";
import { HintActions } from "./HintActions";
import { HintMarks } from "./HintMarks";
import { Time } from "./Time";

/** How far a hint stands in front: the newest one, the few before it, the rest, and what is done. */
export type HintRank = "lead" | "recent" | "older" | "spent";

interface HintCardProps {
  readonly hint: Hint;
  readonly rank: HintRank;
  /** The present, for the hint that says how old it is; null for the others. */
  readonly nowS: number | null;
  /** Whether it was published while the reader was away. */
  readonly missed: boolean;
  /** The relay's name for the reader. */
  readonly you: string | null;
  /** Whether the Tab key stops here: at one hint of all. */
  readonly tabStop: boolean;
  /** Whether the reader may only look on: then nothing can be done with it. */
  readonly readOnly: boolean;
  readonly observe: Observe;
  readonly onToggle: (hint: string, action: MarkAction) => void;
  readonly onStop: (hint: string) => void;
}

// Beside the card, not on it: one line along all that was missed, whatever rank each has.
const AWAY_BAR =
  "before:absolute before:inset-y-0 before:-left-2.5 before:w-1 before:bg-accent md:before:-left-4";

const TEXT: Readonly<Record<Exclude<HintRank, "lead">, string>> = {
  recent: "text-xl text-ink leading-snug",
  older: "text-lg text-ink-soft leading-snug",
  spent: "text-base text-ink-faint leading-snug",
};

const BESIDE = "col-start-3 row-start-1 -my-1.5";
// Five buttons leave no room beside them on a narrow screen.
const BESIDE_OR_BELOW =
  "max-sm:col-span-3 max-sm:row-start-3 max-sm:-mb-1.5 max-sm:justify-self-end sm:col-start-3 sm:row-start-1 sm:-my-1.5";

/** One hint, and what can be done with it. */
export const HintCard = memo(function HintCard({
  hint,
  rank,
  nowS,
  missed,
  you,
  tabStop,
  readOnly,
  observe,
  onToggle,
  onStop,
}: HintCardProps) {
  const lead = rank === "lead";
  const streaming = hint.status === "streaming";
  const answerable = hint.named && !readOnly;
  const element = useRef<HTMLLIElement>(null);
  const keptFocus = useKeptFocus(element);
  // Its lines must not be broken anew with each word, nor when the last one has come.
  const [grew] = useState(streaming);
  // The relay is told of whole hints that its agents have named.
  const sightable = hint.named && !streaming;
  useEffect(() => {
    if (!sightable || element.current === null) return;
    return observe(element.current, hint.id);
  }, [sightable, observe, hint.id]);

  return (
    <li
      ref={element}
      tabIndex={tabStop ? 0 : -1}
      data-testid="hint"
      data-id={hint.id}
      data-rank={rank}
      data-status={hint.status}
      data-priority={hint.priority}
      data-missed={missed}
      aria-busy={streaming}
      {...keptFocus}
      className={`group relative flow-root scroll-my-4 rounded-2xl ${missed ? AWAY_BAR : ""}`}
    >
      <div className={`grid grid-cols-[minmax(0,1fr)_auto_auto] items-start ${frame(hint, rank)}`}>
        <div className="flex min-h-6 flex-wrap items-center gap-x-3 gap-y-1 text-ink-faint text-sm">
          {lead && nowS !== null && <span className="text-ink-soft">{age(hint.at, nowS)}</span>}
          <Time at={hint.at} />
          <HintMarks hint={hint} spent={rank === "spent"} you={you} />
        </div>
        {streaming && answerable && !isStopping(hint) && (
          <button
            type="button"
            tabIndex={tabStop ? 0 : -1}
            aria-keyshortcuts="S"
            title="Stop (S)"
            onClick={() => onStop(hint.id)}
            className="-my-1.5 ml-2 inline-flex min-h-9 items-center gap-1.5 rounded-lg border border-line px-2.5 font-medium text-ink-soft text-sm hover:border-line-strong hover:text-ink"
          >
            <Square aria-hidden="true" className="size-3 fill-current" />
            Stop
          </button>
        )}
        <p
          data-testid="hint-text"
          className={`col-span-3 row-start-2 whitespace-pre-wrap [overflow-wrap:anywhere] ${
            lead ? `mt-2 ${leadText(hint.text, grew)}` : `mt-1 ${TEXT[rank]}`
          } ${grew ? "" : "text-pretty"} ${hint.priority === "high" && rank !== "spent" ? "font-semibold" : ""}`}
        >
          {streaming && hint.text === "" ? (
            <span className="text-ink-faint">Thinking</span>
          ) : (
            hint.text
          )}
          {streaming && <Caret />}
        </p>
        {answerable && (
          <HintActions
            marks={hint.marks}
            wordy={lead}
            tabStop={tabStop}
            className={
              lead
                ? "col-span-3 row-start-3 mt-4 -mr-2.5 -mb-1 md:-mb-2"
                : `-mr-2 ${hint.marks.outcome === null ? BESIDE_OR_BELOW : BESIDE}`
            }
            onToggle={(action) => onToggle(hint.id, action)}
          />
        )}
      </div>
    </li>
  );
});

function frame(hint: Hint, rank: HintRank): string {
  const urgent = hint.priority === "high" && rank !== "spent";
  if (rank === "lead") {
    const edge = urgent ? "border-2 border-warn bg-warn-paper" : "border border-line bg-surface";
    return `mb-2 motion-safe:animate-arrive rounded-2xl p-5 md:p-7 ${edge}`;
  }
  if (urgent && rank === "recent") return "my-2 rounded-xl border-2 border-warn px-5 py-3 md:px-7";
  return "border-line border-b px-5 py-3 group-last:border-b-0 md:px-7";
}

/**
 * Short hints are read from across the room; long ones must still fit beside what came before.
 *
 * One that grows before the reader's eyes keeps the size that it began with: words that shrink while
 * they are read are lost.
 */
function leadText(text: string, grew: boolean): string {
  if (grew) return text.length <= 600 ? "font-medium text-lead" : "text-lead-long";
  if (text.length <= 90) return "font-medium text-lead-short tracking-tight";
  if (text.length <= 260) return "font-medium text-lead";
  return "text-lead-long";
}

/** Marks where the next words will come. */
function Caret() {
  return (
    <span
      aria-hidden="true"
      data-testid="caret"
      className="-mr-[0.2em] ml-[0.08em] inline-block h-[1em] w-[0.12em] motion-safe:animate-caret bg-accent align-[-0.15em]"
    />
  );
}
