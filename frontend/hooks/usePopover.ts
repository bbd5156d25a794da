"use client";

import { type RefObject, useEffect, useRef, useState } from "react";

interface Popover {
  readonly open: boolean;
  readonly toggle: () => void;
  /** What belongs together: the button, and what it opens. */
  readonly root: RefObject<HTMLDivElement | null>;
  /** What gets the focus back. */
  readonly button: RefObject<HTMLButtonElement | null>;
}

/** Opens and closes something beside a button; a press elsewhere closes it, and so does Escape. */
export function usePopover(): Popover {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    if (!open) return;
    const onPointer = (event: PointerEvent) => {
      if (!root.current?.contains(event.target as Node)) setOpen(false);
    };
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      setOpen(false);
      button.current?.focus();
    };
    document.addEventListener("pointerdown", onPointer);
    document.addEventListener("keydown", onKey);
    return () => {
      document.removeEventListener("pointerdown", onPointer);
      document.removeEventListener("keydown", onKey);
    };
  }, [open]);
  return { open, toggle: () => setOpen(!open), root, button };
}
