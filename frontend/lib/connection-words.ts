import type { ConnectionState, ConnectionStatus } from "./relay/client";
import type { Problem } from "./relay/problem";

/** The word beside the status dot. */
export const STATUS_WORDS: Readonly<Record<ConnectionStatus, string>> = {
  connecting: "Connecting…",
  connected: "Connected",
  reconnecting: "Reconnecting…",
  offline: "Offline",
  refused: "Access refused",
  closed: "Disconnected",
};

/** What the empty panel says below "Hints will appear here". */
export const WAITING_WORDS: Readonly<Record<ConnectionStatus, string>> = {
  connecting: "Connecting to the relay…",
  connected: "Connected, and waiting for the first one.",
  reconnecting: "The connection is lost. Trying to reconnect…",
  offline: "This device is offline. They will come when it is back.",
  refused: "Not connected: the relay refused access.",
  closed: "Not connected.",
};

export interface Explanation {
  readonly title: string;
  readonly text: string;
  /** Whether trying again could help without anything else being done first. */
  readonly canRetry: boolean;
}

const INSECURE =
  "This page is served over https, so the relay must be reachable over wss. " +
  "Serve the relay over TLS, or set NEXT_PUBLIC_WS_URL to a wss:// address.";

/** Says what is wrong and what to do about it. */
export function explainProblem(problem: Problem): Explanation {
  const { detail } = problem;
  switch (problem.kind) {
    case "unauthorized":
      return {
        title: "Access was refused",
        text: "This link doesn't open the session, or no longer does. Ask for a new link.",
        canRetry: false,
      };
    case "bad_request":
      return { title: "The relay refused this request", text: detail, canRetry: true };
    case "limit_reached":
      return { title: "A limit of the relay is reached", text: detail, canRetry: true };
    case "kicked":
      return {
        title: "An operator ended this connection",
        text: "Ask them before you come back.",
        canRetry: true,
      };
    case "too_big":
      return {
        title: "The relay ended the connection",
        text: "What was sent last is too long for it.",
        canRetry: true,
      };
    case "ended":
      return { title: "The relay ended the connection", text: detail, canRetry: true };
    case "mixed_content":
      return { title: "The browser blocked the connection", text: INSECURE, canRetry: false };
    case "bad_address":
      return { title: "The relay's address can't be used", text: detail, canRetry: false };
  }
}

/** Says why there is no connection yet or any more; null while there is nothing to say. */
export function explainConnection(
  connection: ConnectionState,
  upgraded: boolean,
): Explanation | null {
  if (connection.problem !== null) return explainProblem(connection.problem);
  if (connection.status === "offline") {
    return {
      title: "This device is offline",
      text: "It reconnects when the network is back.",
      canRetry: connection.socket === null,
    };
  }
  if (connection.status !== "reconnecting") return null;
  if (connection.everConnected) return { title: "Connection lost", text: "", canRetry: true };
  return {
    title: "The relay doesn't answer",
    text: upgraded ? INSECURE : "",
    canRetry: true,
  };
}
