"use client";

import { useRef } from "react";

/**
 * Counts what came after the reader stopped following.
 *
 * @param ids all ids, the newest last
 * @param following whether the reader sees the newest
 */
export function useUnseen(ids: readonly string[], following: boolean): number {
  const lastSeen = useRef<string | null>(null);
  if (following) {
    lastSeen.current = ids.at(-1) ?? null;
    return 0;
  }
  const index = lastSeen.current === null ? -1 : ids.lastIndexOf(lastSeen.current);
  return ids.length - 1 - index;
}
