import type { Letter, Wish } from "./relay/outbox";

const DEEDS = {
  used: "marked as used",
  dismissed: "dismissed",
  restored: "restored",
  helpful: "rated",
  unhelpful: "rated",
  unrated: "unrated",
  pinned: "pinned",
  unpinned: "unpinned",
} as const;

/** Says what was not done, and why, in one sentence. */
export function explainRefusal({ message, reason }: Pick<Letter, "message" | "reason">): string {
  return withReason(notDone(message), reason);
}

/** Says what was not even tried, because too much else is waiting. */
export function explainOverflow(wish: Wish): string {
  return withReason(notDone(wish), "Too much is waiting for the connection.");
}

function notDone(wish: Wish): string {
  if (wish.type === "feedback") return `The hint was not ${DEEDS[wish.action]}.`;
  return wish.name === "cancel" ? "The hint was not stopped." : "The coach was not told.";
}

function withReason(what: string, reason: string | null): string {
  return reason ? `${what} ${reason}` : what;
}
