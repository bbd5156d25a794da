import * as v from "valibot";
import { retryAfterMs } from "./relay/retry-after";
import { type GetToken, TokenError } from "./relay/token-keeper";
import { isToken } from "./token";

const ANSWER = v.object({ token: v.string() });

/**
 * Returns a function that gets a token for the session from the application's own server.
 *
 * It asks `GET <address>?session=<id>` with the person's cookies, and wants `{"token":"…"}`.
 *
 * @param configured `NEXT_PUBLIC_TOKEN_URL`, absolute or relative to the page; empty: null is returned
 * @param page the page's own address
 */
export function tokenEndpoint(
  configured: string | undefined,
  session: string,
  page: string,
  get: typeof fetch = (...request) => fetch(...request),
): GetToken | null {
  const wanted = configured?.trim();
  if (!wanted) return null;
  return async (signal) => {
    if (!URL.canParse(wanted, page)) {
      throw new TokenError(`NEXT_PUBLIC_TOKEN_URL is not an address: ${wanted}`);
    }
    const url = new URL(wanted, page);
    url.searchParams.set("session", session);
    const response = await get(url.href, {
      credentials: "include",
      cache: "no-store",
      headers: { Accept: "application/json" },
      signal,
    }).catch(() => {
      throw new TokenError("It can't be reached.");
    });
    const { status } = response;
    if (status === 401 || status === 403) throw new TokenError(`It answered ${status}.`, true);
    if (!response.ok) {
      const waitMs = retryAfterMs(response.headers.get("Retry-After"), Date.now());
      throw new TokenError(`It answered ${status}.`, false, waitMs);
    }
    const body: unknown = await response.json().catch(() => null);
    const answer = v.safeParse(ANSWER, body);
    if (!answer.success || !isToken(answer.output.token)) {
      throw new TokenError("Its answer holds no token.");
    }
    return answer.output.token;
  };
}
