"use client";

import { useCallback, useEffect, useState } from "react";

/** Holds a yes or no that outlives the page; where storage is forbidden, it lasts as long as that. */
export function useStoredFlag(key: string): readonly [boolean, (value: boolean) => void] {
  const [value, setValue] = useState(false);
  useEffect(() => {
    try {
      setValue(window.localStorage.getItem(key) === "true");
    } catch {
      // Forbidden: the default holds.
    }
  }, [key]);
  const set = useCallback(
    (next: boolean) => {
      setValue(next);
      try {
        window.localStorage.setItem(key, String(next));
      } catch {
        // Forbidden: it lasts as long as the page.
      }
    },
    [key],
  );
  return [value, set];
}
