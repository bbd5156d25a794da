import type { MarkAction } from "./relay/marks";

/** What a key does; on a hint that has the focus, else on the newest. */
export type Shortcut = "next" | "previous" | "stop" | "help" | MarkAction;

export const SHORTCUTS: readonly {
  readonly key: string;
  readonly does: Shortcut;
  readonly words: string;
}[] = [
  { key: "j", does: "next", words: "Next hint, an older one" },
  { key: "k", does: "previous", words: "Previous hint, a newer one" },
  { key: "u", does: "used", words: "Used; again to take it back" },
  { key: "d", does: "dismissed", words: "Dismiss" },
  { key: "h", does: "helpful", words: "Helpful" },
  { key: "n", does: "unhelpful", words: "Not helpful" },
  { key: "p", does: "pinned", words: "Pin" },
  { key: "s", does: "stop", words: "Stop a hint that is being written" },
  { key: "?", does: "help", words: "Show these keys" },
];

const BY_KEY: ReadonlyMap<string, Shortcut> = new Map(
  SHORTCUTS.map(({ key, does }) => [key, does]),
);

/** The part of a keyboard event that decides. */
export type KeyPress = Pick<
  KeyboardEvent,
  "key" | "code" | "ctrlKey" | "metaKey" | "altKey" | "defaultPrevented" | "isComposing" | "repeat"
>;

/**
 * Returns what a key means; null for none.
 *
 * @param typing whether the focus is in a field, or a dialog is open: there, keys are letters
 */
export function shortcutOf(press: KeyPress, typing: boolean): Shortcut | null {
  if (typing || press.defaultPrevented || press.isComposing) return null;
  if (press.ctrlKey || press.metaKey || press.altKey) return null;
  // Where the keys have other letters on them, their place counts.
  const latin = /^[\x20-\x7e]$/.test(press.key);
  const key = latin ? press.key.toLowerCase() : press.code.replace(/^Key/, "").toLowerCase();
  const shortcut = BY_KEY.get(key) ?? null;
  // Held down, a toggle would flicker; moving on is what one means by it.
  if (press.repeat && shortcut !== "next" && shortcut !== "previous") return null;
  return shortcut;
}
