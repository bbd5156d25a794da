"use client";

import { useEffect, useState } from "react";

/** Returns the time in seconds since the epoch, renewed every second while `active`. */
export function useNow(active: boolean): number {
  const [nowS, setNowS] = useState(() => Math.floor(Date.now() / 1_000));
  useEffect(() => {
    if (!active) return;
    const tick = () => setNowS(Math.floor(Date.now() / 1_000));
    tick();
    const timer = window.setInterval(tick, 1_000);
    return () => window.clearInterval(timer);
  }, [active]);
  return nowS;
}
