import type { FeedbackAction } from "./messages";

/** Something that a facilitator did with a hint. */
export interface Mark<Action extends string = string> {
  readonly action: Action;
  /** Who did it, by the relay's name for them; null where it didn't say. */
  readonly by: string | null;
  /** Done on this page, and not known yet to have reached the others. */
  readonly pending: boolean;
}

/** What facilitators did with a hint: of each kind, what was done last. */
export interface Marks {
  readonly outcome: Mark<"used" | "dismissed"> | null;
  readonly rating: Mark<"helpful" | "unhelpful"> | null;
  readonly pin: Mark<"pinned"> | null;
  /** The agent was asked to stop; it may have gone on to the end all the same. */
  readonly cancel: Mark<"cancel"> | null;
}

/** What can be done with a hint, as against what takes it back. */
export type MarkAction = "used" | "dismissed" | "helpful" | "unhelpful" | "pinned";

export type MarkKind = keyof Marks;

export const NO_MARKS: Marks = { outcome: null, rating: null, pin: null, cancel: null };

/** Which kind of mark an action sets or takes back. */
export function kindOf(action: FeedbackAction): Exclude<MarkKind, "cancel"> {
  switch (action) {
    case "used":
    case "dismissed":
    case "restored":
      return "outcome";
    case "helpful":
    case "unhelpful":
    case "unrated":
      return "rating";
    case "pinned":
    case "unpinned":
      return "pin";
  }
}

/** Returns the marks with one more thing done, or taken back: the last one of its kind holds. */
export function withAction(
  marks: Marks,
  action: FeedbackAction | "cancel",
  by: string | null,
  pending = false,
): Marks {
  switch (action) {
    case "used":
    case "dismissed":
      return { ...marks, outcome: { action, by, pending } };
    case "restored":
      return { ...marks, outcome: null };
    case "helpful":
    case "unhelpful":
      return { ...marks, rating: { action, by, pending } };
    case "unrated":
      return { ...marks, rating: null };
    case "pinned":
      return { ...marks, pin: { action, by, pending } };
    case "unpinned":
      return { ...marks, pin: null };
    case "cancel":
      return { ...marks, cancel: { action, by, pending } };
  }
}

/** Returns the action that the wish for one means: what is so already is taken back. */
export function toggled(marks: Marks, action: MarkAction): FeedbackAction {
  const kind = kindOf(action);
  if (marks[kind]?.action !== action) return action;
  return UNDO[kind];
}

const UNDO = { outcome: "restored", rating: "unrated", pin: "unpinned" } as const;

/** Says what was done with which hint; null for what is about none. */
export function markOf(
  message: FeedbackLike | CommandLike,
): { readonly hint: string; readonly action: FeedbackAction | "cancel" } | null {
  if (message.type === "feedback") return { hint: message.hint, action: message.action };
  return message.name === "cancel" && message.hint
    ? { hint: message.hint, action: "cancel" }
    : null;
}

// What comes from the relay, and what goes there.
interface FeedbackLike {
  readonly type: "feedback";
  readonly hint: string;
  readonly action: FeedbackAction;
}
interface CommandLike {
  readonly type: "command";
  readonly name: "cancel" | "steer";
  readonly hint?: string | null | undefined;
}
