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
import type { Hint } from "@/lib/relay/hint";

interface HintMarksProps {
  readonly hint: Hint;
  /** Whether the hint has stepped back. */
  readonly spent: boolean;
}

/** What there is to know about a hint beside its words: each an icon and a word. */
export function HintMarks({ hint, spent }: HintMarksProps) {
  const source = [hint.category, hint.source].filter(Boolean).join(" · ");
  return (
    <>
      {hint.priority === "high" && (
        <span className="inline-flex items-center gap-1.5 font-semibold text-warn">
          <TriangleAlert aria-hidden="true" className="size-4" />
          Important
        </span>
      )}
      {source !== "" && <span className="min-w-0 [overflow-wrap:anywhere]">{source}</span>}
      {marksOf(hint, spent).map(({ word, icon: Icon }) => (
        <span key={word} className="inline-flex items-center gap-1">
          <Icon aria-hidden="true" className="size-3.5" />
          {word}
        </span>
      ))}
    </>
  );
}

interface Mark {
  readonly word: string;
  readonly icon: LucideIcon;
}

function marksOf(hint: Hint, spent: boolean): Mark[] {
  const marks: Mark[] = [];
  if (hint.status === "streaming") {
    marks.push({ word: hint.cancelRequested ? "Stopping…" : "Writing…", icon: PenLine });
  }
  if (hint.status === "cancelled") marks.push({ word: "Stopped", icon: CircleSlash });
  if (hint.status === "interrupted") marks.push({ word: "Cut off", icon: Unplug });
  if (hint.pinned) marks.push({ word: "Pinned", icon: Pin });
  if (hint.used) marks.push({ word: "Used", icon: Check });
  if (hint.dismissed) marks.push({ word: "Dismissed", icon: EyeOff });
  if (hint.rating === "helpful") marks.push({ word: "Helpful", icon: ThumbsUp });
  if (hint.rating === "unhelpful") marks.push({ word: "Unhelpful", icon: ThumbsDown });
  const other = hint.used || hint.dismissed || hint.status === "cancelled";
  if (spent && !other) marks.push({ word: "Expired", icon: Clock });
  return marks;
}
