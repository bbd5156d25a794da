"use client";

import { type RefObject, useLayoutEffect, useRef } from "react";

interface KeptFocus {
  readonly onFocus: () => void;
  readonly onBlur: () => void;
}

/** Gives an element the focus when what had it inside goes away, whoever did that. */
export function useKeptFocus(element: RefObject<HTMLElement | null>): KeptFocus {
  const held = useRef(false);
  useLayoutEffect(() => {
    const { activeElement, body } = document;
    if (held.current && (activeElement === null || activeElement === body)) {
      element.current?.focus({ preventScroll: true });
    }
  });
  return {
    onFocus: () => {
      held.current = true;
    },
    // What goes away with a render says nothing; what is blurred has given it up.
    onBlur: () => {
      held.current = false;
    },
  };
}
