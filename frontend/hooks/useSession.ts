"use client";

import { useCallback, useEffect, useMemo, useReducer, useState } from "react";
import { FrameQueue, type RequestFrame, requestBrowserFrame } from "@/lib/frame-queue";
import { browserEnvironment, type Environment } from "@/lib/relay/environment";
import {
  EMPTY_SESSION,
  reduceSession,
  type SessionEvent,
  type SessionState,
} from "@/lib/relay/state";
import { SessionStore, tabStorage } from "@/lib/relay/store";
import { type RelayAddress, relayAddress, withQuery } from "@/lib/relay/url";
import { useToken } from "./useToken";
import { type ReconnectingWebSocket, useWebSocketWithReconnect } from "./useWebSocketWithReconnect";

export interface SessionOptions {
  /** Ask for the newest so many kept messages only; null asks for all. */
  readonly replay?: string | null;
  readonly clearOnReconnect?: boolean;
  readonly environment?: Environment;
  readonly requestFrame?: RequestFrame;
}

export interface Session {
  readonly state: SessionState;
  readonly connection: ReconnectingWebSocket;
  readonly address: RelayAddress | null;
  readonly dismissNotice: (key: string) => void;
  readonly dismissAway: () => void;
}

/**
 * Follows one session: what the page shows of it, and how the connection is.
 *
 * After a reload of the tab it goes on where it was. Mount it anew for another session.
 */
export function useSession(session: string, options: SessionOptions = {}): Session {
  const { replay = null, clearOnReconnect = false, environment } = options;
  const [store] = useState(
    () => new SessionStore(tabStorage(), session, replay, environment ?? browserEnvironment()),
  );
  const [restored] = useState(() => store.load());
  const [state, dispatch] = useReducer(reduceSession, restored ?? EMPTY_SESSION);
  useEffect(() => store.keep(state), [store, state]);
  useEffect(() => store.attach(), [store]);
  const [queue] = useState(
    () => new FrameQueue<SessionEvent>(dispatch, options.requestFrame ?? requestBrowserFrame),
  );
  useEffect(() => () => queue.stop(), [queue]);

  const token = useToken(session);
  const address = useMemo(
    () =>
      typeof window === "undefined"
        ? null
        : relayAddress(process.env.NEXT_PUBLIC_WS_URL, window.location),
    [],
  );
  const url = useMemo(
    () => (address?.ok ? withQuery(address.url, { session, replay }) : null),
    [address, session, replay],
  );

  const connection = useWebSocketWithReconnect(token.ready ? url : null, {
    token: token.value,
    ...(environment === undefined ? {} : { environment }),
    ...(restored === null ? {} : { from: restored.place }),
    onDelivery: (delivery) => queue.push({ type: "delivery", delivery }),
    onPlace: (place) => queue.push({ type: "place", place }),
    onConnected: (again) => {
      if ((again || restored !== null) && clearOnReconnect) queue.push({ type: "clear_hints" });
    },
  });

  const dismissNotice = useCallback(
    (key: string) => dispatch([{ type: "dismiss_notice", key }]),
    [],
  );
  const dismissAway = useCallback(() => dispatch([{ type: "dismiss_away" }]), []);
  return { state, connection, address, dismissNotice, dismissAway };
}
