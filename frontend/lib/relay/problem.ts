import { closeName } from "./codes";

/** Why the client stopped and won't come back by itself. */
export type ProblemKind =
  | "unauthorized"
  | "forbidden"
  | "signed_out"
  | "bad_request"
  | "limit_reached"
  | "kicked"
  | "too_big"
  | "ended"
  | "mixed_content"
  | "bad_address";

export interface Problem {
  readonly kind: ProblemKind;
  /** What the relay or the browser said about it; may be empty. */
  readonly detail: string;
  /** Whether there is somebody to ask for another token. */
  readonly renewable?: boolean;
}

/**
 * Returns the problem behind a close code that stays away.
 *
 * @param forbidden whether the relay said that access is not for this page or token
 */
export function problemOfClose(code: number, detail: string, forbidden = false): Problem {
  const name = closeName(code);
  switch (name) {
    case "unauthorized":
      return { kind: forbidden ? "forbidden" : name, detail };
    case "bad_request":
    case "limit_reached":
    case "kicked":
    case "too_big":
      return { kind: name, detail };
    default:
      // Codes of this range are refusals, also those that the table doesn't have yet.
      return { kind: code >= 4100 && code <= 4199 ? "bad_request" : "ended", detail };
  }
}

/** Returns the problem behind what `new WebSocket` threw. */
export function problemOfThrow(error: unknown): Problem {
  const name = error instanceof Error || error instanceof DOMException ? error.name : "";
  const detail = error instanceof Error ? error.message : String(error);
  return { kind: name === "SecurityError" ? "mixed_content" : "bad_address", detail };
}

/** Tells whether another token would help. */
export function needsToken(problem: Problem): boolean {
  return ["unauthorized", "forbidden", "signed_out"].includes(problem.kind);
}

/** Tells whether the relay turned the page away, rather than the conversation having ended. */
export function isRefusal(problem: Problem): boolean {
  return !["ended", "too_big", "mixed_content", "bad_address"].includes(problem.kind);
}
