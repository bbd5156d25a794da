import * as v from "valibot";
import { parsePosition } from "./position";

const position = v.pipe(
  v.string(),
  v.check((text) => parsePosition(text) !== null, "is not a position"),
);
const text = v.nullish(v.string());
// Seconds since the epoch.
const timestamp = v.nullish(v.pipe(v.number(), v.minValue(0)));
const count = v.pipe(v.number(), v.integer(), v.minValue(0));
// Any text: a role that the page doesn't know yet must not cost it the message.
const role = text;
const kept = { position: v.nullish(position), id: text, timestamp };

/** How many hints one `seen` may name. */
export const MAX_SEEN = 100;

export const FEEDBACK_ACTIONS = [
  "used",
  "dismissed",
  "restored",
  "helpful",
  "unhelpful",
  "unrated",
  "pinned",
  "unpinned",
] as const;
export type FeedbackAction = (typeof FEEDBACK_ACTIONS)[number];

// Loose objects: a producer may put fields of its own beside these, and they stay.
const SCHEMAS = {
  connection: v.looseObject({
    type: v.literal("connection"),
    status: v.literal("connected"),
    session: text,
    position: v.nullish(position),
    recovered: v.nullish(v.boolean()),
    snapshot: v.nullish(count),
    heartbeat_s: v.nullish(v.pipe(v.number(), v.gtValue(0))),
    you: text,
    // Of the token that the connection was made with; both absent on a relay that needs none.
    expires_at: timestamp,
    role,
  }),
  hint: v.looseObject({
    type: v.literal("hint"),
    ...kept,
    text: v.string(),
    status: v.nullish(v.picklist(["streaming", "complete", "cancelled", "interrupted"])),
    // Where a hint first appeared that stands further on, with all its text so far.
    began: v.nullish(position),
    priority: v.nullish(v.picklist(["low", "normal", "high"])),
    category: text,
    source: text,
    reply_to: text,
    expires_at: timestamp,
    meta: v.nullish(v.record(v.string(), v.unknown())),
  }),
  append: v.looseObject({
    type: v.literal("append"),
    position: v.nullish(position),
    id: v.string(),
    // The length of the text that it continues, in UTF-16 code units.
    at: v.nullish(count),
    text: v.string(),
    status: v.nullish(v.picklist(["complete", "cancelled", "interrupted"])),
  }),
  transcript: v.looseObject({
    type: v.literal("transcript"),
    ...kept,
    text: v.string(),
    speaker: text,
    final: v.nullish(v.boolean()),
  }),
  feedback: v.looseObject({
    type: v.literal("feedback"),
    ...kept,
    hint: v.string(),
    action: v.picklist(FEEDBACK_ACTIONS),
    by: text,
  }),
  command: v.looseObject({
    type: v.literal("command"),
    ...kept,
    name: v.picklist(["cancel", "steer"]),
    hint: text,
    text,
    by: text,
  }),
  // This one and `refresh` are only ever sent; here so that both languages agree on them.
  seen: v.looseObject({
    type: v.literal("seen"),
    hints: v.pipe(v.array(v.string()), v.minLength(1), v.maxLength(MAX_SEEN)),
  }),
  refresh: v.looseObject({ type: v.literal("refresh"), token: v.string() }),
  refreshed: v.looseObject({ type: v.literal("refreshed"), expires_at: timestamp, role }),
  presence: v.looseObject({
    type: v.literal("presence"),
    facilitators: count,
    who: v.nullish(v.array(v.string())),
  }),
  heartbeat: v.looseObject({ type: v.literal("heartbeat"), position: v.nullish(position) }),
  ack: v.looseObject({ type: v.literal("ack"), ref: v.string(), position: v.nullish(position) }),
  error: v.looseObject({
    type: v.literal("error"),
    position: v.nullish(position),
    text: v.string(),
    code: text,
    ref: text,
    retry_after_ms: v.nullish(v.pipe(v.number(), v.minValue(0))),
  }),
  drain: v.looseObject({
    type: v.literal("drain"),
    reconnect_after_ms: count,
  }),
} as const;

type Schemas = typeof SCHEMAS;
export type MessageType = keyof Schemas;
export type MessageOf<T extends MessageType> = v.InferOutput<Schemas[T]>;
/** A message that the page knows; a union to switch on by `type`. */
export type Message = { [T in MessageType]: MessageOf<T> }[MessageType];

/** What became of one frame. `position` is the text from the frame where it has a valid one. */
export type Parsed =
  | { readonly kind: "message"; readonly message: Message; readonly position: string | null }
  | { readonly kind: "unknown"; readonly type: string; readonly position: string | null }
  | { readonly kind: "invalid"; readonly reason: string; readonly position: string | null };

/**
 * Reads one frame from the relay. Never throws.
 *
 * The relay forwards what producers publish without looking at it, so anything may arrive here. The
 * position is reported for unusable frames too: they hold a place in the log like any other.
 */
export function parseMessage(frame: unknown): Parsed {
  if (typeof frame !== "string") return invalid("not a text frame", null);
  let value: unknown;
  try {
    value = JSON.parse(frame);
  } catch {
    return invalid("not JSON", null);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return invalid("not a JSON object", null);
  }
  const fields = value as Record<string, unknown>;
  const at = parsePosition(fields.position) === null ? null : (fields.position as string);
  const type = fields.type;
  if (typeof type !== "string") return invalid("no type", at);
  if (!Object.hasOwn(SCHEMAS, type)) return { kind: "unknown", type, position: at };
  const result = v.safeParse(SCHEMAS[type as MessageType], value, { abortEarly: true });
  if (result.success) return { kind: "message", message: result.output, position: at };
  const issue = result.issues[0];
  return invalid(`${type}: ${v.getDotPath(issue) ?? "message"} ${issue.message}`, at);
}

function invalid(reason: string, position: string | null): Parsed {
  return { kind: "invalid", reason, position };
}
