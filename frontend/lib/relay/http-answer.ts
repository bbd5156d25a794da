import * as v from "valibot";
import { retryAfterMs } from "./retry-after";

/** What an answer over HTTP says, as far as it could be read. */
export interface HttpAnswer {
  readonly status: number;
  /** The body as JSON; null where it is none. */
  readonly body: unknown;
  /** How long to wait before another try, in ms. */
  readonly retryAfterMs: number | null;
}

/** What would have come over a socket: frames, and a close code. */
export interface Refusal {
  readonly frame: Readonly<Record<string, unknown>>;
  readonly code: number;
}

// A problem's details (RFC 9457), with the relay's own fields.
const PROBLEM = v.object({
  title: v.nullish(v.string()),
  detail: v.nullish(v.string()),
  code: v.nullish(v.string()),
  retry_after_ms: v.nullish(v.pipe(v.number(), v.minValue(0))),
});
const PUBLISHED = v.object({
  messages: v.pipe(v.array(v.object({ position: v.nullish(v.string()) })), v.minLength(1)),
});

/** Reads an answer; a body that is no JSON, as proxies send them, is as good as none. */
export async function readAnswer(response: Response, nowMs: number): Promise<HttpAnswer> {
  const { status } = response;
  const body: unknown = await response.json().catch(() => null);
  const problem = v.safeParse(PROBLEM, body);
  const inBody = problem.success ? (problem.output.retry_after_ms ?? null) : null;
  const inHeader = retryAfterMs(response.headers.get("Retry-After"), nowMs);
  return { status, body, retryAfterMs: inBody ?? inHeader };
}

/** Returns what a socket would have said in the place of a stream that was refused. */
export function streamRefusal(answer: HttpAnswer): Refusal {
  return { frame: errorFrame(answer), code: closeCodeOf(answer.status) };
}

/**
 * Returns what a socket would have said about a message that was sent with POST; null for nothing.
 *
 * @param ref the message's id; one without is answered only when it could not be taken
 */
export function answerFrame(ref: string | null, answer: HttpAnswer): object | null {
  if (answer.status < 200 || answer.status > 299) return { ...errorFrame(answer), ref };
  const published = v.safeParse(PUBLISHED, answer.body);
  // Some portal's page, say: whatever answered, it was no relay.
  if (!published.success) return unknownOutcome(ref, "The answer can't be read.");
  const position = published.output.messages[0]?.position ?? null;
  return ref === null ? null : { type: "ack", ref, position };
}

/** Returns what stands for an answer that never came: it may have been published, or not. */
export function unknownOutcome(ref: string | null, text: string): object {
  return { type: "error", code: "unavailable", text, ref };
}

function errorFrame(answer: HttpAnswer): Record<string, unknown> {
  const problem = v.safeParse(PROBLEM, answer.body);
  const said = problem.success ? problem.output : null;
  return {
    type: "error",
    code: codeOf(answer.status, said?.code ?? null),
    text: said?.detail ?? said?.title ?? `The relay answered ${answer.status}.`,
    ...(answer.retryAfterMs === null ? {} : { retry_after_ms: answer.retryAfterMs }),
  };
}

/** Goes by the status where that decides whether to send again; else by what the relay says. */
function codeOf(status: number, said: string | null): string {
  if (status === 429) return "rate_limited";
  // A token that has just ended: the stream ends, too, and the next one has another.
  if (status === 401 || status === 408 || status >= 500) return "unavailable";
  return said ?? (status === 403 ? "forbidden" : "bad_request");
}

function closeCodeOf(status: number): number {
  switch (status) {
    case 401:
    case 403:
      return 1008;
    case 400:
      return 4101;
    default:
      return 1006;
  }
}
