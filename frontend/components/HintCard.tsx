import { memo } from "react";
import type { Hint } from "@/lib/relay/hint";
import { age } from "@/lib/time";
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
  readonly missed?: boolean;
}

// Beside the card, not on it: one line along all that was missed, whatever rank each has.
const AWAY_BAR =
  "before:absolute before:inset-y-0 before:-left-2.5 before:w-1 before:bg-accent md:before:-left-4";

const TEXT: Readonly<Record<Exclude<HintRank, "lead">, string>> = {
  recent: "text-xl text-ink leading-snug",
  older: "text-lg text-ink-soft leading-snug",
  spent: "text-base text-ink-faint leading-snug",
};

/** One hint. */
export const HintCard = memo(function HintCard({
  hint,
  rank,
  nowS,
  missed = false,
}: HintCardProps) {
  const lead = rank === "lead";
  return (
    <li
      data-testid="hint"
      data-id={hint.id}
      data-rank={rank}
      data-status={hint.status}
      data-priority={hint.priority}
      data-missed={missed}
      className={`group relative flow-root ${missed ? AWAY_BAR : ""}`}
    >
      <div className={frame(hint, rank)}>
        <div className="flex flex-wrap items-center gap-x-3 gap-y-1 text-ink-faint text-sm">
          {lead && nowS !== null && <span className="text-ink-soft">{age(hint.at, nowS)}</span>}
          <Time at={hint.at} />
          <HintMarks hint={hint} spent={rank === "spent"} />
        </div>
        <p
          data-testid="hint-text"
          className={`mt-1 whitespace-pre-wrap text-pretty [overflow-wrap:anywhere] ${
            lead ? leadText(hint.text) : TEXT[rank]
          } ${hint.priority === "high" && rank !== "spent" ? "font-semibold" : ""}`}
        >
          {hint.text}
          {hint.status === "streaming" && <Caret />}
        </p>
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

/** Short hints are read from across the room; long ones must still fit beside what came before. */
function leadText(text: string): string {
  if (text.length <= 90) return "font-medium text-lead-short tracking-tight";
  if (text.length <= 260) return "font-medium text-lead";
  return "text-lead-long";
}

/** Marks where the next words will come. */
function Caret() {
  return (
    <span
      aria-hidden="true"
      className="ml-1 inline-block h-[1em] w-[0.12em] motion-safe:animate-caret bg-accent align-[-0.15em]"
    />
  );
}
