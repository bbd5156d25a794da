import { Check, EyeOff, type LucideIcon, Pin, ThumbsDown, ThumbsUp, Undo2 } from "lucide-react";
import type { MouseEvent } from "react";
import { kindOf, type MarkAction, type Marks } from "@/lib/relay/marks";

interface HintActionsProps {
  readonly marks: Marks;
  /** Whether there is room for words: on the hint in front. */
  readonly wordy: boolean;
  /** Whether the Tab key stops here: hints are many, and each has five buttons. */
  readonly tabStop: boolean;
  readonly className: string;
  readonly onToggle: (action: MarkAction) => void;
}

interface Deed {
  readonly action: MarkAction;
  readonly word: string;
  readonly key: string;
  readonly icon: LucideIcon;
}

const OUTCOMES: readonly Deed[] = [
  { action: "used", word: "Used", key: "U", icon: Check },
  { action: "dismissed", word: "Dismiss", key: "D", icon: EyeOff },
];
const OTHERS: readonly Deed[] = [
  { action: "helpful", word: "Helpful", key: "H", icon: ThumbsUp },
  { action: "unhelpful", word: "Not helpful", key: "N", icon: ThumbsDown },
  { action: "pinned", word: "Pin", key: "P", icon: Pin },
];

/** What can be done with a hint. What was done to it can be undone in the same place. */
export function HintActions({ marks, wordy, tabStop, className, onToggle }: HintActionsProps) {
  const { outcome } = marks;
  const done = outcome && OUTCOMES.find(({ action }) => action === outcome.action);
  return (
    <div className={`flex items-center ${wordy ? "gap-1 sm:gap-2" : "gap-0.5"} ${className}`}>
      {done ? (
        <ActionButton
          deed={{ ...done, word: "Undo", icon: Undo2 }}
          label={`Undo: ${done.action}`}
          look={wordy ? "worded" : "plain"}
          tabStop={tabStop}
          onToggle={onToggle}
        />
      ) : (
        OUTCOMES.map((deed) => (
          <ActionButton
            key={deed.action}
            deed={deed}
            look={wordy ? "worded" : "quiet"}
            tabStop={tabStop}
            onToggle={onToggle}
          />
        ))
      )}
      {wordy && <span aria-hidden="true" className="flex-1" />}
      {OTHERS.map((deed) => (
        <ActionButton
          key={deed.action}
          deed={deed}
          pressed={marks[kindOf(deed.action)]?.action === deed.action}
          look={wordy ? "icon" : "quiet"}
          // Of what is done, a narrow screen shows what was done, and how to undo it.
          className={done && !wordy ? "max-sm:hidden" : ""}
          tabStop={tabStop}
          onToggle={onToggle}
        />
      ))}
    </div>
  );
}

/**
 * `worded` and `plain` say what they do; `quiet` ones wait for the pointer or the focus to come near,
 * where there is a pointer.
 */
type Look = "worded" | "plain" | "icon" | "quiet";

const SHY =
  "[@media(hover:hover)]:opacity-0 group-hover:opacity-100 group-focus-within:opacity-100 motion-safe:transition-opacity";
const LOOKS: Readonly<Record<Look, string>> = {
  worded:
    "min-h-10 gap-1.5 border border-line px-2.5 font-medium sm:px-3 hover:border-line-strong hover:text-ink",
  // Last, since the others come and go.
  plain: "order-last min-h-9 gap-1.5 px-2 font-medium hover:text-ink pointer-coarse:min-h-10",
  icon: "size-10 justify-center hover:bg-paper hover:text-ink",
  quiet: `size-9 justify-center hover:bg-surface hover:text-ink pointer-coarse:size-10 ${SHY}`,
};
const WORDED: ReadonlySet<Look> = new Set(["worded", "plain"]);

interface ActionButtonProps {
  readonly deed: Deed;
  readonly look: Look;
  readonly label?: string;
  readonly pressed?: boolean;
  readonly tabStop: boolean;
  readonly className?: string;
  readonly onToggle: (action: MarkAction) => void;
}

function ActionButton({
  deed,
  look,
  label,
  pressed,
  tabStop,
  className = "",
  onToggle,
}: ActionButtonProps) {
  const { action, word, key, icon: Icon } = deed;
  const name = label ?? word;
  const onClick = (event: MouseEvent<HTMLButtonElement>) => {
    // By the keyboard: what is pressed may go, and the focus must not go with it.
    if (event.detail === 0) event.currentTarget.closest<HTMLElement>("[data-id]")?.focus();
    onToggle(action);
  };
  return (
    <button
      type="button"
      tabIndex={tabStop ? 0 : -1}
      aria-label={name}
      aria-pressed={pressed}
      aria-keyshortcuts={key}
      title={`${name} (${key})`}
      onClick={onClick}
      className={`inline-flex shrink-0 items-center rounded-lg text-sm ${LOOKS[look]} ${
        pressed === true ? "text-accent" : WORDED.has(look) ? "text-ink-soft" : "text-ink-faint"
      } ${className}`}
    >
      <Icon
        aria-hidden="true"
        className={`size-4.5 ${pressed === true ? "fill-current/20" : ""}`}
      />
      {WORDED.has(look) && word}
    </button>
  );
}
