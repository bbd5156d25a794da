import type { SocketLike } from "./environment";
import type { Problem } from "./problem";

export type ConnectionStatus =
  | "connecting"
  | "connected"
  | "reconnecting"
  | "offline"
  | "refused"
  | "closed";

/** Why there is no new token. It matters when the present one ends, or where there is none. */
export interface TokenTrouble {
  /** The application gives none; or the relay kept to the one that it had. */
  readonly kind: "not_given" | "not_taken";
  /** A sentence about it, from the application or the relay. */
  readonly detail: string;
  /** How often in a row. */
  readonly failures: number;
}

/** What there is to know about the connection; a new object after each change. */
export interface ConnectionState {
  readonly status: ConnectionStatus;
  readonly socket: SocketLike | null;
  /** Tries that failed since the last success. */
  readonly attempt: number;
  /** When the next try is due, on the environment's clock; null while none is waited for. */
  readonly retryAtMs: number | null;
  /** Why the client has stopped; null unless the status is `refused` or `closed`. */
  readonly problem: Problem | null;
  /** What the relay said when it last let nobody in for a while; empty when it said nothing. */
  readonly turnedAway: string;
  /** Whether the relay has ever answered. */
  readonly everConnected: boolean;
  /** Whether WebSockets don't get through here, so that an event stream stands in for them. */
  readonly fallback: boolean;
  /** What the token's holder may do; null where the relay needs no token, or nothing is known yet. */
  readonly role: string | null;
  /** Null while tokens are had, or none is needed. */
  readonly tokenTrouble: TokenTrouble | null;
}

export const INITIAL_STATE: ConnectionState = {
  status: "connecting",
  socket: null,
  attempt: 0,
  retryAtMs: null,
  problem: null,
  turnedAway: "",
  everConnected: false,
  fallback: false,
  role: null,
  tokenTrouble: null,
};
