"use client";

import {
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
} from "react";
import { FrameQueue, type RequestFrame, requestBrowserFrame } from "@/lib/frame-queue";
import { explainOverflow, explainRefusal } from "@/lib/refusal";
import { browserEnvironment, type Environment } from "@/lib/relay/environment";
import { guestName } from "@/lib/relay/guest";
import type { Hint } from "@/lib/relay/hint";
import { type MarkAction, toggled } from "@/lib/relay/marks";
import type { Message, MessageOf } from "@/lib/relay/messages";
import { undoneNotice } from "@/lib/relay/notice";
import type { Letter, Outgoing, Wish } from "@/lib/relay/outbox";
import { withPending } from "@/lib/relay/overlay";
import { mayAnswer } from "@/lib/relay/role";
import { type SeenMessage, Sightings } from "@/lib/relay/sightings";
import {
  EMPTY_SESSION,
  reduceSession,
  type SessionEvent,
  type SessionState,
} from "@/lib/relay/state";
import { type Steer, steersOf } from "@/lib/relay/steer";
import { SessionStore, tabStorage } from "@/lib/relay/store";
import type { GetToken } from "@/lib/relay/token-keeper";
import { type RelayAddress, relayAddress, withQuery } from "@/lib/relay/url";
import { tokenEndpoint } from "@/lib/token-endpoint";
import { useOutbox } from "./useOutbox";
import { useToken } from "./useToken";
import { type ReconnectingWebSocket, useWebSocketWithReconnect } from "./useWebSocketWithReconnect";

export interface SessionOptions {
  /** Ask for the newest so many kept messages only; null asks for all. */
  readonly replay?: string | null;
  readonly clearOnReconnect?: boolean;
  readonly environment?: Environment;
  readonly requestFrame?: RequestFrame;
  /** Gets a token from the application; by default from NEXT_PUBLIC_TOKEN_URL, where that is set. */
  readonly getToken?: GetToken;
}

/** What the reader can do. None of it waits for the relay. */
export interface SessionActions {
  /** Does this to a hint, or takes it back where it is so already. */
  readonly toggle: (hint: string, action: MarkAction) => void;
  /** Asks the agent to stop a hint. */
  readonly stop: (hint: string) => void;
  /** Tells the agent something; false when too much is waiting to be sent. */
  readonly steer: (text: string) => boolean;
  /** Sends again what the relay refused. */
  readonly resend: (id: string) => void;
  /** Forgets what the relay refused. */
  readonly discard: (id: string) => void;
  /** Is told which hints can be seen. */
  readonly sight: (hint: string, inSight: boolean) => void;
  readonly dismissNotice: (key: string) => void;
  readonly dismissAway: () => void;
}

export interface Session {
  readonly state: SessionState;
  /** The hints, with what was done on this page and may not have reached the relay. */
  readonly hints: ReadonlyMap<string, Hint>;
  /** What the agent was told, the newest last. */
  readonly steers: readonly Steer[];
  readonly connection: ReconnectingWebSocket;
  readonly address: RelayAddress | null;
  /** Whether the reader may only look on. */
  readonly readOnly: boolean;
  readonly actions: SessionActions;
}

/**
 * Follows one session: what the page shows of it, how the connection is, and what the reader does.
 *
 * After a reload of the tab it goes on where it was. Mount it anew for another session.
 */
export function useSession(session: string, options: SessionOptions = {}): Session {
  const { replay = null, clearOnReconnect = false } = options;
  const [environment] = useState(() => options.environment ?? browserEnvironment());
  const [store] = useState(() => new SessionStore(tabStorage(), session, replay, environment));
  const [restored] = useState(() => store.load());
  const [state, dispatch] = useReducer(reduceSession, restored ?? EMPTY_SESSION);
  // With the render, not some time after it: the page may be left in between, and what the reader has
  // seen would come back as if it had been missed.
  useLayoutEffect(() => store.keep(state), [store, state]);
  useEffect(() => store.attach(), [store]);

  const socket = useRef<ReconnectingWebSocket | null>(null);
  const send = useCallback(
    (message: Outgoing | SeenMessage) => socket.current?.send(message) ?? false,
    [],
  );
  const notify = useCallback(
    (key: string, text: string) =>
      dispatch([{ type: "notice", notice: undoneNotice(key, text, environment.nowMs() / 1_000) }]),
    [environment],
  );
  const onRefused = useCallback(
    (letter: Letter) => notify(letter.message.id, explainRefusal(letter)),
    [notify],
  );
  const outbox = useOutbox(session, {
    environment,
    send,
    onRefused,
    position: restored?.place.position ?? null,
  });
  const { post, take, tooBig, repost: resend, discard } = outbox;
  const [sightings] = useState(() => new Sightings(environment, send));
  useEffect(() => sightings.attach(), [sightings]);

  const [queue] = useState(
    () =>
      new FrameQueue<SessionEvent>((events) => {
        // Both in one render: what leaves the outbox is in the state from the same moment on.
        dispatch(events);
        take(events);
      }, options.requestFrame ?? requestBrowserFrame),
  );
  useEffect(() => () => queue.stop(), [queue]);

  const token = useToken(session);
  const [getToken] = useState(
    () =>
      options.getToken ??
      (typeof window === "undefined"
        ? null
        : tokenEndpoint(process.env.NEXT_PUBLIC_TOKEN_URL, session, window.location.href)),
  );
  const [guest] = useState(() => guestName(tabStorage(), () => environment.random()));
  const address = useMemo(
    () =>
      typeof window === "undefined"
        ? null
        : relayAddress(process.env.NEXT_PUBLIC_WS_URL, window.location),
    [],
  );
  const url = useMemo(
    () => (address?.ok ? withQuery(address.url, { session, replay, guest }) : null),
    [address, session, replay, guest],
  );

  const connection = useWebSocketWithReconnect(token.ready ? url : null, {
    token: token.value,
    getToken,
    environment,
    ...(restored === null ? {} : { from: restored.place }),
    onDelivery: (delivery) => {
      if (isFailedReport(delivery.message)) sightings.failed(delivery.message.retry_after_ms ?? 0);
      queue.push({ type: "delivery", delivery });
    },
    onPlace: (place) => queue.push({ type: "place", place }),
    onConnected: (again) => {
      if ((again || restored !== null) && clearOnReconnect) queue.push({ type: "clear_hints" });
      outbox.connected();
    },
    onMoved: () => {
      outbox.connected();
      sightings.connected();
    },
  });
  useEffect(() => {
    socket.current = connection;
  });
  const { isConnected, startOver } = connection;
  const readOnly = !mayAnswer(connection.role);
  // The agent's receipts are about those whom its hints are for, not about who looks on.
  const reports = isConnected && !readOnly;
  useEffect(() => {
    if (reports) sightings.connected();
    else sightings.disconnected();
  }, [reports, sightings]);

  const hungUpOn = connection.problem?.kind;
  useEffect(() => {
    if (hungUpOn === "too_big") tooBig();
  }, [hungUpOn, tooBig]);

  // Once for each hint: one that isn't in the log either would have the page connect for ever.
  const startedOver = useRef(new Set<string>());
  useEffect(() => {
    const fresh = [...state.gaps].filter((id) => !startedOver.current.has(id));
    if (fresh.length === 0) return;
    for (const id of fresh) startedOver.current.add(id);
    startOver();
  }, [state.gaps, startOver]);

  const hints = useMemo(
    () => withPending(state.hints, outbox.outbox, state.you),
    [state.hints, outbox.outbox, state.you],
  );
  const steers = useMemo(
    () => steersOf(state.commands, outbox.outbox, state.you),
    [state.commands, outbox.outbox, state.you],
  );

  const latestHints = useRef(hints);
  const latestReadOnly = useRef(readOnly);
  useEffect(() => {
    latestHints.current = hints;
    latestReadOnly.current = readOnly;
  });
  const actions = useMemo<SessionActions>(() => {
    const tryPost = (wish: Wish): boolean => {
      const posted = post(wish);
      if (!posted) notify(`overflow:${environment.nowMs()}`, explainOverflow(wish));
      return posted;
    };
    return {
      toggle: (hint, action) => {
        if (latestReadOnly.current) return;
        const marks = latestHints.current.get(hint)?.marks;
        if (marks === undefined) return;
        tryPost({ type: "feedback", hint, action: toggled(marks, action) });
      },
      stop: (hint) => {
        const known = latestHints.current.get(hint);
        if (latestReadOnly.current) return;
        if (known?.status !== "streaming" || known.marks.cancel !== null) return;
        tryPost({ type: "command", name: "cancel", hint });
      },
      steer: (text) => !latestReadOnly.current && tryPost({ type: "command", name: "steer", text }),
      resend,
      discard,
      sight: (hint, inSight) => (inSight ? sightings.inSight(hint) : sightings.outOfSight(hint)),
      dismissNotice: (key) => dispatch([{ type: "dismiss_notice", key }]),
      dismissAway: () => dispatch([{ type: "dismiss_away" }]),
    };
  }, [post, notify, resend, discard, sightings, environment]);

  return { state, hints, steers, connection, address, readOnly, actions };
}

/** Tells whether a message says that the relay could not take a report, the one thing without an id. */
function isFailedReport(message: Message): message is MessageOf<"error"> {
  if (message.type !== "error" || message.ref || message.position) return false;
  return message.code === "unavailable" || message.code === "rate_limited";
}
