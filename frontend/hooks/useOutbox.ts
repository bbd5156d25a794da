"use client";

import { useCallback, useEffect, useState } from "react";
import type { Environment } from "@/lib/relay/environment";
import type { Letter, Outbox, Outgoing, Wish } from "@/lib/relay/outbox";
import { Sender } from "@/lib/relay/sender";
import type { SessionEvent } from "@/lib/relay/state";
import { tabStorage } from "@/lib/relay/store";

interface OutboxOptions {
  readonly environment: Environment;
  readonly send: (message: Outgoing) => boolean;
  readonly onRefused: (letter: Letter) => void;
  /** How far the page reached when it was restored. */
  readonly position: string | null;
}

export interface OutboxHandle {
  readonly outbox: Outbox;
  /** Sends a wish as soon as there is a connection; false when too many are waiting. */
  readonly post: (wish: Wish) => boolean;
  readonly repost: (id: string) => void;
  readonly discard: (id: string) => void;
  /** Is told of each new connection. */
  readonly connected: () => void;
  /** Is told that the relay hung up on something too big. */
  readonly tooBig: () => void;
  /** Is told of everything that the page has taken in. */
  readonly take: (events: readonly SessionEvent[]) => void;
}

/** Holds what this page has sent or is going to send. `send` and `onRefused` must not change. */
export function useOutbox(session: string, options: OutboxOptions): OutboxHandle {
  const { environment, send, onRefused, position } = options;
  const [mailbox] = useState(() => {
    let listener: (outbox: Outbox) => void = () => {};
    const sender = new Sender(tabStorage(), session, environment, {
      send,
      onRefused,
      onChange: (outbox) => listener(outbox),
    });
    sender.take([], position);
    return {
      sender,
      listen: (to: (outbox: Outbox) => void) => {
        listener = to;
      },
    };
  });
  const { sender, listen } = mailbox;
  const [outbox, setOutbox] = useState(sender.outbox);
  useEffect(() => {
    listen(setOutbox);
    return () => sender.close();
  }, [sender, listen]);

  const post = useCallback((wish: Wish) => sender.post(wish), [sender]);
  const repost = useCallback((id: string) => sender.repost(id), [sender]);
  const discard = useCallback((id: string) => sender.discard(id), [sender]);
  const connected = useCallback(() => sender.connected(), [sender]);
  const tooBig = useCallback(() => sender.tooBig(), [sender]);
  const take = useCallback(
    (events: readonly SessionEvent[]) => {
      const messages = events.flatMap((event) =>
        event.type === "delivery" ? [event.delivery.message] : [],
      );
      const places = events.flatMap((event) => (event.type === "place" ? [event.place] : []));
      sender.take(messages, places.at(-1)?.position ?? null);
    },
    [sender],
  );
  return { outbox, post, repost, discard, connected, tooBig, take };
}
