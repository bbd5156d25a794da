import type { ConnectionState, ConnectionStatus } from "./relay/connection-state";
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
  reconnecting: "Not connected. Trying to reconnect…",
  offline: "This device is offline. They will come when it is back.",
  refused: "Not connected: access was refused.",
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

/** What a token is asked of, to people who have never heard of tokens. */
const TOKEN_SERVICE = "The sign-in service";
const NO_ACCESS = "No access to this session";
/** A single failure heals within a second or two, and matters to nobody. */
const FAILURES_TO_TELL = 2;

/**
 * Says what is wrong and what to do about it.
 *
 * @param wasConnected whether it worked before
 */
export function explainProblem(problem: Problem, wasConnected = false): Explanation {
  const { detail } = problem;
  switch (problem.kind) {
    case "unauthorized":
      return {
        title: wasConnected ? "Your link is not valid any more" : "Your link is not valid",
        text: sentences(
          // The close code's own name says nothing that the title doesn't.
          detail === "Unauthorized" ? "" : detail,
          problem.renewable ? "Sign in again, or ask for a new link." : "Ask for a new link.",
        ),
        canRetry: problem.renewable === true,
      };
    case "forbidden":
      // The link may be for another session; or it is good, and the page stands where it may not.
      return {
        title: NO_ACCESS,
        text: sentences(detail, "Ask whoever gave you the link."),
        canRetry: problem.renewable === true,
      };
    case "signed_out":
      return {
        title: NO_ACCESS,
        text: sentences(`${TOKEN_SERVICE} gave none.`, detail, "Sign in, then try again."),
        canRetry: true,
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
  const { problem, tokenTrouble, everConnected, turnedAway } = connection;
  if (problem !== null) return explainProblem(problem, everConnected);
  if (connection.status === "offline") {
    return {
      title: "This device is offline",
      text: "It reconnects when the network is back.",
      canRetry: connection.socket === null,
    };
  }
  if (connection.status !== "reconnecting") return null;
  if (tokenTrouble?.kind === "not_given") {
    return { title: `${TOKEN_SERVICE} fails`, text: tokenTrouble.detail, canRetry: true };
  }
  if (everConnected) return { title: "Connection lost", text: turnedAway, canRetry: true };
  if (turnedAway !== "") return { title: "Not connected yet", text: turnedAway, canRetry: true };
  return {
    title: "The relay doesn't answer",
    text: upgraded ? INSECURE : "",
    canRetry: true,
  };
}

/** Says, while all still works, that there is no new token; null while there is nothing to say. */
export function explainTokenTrouble(connection: ConnectionState): string | null {
  const { status, tokenTrouble } = connection;
  if (status !== "connected" || tokenTrouble === null) return null;
  if (tokenTrouble.kind === "not_taken") {
    return sentences("The relay did not take the new link.", tokenTrouble.detail, STAYS);
  }
  if (tokenTrouble.failures < FAILURES_TO_TELL) return null;
  return sentences(`${TOKEN_SERVICE} does not renew your access.`, tokenTrouble.detail, STAYS);
}

const STAYS = "You stay connected until your access ends.";

function sentences(...parts: readonly string[]): string {
  return parts.filter((part) => part !== "").join(" ");
}
