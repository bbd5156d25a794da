"use client";

import { type RefObject, useCallback, useState } from "react";
import type { Hint } from "@/lib/relay/hint";
import type { MarkAction } from "@/lib/relay/marks";
import { useShortcuts } from "./useShortcuts";

interface HintKeysOptions {
  readonly list: RefObject<HTMLElement | null>;
  /** As they are shown, the newest first. */
  readonly hints: readonly Hint[];
  /** Whether keys only move. */
  readonly readOnly: boolean;
  readonly onToggle: (hint: string, action: MarkAction) => void;
  readonly onStop: (hint: string) => void;
}

interface HintKeys {
  /** The hint at which the Tab key stops. */
  readonly tabStop: string | null;
  /** Is told of the focus when it comes to the list. */
  readonly onFocus: (event: { readonly target: EventTarget }) => void;
}

/** Moves between hints, and does things to them, by keys: to the one in focus, else to the newest. */
export function useHintKeys(options: HintKeysOptions): HintKeys {
  const { list, hints, readOnly, onToggle, onStop } = options;
  const [current, setCurrent] = useState<string | null>(null);

  const focused = (): string | null => idAt(list.current, document.activeElement);
  // Where a mouse has left the focus shows nowhere: the reader takes the newest to be meant.
  const marked = (): string | null =>
    document.activeElement?.matches(":focus-visible") ? focused() : null;
  const move = (step: 1 | -1): boolean => {
    const at = hints.findIndex(({ id }) => id === focused());
    const to = hints[at === -1 ? 0 : Math.min(Math.max(at + step, 0), hints.length - 1)];
    if (to === undefined) return false;
    const cards = list.current?.querySelectorAll<HTMLElement>("[data-id]") ?? [];
    const card = [...cards].find(({ dataset }) => dataset.id === to.id);
    card?.focus({ preventScroll: true });
    card?.scrollIntoView({ block: "nearest" });
    return card !== undefined;
  };

  useShortcuts((shortcut) => {
    if (shortcut === "help") return false;
    if (shortcut === "next") return move(1);
    if (shortcut === "previous") return move(-1);
    if (readOnly) return false;
    const id = marked();
    // Without a focus, the newest is meant that it can be done to.
    const suits = ({ status }: Hint) => shortcut !== "stop" || status === "streaming";
    const hint = hints.find((other) => (id === null ? suits(other) : other.id === id));
    if (hint === undefined || !hint.named) return false;
    if (shortcut === "stop") onStop(hint.id);
    else onToggle(hint.id, shortcut);
    return true;
  });

  const onFocus = useCallback(
    ({ target }: { readonly target: EventTarget }) => setCurrent(idAt(list.current, target)),
    [list],
  );
  const known = current !== null && hints.some(({ id }) => id === current);
  return { tabStop: known ? current : (hints[0]?.id ?? null), onFocus };
}

/** Returns the id of the hint that an element belongs to. */
function idAt(list: HTMLElement | null, element: EventTarget | null): string | null {
  if (!(element instanceof Element) || list?.contains(element) !== true) return null;
  return element.closest<HTMLElement>("[data-id]")?.dataset.id ?? null;
}
