import { Cursor } from "./cursor";
import type { Delivery } from "./delivery";
import type { Clock } from "./environment";
import type { MessageOf, Parsed } from "./messages";
import { isSamePlace, type Place } from "./place";

type MessageFrame = Extract<Parsed, { readonly kind: "message" }>;

export interface IntakeOptions {
  /** Gets each message that has not been delivered before, in order. */
  readonly onDelivery: (delivery: Delivery) => void;
  /** Called when the place has changed, after what changed it was delivered. */
  readonly onPlace: (place: Place) => void;
}

/**
 * Takes in what connections bring, one after the other: passes on what is new, and knows the place.
 *
 * `begin` with each `connection` message, `take` with each other frame that is not about the connection
 * alone, `report` after either, `abandon` when a connection is lost.
 */
export class Intake {
  readonly #clock: Clock;
  readonly #options: IntakeOptions;
  #cursor: Cursor;
  #place: Place;
  #localIds = 0;

  constructor(clock: Clock, from: Place, options: IntakeOptions) {
    this.#clock = clock;
    this.#options = options;
    this.#place = from;
    this.#cursor = new Cursor(from);
  }

  /** How far everything has been delivered and reported. */
  get place(): Place {
    return this.#place;
  }

  /** What `since` asks for. */
  get position(): string | null {
    return this.#cursor.position;
  }

  /** Begins anew with what a connection's first message says. */
  begin(message: MessageOf<"connection">): void {
    this.#cursor.begin(message);
  }

  /** Passes on a frame, unless it was passed on before or nobody can read it. */
  take(frame: Parsed): void {
    const verdict = this.#cursor.take(frame);
    if (verdict.apply && frame.kind === "message") this.deliver(frame, verdict);
  }

  /** Passes on a message whatever its position. */
  deliver(
    frame: MessageFrame,
    { snapshot, missed }: Pick<Delivery, "snapshot" | "missed"> = {
      snapshot: false,
      missed: false,
    },
  ): void {
    const nowMs = this.#clock.nowMs();
    this.#localIds += 1;
    this.#options.onDelivery({
      message: frame.message,
      // With the time: another client of the same page, after a reload too, counts from 1 as well.
      fallbackId:
        frame.position === null ? `local:${nowMs}.${this.#localIds}` : `at:${frame.position}`,
      arrivedAt: nowMs / 1_000,
      snapshot,
      missed,
    });
  }

  /** Tells whether the log's head proves that something was missed: then resume. */
  isBehind(head: string | null): boolean {
    return this.#cursor.heartbeat(head);
  }

  report(): void {
    const place = this.#cursor.place;
    if (isSamePlace(place, this.#place)) return;
    this.#place = place;
    this.#options.onPlace(place);
  }

  /** Forgets an unfinished snapshot: what comes next comes after an absence. */
  abandon(): void {
    this.#cursor.abandon();
  }

  /** Asks for all that is kept next, as if the page had nothing. */
  startOver(): void {
    this.#cursor = new Cursor({ position: null, standing: this.#cursor.place.standing });
  }
}
