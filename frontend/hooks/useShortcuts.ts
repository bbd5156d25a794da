"use client";

import { useEffect, useRef } from "react";
import { type Shortcut, shortcutOf } from "@/lib/shortcuts";

const FIELDS = "input, textarea, select, [contenteditable]:not([contenteditable=false])";

/** Calls `run` with what a pressed key means, unless the reader is typing. True: it was of use. */
export function useShortcuts(run: (shortcut: Shortcut) => boolean): void {
  const latest = useRef(run);
  useEffect(() => {
    latest.current = run;
  });
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target instanceof Element ? event.target : null;
      const typing = target?.closest(FIELDS) != null || document.querySelector("dialog[open]");
      const shortcut = shortcutOf(event, Boolean(typing));
      if (shortcut !== null && latest.current(shortcut)) event.preventDefault();
    };
    document.addEventListener("keydown", onKey);
    return () => document.removeEventListener("keydown", onKey);
  }, []);
}
