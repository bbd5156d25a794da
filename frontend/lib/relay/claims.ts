import * as v from "valibot";

/** What a token says about itself. Nobody has checked it: good for guesses, never for trust. */
export interface Claims {
  /** Seconds since the epoch. */
  readonly expiresAt: number | null;
  readonly role: string | null;
}

const NOTHING: Claims = { expiresAt: null, role: null };
const PAYLOAD = v.object({ exp: v.number(), role: v.nullish(v.string()) });

/** Reads a JWT's claims (RFC 7519 §4); of a token that is none, it knows nothing. */
export function claimsOf(token: string | null): Claims {
  const part = token?.split(".")[1];
  if (part === undefined) return NOTHING;
  try {
    const bytes = Uint8Array.from(atob(part.replaceAll("-", "+").replaceAll("_", "/")), (char) =>
      char.charCodeAt(0),
    );
    const result = v.safeParse(PAYLOAD, JSON.parse(new TextDecoder().decode(bytes)));
    if (!result.success) return NOTHING;
    return { expiresAt: result.output.exp, role: result.output.role ?? "facilitator" };
  } catch {
    return NOTHING;
  }
}
