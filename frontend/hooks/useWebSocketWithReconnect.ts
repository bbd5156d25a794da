"use client";

import { useCallback, useEffect, useRef, useState } from "react";
import { RelayClient, type RelayClientOptions } from "@/lib/relay/client";
import { type ConnectionState, INITIAL_STATE } from "@/lib/relay/connection-state";
import { browserEnvironment, type Environment } from "@/lib/relay/environment";
import { developmentLog } from "@/lib/relay/log";
import { NOWHERE } from "@/lib/relay/place";

export interface ReconnectOptions
  extends Pick<
    RelayClientOptions,
    "onDelivery" | "onPlace" | "onConnected" | "onMoved" | "from" | "getToken"
  > {
  /**
   * Sent as a subprotocol, which stays out of logs. Another one takes its place on the present
   * connection; after a refusal it connects again.
   */
  readonly token?: string | null;
  /** The world around the connection; tests bring their own. */
  readonly environment?: Environment;
}

export interface ReconnectingWebSocket extends ConnectionState {
  readonly isConnected: boolean;
  /** Tries now instead of waiting for the next try; over the fallback, tries a WebSocket. */
  readonly retryNow: () => void;
  /** Connects anew, and asks for all that is kept. */
  readonly startOver: () => void;
  /** Sends one message; false when there is no connection. */
  readonly send: (message: { readonly type: string }) => boolean;
}

/**
 * Holds a connection to the relay from mount to unmount, and reconnects whenever it breaks.
 *
 * @param url the socket's address with the session in its query; null waits for one
 * @param options the `on…` may change from render to render, without a new connection; of `from` and
 *   `getToken`, only the first count
 */
export function useWebSocketWithReconnect(
  url: string | null,
  options: ReconnectOptions = {},
): ReconnectingWebSocket {
  const [state, setState] = useState<ConnectionState>(INITIAL_STATE);
  const memory = useRef({ url, place: options.from ?? NOWHERE });
  const client = useRef<RelayClient | null>(null);
  const latest = useRef(options);
  const { token = null, environment } = options;

  useEffect(() => {
    latest.current = options;
  });

  useEffect(() => {
    if (url === null) return;
    // A place means nothing in another session, and survives a second mount of the same.
    const { url: before, place } = memory.current;
    memory.current = { url, place: before === null || before === url ? place : NOWHERE };
    const mine = new RelayClient(
      {
        url,
        from: memory.current.place,
        token: latest.current.token ?? null,
        getToken: latest.current.getToken ?? null,
        onState: setState,
        onDelivery: (delivery) => latest.current.onDelivery?.(delivery),
        onPlace: (place) => latest.current.onPlace?.(place),
        onConnected: (again) => latest.current.onConnected?.(again),
        onMoved: () => latest.current.onMoved?.(),
        log: developmentLog(),
      },
      environment ?? browserEnvironment(),
    );
    client.current = mine;
    mine.open();
    return () => {
      mine.close();
      memory.current.place = mine.place;
      client.current = null;
      setState(INITIAL_STATE);
    };
  }, [url, environment]);

  useEffect(() => {
    if (token !== null) client.current?.bringToken(token);
  }, [token]);

  const retryNow = useCallback(() => client.current?.retryNow(), []);
  const startOver = useCallback(() => client.current?.startOver(), []);
  const send = useCallback<ReconnectingWebSocket["send"]>(
    (message) => client.current?.send(message) ?? false,
    [],
  );
  return { ...state, isConnected: state.status === "connected", retryNow, startOver, send };
}
