import type { Delivery } from "./delivery";
import type { MessageOf } from "./messages";

/** Something that the reader should know and can wave away. */
export interface Notice {
  readonly key: string;
  readonly kind: "error" | "unrecovered" | "undone";
  readonly text: string;
  /** How often the same was said in a row. */
  readonly count: number;
  /** Seconds since the epoch. */
  readonly at: number;
  /** From the past of the session: void as soon as something came after it. */
  readonly snapshot: boolean;
}

export const UNRECOVERED_KEY = "unrecovered";
const MAX_NOTICES = 4;

/** Returns the notice for a history that is gone; one at a time is enough. */
export function unrecoveredNotice(delivery: Delivery): Notice {
  return {
    key: UNRECOVERED_KEY,
    kind: "unrecovered",
    text: "Some earlier messages could not be recovered.",
    count: 1,
    at: delivery.arrivedAt,
    snapshot: false,
  };
}

export function errorNotice(message: MessageOf<"error">, delivery: Delivery): Notice {
  return {
    key: delivery.fallbackId,
    kind: "error",
    text: message.text,
    count: 1,
    at: delivery.arrivedAt,
    snapshot: delivery.snapshot,
  };
}

/** Returns the notice for something that the reader did and that was not to be. */
export function undoneNotice(key: string, text: string, at: number): Notice {
  return { key, kind: "undone", text, count: 1, at, snapshot: false };
}

/** Adds a notice at the end; one that says the same as another takes its place. */
export function addNotice(notices: readonly Notice[], notice: Notice): readonly Notice[] {
  if (notices.some((other) => other.key === notice.key && notice.kind !== "unrecovered"))
    return notices;
  const same = notices.find((other) => other.kind === notice.kind && other.text === notice.text);
  const others = notices.filter((other) => other !== same);
  const counts = notice.kind !== "unrecovered" && same !== undefined;
  const count = counts ? same.count + 1 : notice.count;
  return [...others, { ...notice, count }].slice(-MAX_NOTICES);
}
