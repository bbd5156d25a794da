/** One row of the table of close codes; `tests/golden/close_codes.json` holds both languages to it. */
export interface CloseCode {
  readonly code: number;
  readonly name: string;
  readonly reason: string;
  /** Whether the client comes back by itself. */
  readonly reconnect: boolean;
}

export const CLOSE_CODES = [
  { code: 1000, name: "normal", reason: "", reconnect: false },
  { code: 1001, name: "going_away", reason: "Going away", reconnect: true },
  { code: 1006, name: "abnormal", reason: "", reconnect: true },
  { code: 1007, name: "invalid_data", reason: "Invalid data", reconnect: false },
  { code: 1008, name: "unauthorized", reason: "Unauthorized", reconnect: false },
  { code: 1009, name: "too_big", reason: "Message too big", reconnect: false },
  { code: 1011, name: "internal_error", reason: "Internal error", reconnect: true },
  { code: 1012, name: "restart", reason: "Service restart", reconnect: true },
  { code: 4001, name: "drain", reason: "Draining", reconnect: true },
  { code: 4002, name: "too_slow", reason: "Too slow", reconnect: true },
  { code: 4003, name: "no_pong", reason: "No pong", reconnect: true },
  { code: 4004, name: "token_expired", reason: "Token expired", reconnect: true },
  { code: 4005, name: "broker_lost", reason: "Broker lost", reconnect: true },
  { code: 4101, name: "bad_request", reason: "Bad request", reconnect: false },
  { code: 4102, name: "limit_reached", reason: "Limit reached", reconnect: false },
  { code: 4103, name: "kicked", reason: "Kicked", reconnect: false },
] as const satisfies readonly CloseCode[];

export type CloseName = (typeof CLOSE_CODES)[number]["name"];

const BY_CODE: ReadonlyMap<number, (typeof CLOSE_CODES)[number]> = new Map(
  CLOSE_CODES.map((row) => [row.code, row]),
);

/** Returns the name of a close code, or null for one that the table doesn't have. */
export function closeName(code: number): CloseName | null {
  return BY_CODE.get(code)?.name ?? null;
}

/**
 * Decides by the number alone whether to come back.
 *
 * Codes that the table doesn't have yet go by their range: 4100–4199 stay away; anything else is
 * taken for a failure that passes, since a page that gives up needs a person to notice.
 */
export function shouldReconnect(code: number): boolean {
  const row = BY_CODE.get(code);
  if (row !== undefined) return row.reconnect;
  return code < 4100 || code > 4199;
}
