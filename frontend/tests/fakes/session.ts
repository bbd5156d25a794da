import type { Delivery } from "@/lib/relay/delivery";
import type { Hint } from "@/lib/relay/hint";
import type { Line } from "@/lib/relay/line";
import { NO_MARKS } from "@/lib/relay/marks";
import { parseMessage } from "@/lib/relay/messages";
import type { SessionEvent } from "@/lib/relay/state";

/** Returns a message as the client would deliver it. */
export function delivery(message: object, change: Partial<Delivery> = {}): Delivery {
  const parsed = parseMessage(JSON.stringify(message));
  if (parsed.kind !== "message") throw new Error(`not a message: ${JSON.stringify(message)}`);
  const fallbackId = parsed.position === null ? "local:1" : `at:${parsed.position}`;
  return {
    message: parsed.message,
    fallbackId,
    arrivedAt: 1_763_900_100,
    snapshot: false,
    missed: false,
    ...change,
  };
}

export function delivered(message: object, change: Partial<Delivery> = {}): SessionEvent {
  return { type: "delivery", delivery: delivery(message, change) };
}

export function hint(change: Partial<Hint> = {}): Hint {
  return {
    id: "h1",
    named: true,
    text: "Slow down.",
    at: 1_763_900_000,
    status: "complete",
    priority: "normal",
    category: null,
    source: null,
    replyTo: null,
    expiresAt: null,
    marks: NO_MARKS,
    first: null,
    newest: null,
    ...change,
  };
}

export function line(change: Partial<Line> = {}): Line {
  return {
    id: "l1",
    text: "I never opened it.",
    speaker: "Actor",
    at: 1_763_900_000,
    final: true,
    first: null,
    newest: null,
    ...change,
  };
}
