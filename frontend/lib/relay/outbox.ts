import { backoffMs } from "./backoff";
import { kindOf } from "./marks";
import type { FeedbackAction, Message, MessageOf } from "./messages";
import { isCovered, parsePosition } from "./position";

/** What a facilitator sends: what was done with a hint, or what the agent should do. */
export type Wish =
  | { readonly type: "feedback"; readonly hint: string; readonly action: FeedbackAction }
  | { readonly type: "command"; readonly name: "cancel"; readonly hint: string }
  | { readonly type: "command"; readonly name: "steer"; readonly text: string };

/** A wish under the id that makes it one and the same however often it is sent. */
export type Outgoing = Wish & { readonly id: string };

/**
 * Waiting to be sent; sent on the present connection, and unanswered; accepted by the relay, and not
 * yet come back with the others' messages; refused for good.
 */
export type LetterPhase = "waiting" | "sent" | "accepted" | "refused";

/** One message on its way to the relay. */
export interface Letter {
  readonly message: Outgoing;
  /** When it was written, in ms since the epoch. */
  readonly writtenMs: number;
  readonly phase: LetterPhase;
  /** How often it was put on a socket: once may be enough for it to have arrived. */
  readonly tries: number;
  /** Not to be sent before, in ms since the epoch. */
  readonly dueMs: number;
  /** Where it stands in the log, once it is accepted. */
  readonly position: string | null;
  /** Why it was refused. */
  readonly reason: string | null;
}

/** The letters, in the order in which they were written. */
export type Outbox = readonly Letter[];

export const EMPTY_OUTBOX: Outbox = [];
/** Beyond that, something is wrong that more letters won't heal. */
export const MAX_LETTERS = 100;
const RETRY_AFTER_MS = 1_000;
const MAX_RETRY_AFTER_MS = 60_000;

/**
 * Adds a letter; null when too many are waiting.
 *
 * It takes the place of what was never sent and would be taken back by it.
 */
export function post(outbox: Outbox, message: Outgoing, nowMs: number): Outbox | null {
  const lane = laneOf(message);
  const others = outbox.filter(
    (letter) =>
      letter.phase !== "waiting" ||
      letter.tries > 0 ||
      lane === STEERING ||
      laneOf(letter.message) !== lane,
  );
  if (others.length >= MAX_LETTERS) return null;
  const letter: Letter = {
    message,
    writtenMs: nowMs,
    phase: "waiting",
    tries: 0,
    dueMs: nowMs,
    position: null,
    reason: null,
  };
  return [...others, letter];
}

/** Notes that there is a new connection: nobody knows what of the sent has arrived over the last. */
export function reconnected(outbox: Outbox, nowMs: number): Outbox {
  if (outbox.length === 0) return outbox;
  return outbox.map((letter) =>
    letter.phase === "waiting" || letter.phase === "sent"
      ? { ...letter, phase: "waiting", dueMs: nowMs }
      : letter,
  );
}

/**
 * Returns what is to be sent now, and when there will be more.
 *
 * What is about the same thing goes one after the other: of two that overtake each other, the wrong
 * one would hold.
 */
export function due(outbox: Outbox, nowMs: number): { now: Outgoing[]; nextMs: number | null } {
  const busy = new Set<string>();
  const now: Outgoing[] = [];
  let nextMs: number | null = null;
  for (const letter of outbox) {
    if (letter.phase === "accepted" || letter.phase === "refused") continue;
    const lane = laneOf(letter.message);
    if (busy.has(lane)) continue;
    busy.add(lane);
    if (letter.phase === "sent") continue;
    if (letter.dueMs <= nowMs) now.push(letter.message);
    else nextMs = Math.min(nextMs ?? letter.dueMs, letter.dueMs);
  }
  return { now, nextMs };
}

/** Notes that a letter was put on the present connection. */
export function sent(outbox: Outbox, id: string): Outbox {
  return change(outbox, id, (letter) => ({ ...letter, phase: "sent", tries: letter.tries + 1 }));
}

/**
 * Takes in what the relay says.
 *
 * A letter leaves when it comes back with everybody's messages, so that what it did is never shown
 * twice or not at all. After an `ack` it only waits for that.
 */
export function heard(
  outbox: Outbox,
  message: Message,
  nowMs: number,
  random: () => number,
): Outbox {
  switch (message.type) {
    case "feedback":
    case "command":
      return message.id ? without(outbox, message.id) : outbox;
    case "ack": {
      const { position } = message;
      if (!position) return without(outbox, message.ref);
      return change(outbox, message.ref, (letter) => ({ ...letter, phase: "accepted", position }));
    }
    case "error":
      if (!message.ref || message.position) return outbox;
      return change(outbox, message.ref, (letter) => afterError(letter, message, nowMs, random));
    default:
      return outbox;
  }
}

/** Notes that the relay hung up on something too big: of what has no answer, the biggest is meant. */
export function refusedAsTooBig(outbox: Outbox): Outbox {
  const size = ({ message }: Letter) => JSON.stringify(message).length;
  const [biggest] = outbox
    .filter(({ phase }) => phase === "sent")
    .toSorted((one, other) => size(other) - size(one));
  if (biggest === undefined) return outbox;
  return change(outbox, biggest.message.id, (letter) => ({
    ...letter,
    phase: "refused",
    reason: "It is too long for the relay.",
  }));
}

/** Drops what was accepted and must have come back: the page has everything up to there. */
export function arrived(outbox: Outbox, position: string | null): Outbox {
  const place = parsePosition(position);
  if (place === null) return outbox;
  const left = outbox.filter((letter) => {
    const at = parsePosition(letter.position);
    if (letter.phase !== "accepted" || at === null) return true;
    return !(isCovered(at, place) || at.epoch < place.epoch);
  });
  return left.length === outbox.length ? outbox : left;
}

/** Takes a letter out, whatever became of it. */
export function without(outbox: Outbox, id: string): Outbox {
  const left = outbox.filter((letter) => letter.message.id !== id);
  return left.length === outbox.length ? outbox : left;
}

function afterError(
  letter: Letter,
  error: MessageOf<"error">,
  nowMs: number,
  random: () => number,
): Letter {
  // An answer to a try before the one that was accepted.
  if (letter.phase === "accepted") return letter;
  switch (error.code) {
    case "rate_limited": {
      const waitMs = Math.min(error.retry_after_ms ?? RETRY_AFTER_MS, MAX_RETRY_AFTER_MS);
      return { ...letter, phase: "waiting", dueMs: nowMs + waitMs };
    }
    case "unavailable": {
      const leaveMs = Math.min(error.retry_after_ms ?? 0, MAX_RETRY_AFTER_MS);
      const waitMs = leaveMs + backoffMs(Math.max(0, letter.tries - 1), random);
      return { ...letter, phase: "waiting", dueMs: nowMs + waitMs };
    }
    default:
      return { ...letter, phase: "refused", reason: error.text };
  }
}

function change(outbox: Outbox, id: string, to: (letter: Letter) => Letter): Outbox {
  const index = outbox.findIndex((letter) => letter.message.id === id);
  const letter = outbox[index];
  return letter === undefined ? outbox : outbox.with(index, to(letter));
}

const STEERING = "steer";

function laneOf(message: Outgoing): string {
  if (message.type === "feedback") return `${kindOf(message.action)} ${message.hint}`;
  return message.name === "steer" ? STEERING : `cancel ${message.hint}`;
}
