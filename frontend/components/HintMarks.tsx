import {
  Check,
  CircleSlash,
  Clock,
  EyeOff,
  type LucideIcon,
  PenLine,
  Pin,
  ThumbsDown,
  ThumbsUp,
  TriangleAlert,
  Unplug,
} from "lucide-react";
import { personName } from "@/lib/people";
import { type Hint, isStopping } from "@/lib/relay/hint";
import type { Mark } from "@/lib/relay/marks";
import { PendingMark } from "./PendingMark";

interface HintMarksProps {
  readonly hint: Hint;
  /** Whether the hint has stepped back. */
  readonly spent: boolean;
  /** The relay's name for the reader. */
  readonly you: string | null;
}

/** What there is to know about a hint beside its words: each an icon and a word. */
export function HintMarks({ hint, spent, you }: HintMarksProps) {
  const source = [hint.category, hint.source].filter(Boolean).join(" · ");
  return (
    <>
      {hint.priority === "high" && (
        <span
          className={`inline-flex items-center gap-1.5 ${spent ? "" : "font-semibold text-warn"}`}
        >
          <TriangleAlert aria-hidden="true" className="size-4" />
          Important
        </span>
      )}
      {source !== "" && <span className="min-w-0 [overflow-wrap:anywhere]">{source}</span>}
      {signsOf(hint, spent, you).map(({ word, icon: Icon, pending, accent }) => (
        <span
          key={word}
          className={`inline-flex flex-wrap items-center gap-x-2 ${accent ? "font-medium text-accent" : ""}`}
        >
          <span className="inline-flex items-center gap-1">
            <Icon aria-hidden="true" className="size-3.5 shrink-0" />
            {word}
          </span>
          {pending && <PendingMark />}
        </span>
      ))}
    </>
  );
}

interface Sign {
  readonly word: string;
  readonly icon: LucideIcon;
  readonly pending?: boolean;
  readonly accent?: boolean;
}

function signsOf(hint: Hint, spent: boolean, you: string | null): Sign[] {
  const { outcome, rating, pin, cancel } = hint.marks;
  const signs: Sign[] = [];
  if (isStopping(hint)) {
    signs.push({ word: "Stopping…", icon: PenLine, pending: cancel?.pending === true });
  } else if (hint.status === "streaming") signs.push({ word: "Writing…", icon: PenLine });
  if (hint.status === "cancelled") signs.push({ word: "Stopped", icon: CircleSlash });
  if (hint.status === "interrupted") signs.push({ word: "The agent broke off", icon: Unplug });
  if (outcome !== null) {
    const word = outcome.action === "used" ? "Used" : "Dismissed";
    const icon = outcome.action === "used" ? Check : EyeOff;
    const who = isMine(outcome, you) ? "you" : personName(outcome.by, you);
    signs.push({ word: `${word} by ${who}`, icon, pending: outcome.pending });
  }
  if (pin !== null) signs.push({ ...sign(pin, "Pinned", Pin, you), accent: true });
  if (rating !== null) {
    const helpful = rating.action === "helpful";
    const icon = helpful ? ThumbsUp : ThumbsDown;
    signs.push(sign(rating, helpful ? "Helpful" : "Not helpful", icon, you));
  }
  if (spent && outcome === null && hint.status !== "cancelled") {
    signs.push({ word: "Expired", icon: Clock });
  }
  return signs;
}

/** Says who it was only where it was somebody else: the reader knows the rest. */
function sign(mark: Mark, word: string, icon: LucideIcon, you: string | null): Sign {
  const mine = isMine(mark, you);
  return {
    word: mine ? word : `${word} by ${personName(mark.by, you)}`,
    icon,
    pending: mark.pending,
  };
}

function isMine(mark: Mark, you: string | null): boolean {
  return mark.pending || (mark.by !== null && mark.by === you);
}
