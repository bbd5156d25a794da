import closeCodes from "../../../tests/golden/close_codes.json";
import messages from "../../../tests/golden/messages.json";

/** The files that hold the relay and the page to one protocol. */
export const GOLDEN_CODES: readonly {
  code: number;
  name: string;
  reason: string;
  reconnect: boolean;
}[] = closeCodes;

export const GOLDEN_MESSAGES: {
  valid: readonly { name: string; message: Record<string, unknown> & { type: string } }[];
  unknown: readonly { name: string; message: { type: string } }[];
  invalid: readonly { name: string; text: string }[];
} = messages;
