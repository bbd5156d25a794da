import type { Message } from "./messages";

/** One message on its way from the connection to the page's state. */
export interface Delivery {
  readonly message: Message;
  /** Stands in for an id that the message doesn't have; the same again when it is repeated. */
  readonly fallbackId: string;
  /** Seconds since the epoch; stands in for a timestamp that the message doesn't have. */
  readonly arrivedAt: number;
  /** Part of a snapshot: authoritative for what it names. */
  readonly snapshot: boolean;
  /** Published while the page was away. */
  readonly missed: boolean;
}
