"use client";

import { type RefObject, useCallback, useEffect, useRef } from "react";

/** Follows an element until the returned function is called. */
export type Observe = (element: Element, id: string) => () => void;

// Fine steps: of an element much higher than its panel, half is never in sight.
const THRESHOLDS = Array.from({ length: 21 }, (_, n) => n / 20);
const FILLS = 0.9;

/**
 * Tells which elements within a panel are in sight: half of them, or as much as fills the panel.
 *
 * @param onSight called when that changes; may change from render to render
 */
export function useInSight(
  panel: RefObject<Element | null>,
  onSight: (id: string, inSight: boolean) => void,
): Observe {
  const latest = useRef(onSight);
  const observer = useRef<IntersectionObserver | null>(null);
  const ids = useRef(new Map<Element, string>());
  useEffect(() => {
    latest.current = onSight;
  });
  useEffect(
    () => () => {
      observer.current?.disconnect();
      observer.current = null;
    },
    [],
  );
  return useCallback<Observe>(
    (element, id) => {
      // Not before: effects of what is in the panel run before its own.
      observer.current ??= new IntersectionObserver(
        (entries) => {
          for (const entry of entries) {
            const known = ids.current.get(entry.target);
            if (known !== undefined) latest.current(known, isInSight(entry));
          }
        },
        { root: panel.current, threshold: THRESHOLDS },
      );
      ids.current.set(element, id);
      observer.current.observe(element);
      return () => {
        observer.current?.unobserve(element);
        ids.current.delete(element);
        latest.current(id, false);
      };
    },
    [panel],
  );
}

function isInSight(entry: IntersectionObserverEntry): boolean {
  if (entry.intersectionRatio >= 0.5) return true;
  const panelPx = entry.rootBounds?.height ?? 0;
  return panelPx > 0 && entry.intersectionRect.height >= FILLS * panelPx;
}
