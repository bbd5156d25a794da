import * as v from "valibot";
import type { Environment } from "./environment";
import { FEEDBACK_ACTIONS, type Message } from "./messages";
import {
  arrived,
  due,
  EMPTY_OUTBOX,
  heard,
  type Letter,
  MAX_LETTERS,
  type Outbox,
  type Outgoing,
  post,
  reconnected,
  refusedAsTooBig,
  sent,
  type Wish,
  without,
} from "./outbox";
import type { TabStorage } from "./store";

export interface SenderOptions {
  /** Puts a message on the present connection; false when there is none. */
  readonly send: (message: Outgoing) => boolean;
  readonly onChange: (outbox: Outbox) => void;
  /** Called once for each letter that the relay refused for good, and that leaves the outbox so. */
  readonly onRefused: (letter: Letter) => void;
}

/** As long as relays keep a session by default. */
const MAX_AGE_MS = 24 * 3_600 * 1_000;

const id = v.pipe(v.string(), v.minLength(1), v.maxLength(128));
const MESSAGE = v.union([
  v.object({
    type: v.literal("feedback"),
    id,
    hint: v.string(),
    action: v.picklist(FEEDBACK_ACTIONS),
  }),
  v.object({ type: v.literal("command"), id, name: v.literal("cancel"), hint: v.string() }),
  v.object({ type: v.literal("command"), id, name: v.literal("steer"), text: v.string() }),
]);
const LETTERS = v.pipe(
  v.array(
    v.object({
      message: MESSAGE,
      writtenMs: v.number(),
      phase: v.picklist(["waiting", "sent", "accepted", "refused"]),
      tries: v.number(),
      dueMs: v.number(),
      position: v.nullable(v.string()),
      reason: v.nullable(v.string()),
    }),
  ),
  v.maxLength(MAX_LETTERS),
);

/**
 * Sends what the facilitator wants said, until the relay has taken it: over reconnects, relays and
 * reloads of the tab, each under one id.
 *
 * `connected` after each connection's first message, `take` with everything that was applied to the
 * page, `close` once.
 */
export class Sender {
  readonly #storage: TabStorage | null;
  readonly #key: string;
  readonly #environment: Environment;
  readonly #options: SenderOptions;
  #outbox: Outbox;
  #timer: unknown = null;

  constructor(
    storage: TabStorage | null,
    session: string,
    environment: Environment,
    options: SenderOptions,
  ) {
    this.#storage = storage;
    this.#key = `hint-relay:outbox:${session}`;
    this.#environment = environment;
    this.#options = options;
    this.#outbox = this.#load();
  }

  get outbox(): Outbox {
    return this.#outbox;
  }

  /** Sends a wish as soon as there is a connection; false when too many are waiting. */
  post(wish: Wish): boolean {
    const message = { ...wish, id: this.#environment.newId() };
    const outbox = post(this.#outbox, message, this.#environment.nowMs());
    if (outbox === null) return false;
    this.#set(outbox);
    this.#deliver();
    return true;
  }

  /** Sends a refused letter's wish again, as another letter. */
  repost(letterId: string): void {
    const letter = this.#outbox.find(({ message }) => message.id === letterId);
    if (letter?.phase !== "refused") return;
    this.#set(without(this.#outbox, letterId));
    this.post(letter.message);
  }

  /** Forgets a letter that was refused. */
  discard(letterId: string): void {
    const letter = this.#outbox.find(({ message }) => message.id === letterId);
    if (letter?.phase === "refused") this.#set(without(this.#outbox, letterId));
  }

  /** Is told of each new connection: what has no answer is sent again. */
  connected(): void {
    this.#set(reconnected(this.#outbox, this.#environment.nowMs()));
    this.#deliver();
  }

  /** Takes in messages that the page shows from now on, and how far they reach. */
  take(messages: readonly Message[], position: string | null): void {
    const nowMs = this.#environment.nowMs();
    let outbox = this.#outbox;
    for (const message of messages) {
      outbox = heard(outbox, message, nowMs, () => this.#environment.random());
    }
    this.#takeOver(arrived(outbox, position));
  }

  /** Is told that the relay hung up on something too big, which must not be sent for ever. */
  tooBig(): void {
    this.#takeOver(refusedAsTooBig(this.#outbox));
  }

  #takeOver(after: Outbox): void {
    if (after === this.#outbox) return;
    let outbox = after;
    const before = this.#outbox;
    const refused = outbox.filter(
      (letter) => letter.phase === "refused" && !before.includes(letter),
    );
    // A refused steer stays, to be seen beside the others and sent again; the rest is undone.
    const undone = refused.filter(({ message }) => !isSteer(message));
    for (const { message } of undone) outbox = without(outbox, message.id);
    this.#set(outbox);
    for (const letter of undone) this.#options.onRefused(letter);
    this.#deliver();
  }

  /** Stops; what has not been taken waits for the next page of this tab. */
  close(): void {
    this.#clear();
  }

  #deliver = (): void => {
    this.#clear();
    const { now, nextMs } = due(this.#outbox, this.#environment.nowMs());
    let outbox = this.#outbox;
    for (const message of now) {
      // Without a connection, the next one will ask.
      if (!this.#options.send(message)) break;
      outbox = sent(outbox, message.id);
    }
    this.#set(outbox);
    if (nextMs === null) return;
    const delayMs = Math.max(0, nextMs - this.#environment.nowMs());
    this.#timer = this.#environment.setTimer(this.#deliver, delayMs);
  };

  #clear(): void {
    if (this.#timer !== null) this.#environment.clearTimer(this.#timer);
    this.#timer = null;
  }

  #set(outbox: Outbox): void {
    if (outbox === this.#outbox) return;
    this.#outbox = outbox;
    this.#save();
    this.#options.onChange(outbox);
  }

  #load(): Outbox {
    try {
      const text = this.#storage?.getItem(this.#key) ?? null;
      if (text === null) return EMPTY_OUTBOX;
      const result = v.safeParse(LETTERS, JSON.parse(text), { abortEarly: true });
      if (!result.success) return EMPTY_OUTBOX;
      const nowMs = this.#environment.nowMs();
      const young = result.output.filter(({ writtenMs }) => nowMs - writtenMs <= MAX_AGE_MS);
      return reconnected(young, nowMs);
    } catch {
      // Forbidden, or not JSON: there is nothing to go on from.
      return EMPTY_OUTBOX;
    }
  }

  #save(): void {
    try {
      if (this.#outbox.length === 0) this.#storage?.removeItem(this.#key);
      else this.#storage?.setItem(this.#key, JSON.stringify(this.#outbox));
    } catch {
      // Forbidden or full: letters last as long as the page.
    }
  }
}

function isSteer(message: Outgoing): boolean {
  return message.type === "command" && message.name === "steer";
}
