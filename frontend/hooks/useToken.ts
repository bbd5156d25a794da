"use client";

import { useEffect, useState } from "react";
import { takeToken } from "@/lib/token";

export interface Token {
  /** False until the address bar has been looked at. */
  readonly ready: boolean;
  readonly value: string | null;
}

/** Takes the session's token from the address bar, now and whenever a new link is pasted there. */
export function useToken(session: string): Token {
  const [token, setToken] = useState<Token>({ ready: false, value: null });
  useEffect(() => {
    // Without storage, a second look finds nothing: the token that was found stays.
    const take = () => {
      const value = takeToken(session, window);
      setToken((before) => ({ ready: true, value: value ?? before.value }));
    };
    take();
    window.addEventListener("hashchange", take);
    return () => window.removeEventListener("hashchange", take);
  }, [session]);
  return token;
}
