/** The parts of a browser window that a token passes through: `window` fits. */
export interface TokenWindow {
  readonly location: { readonly hash: string; readonly pathname: string; readonly search: string };
  readonly history: {
    readonly state: unknown;
    replaceState(state: unknown, unused: string, url: string): void;
  };
  readonly sessionStorage: Pick<Storage, "getItem" | "setItem">;
}

// What a subprotocol may consist of (RFC 6455 §4.1), as far as a token needs it.
const TOKEN = /^[A-Za-z0-9._~+-]{1,4096}$/;

/** Tells whether a text can go where tokens go. */
export function isToken(text: string): boolean {
  return TOKEN.test(text);
}

/**
 * Takes the session's token out of the address bar (`#token=…`), or recalls the one taken before.
 *
 * A fragment is never sent to a server, but it stays in the history and in copied links, so it is
 * removed; the token lasts as long as the tab. Returns null where there is none.
 */
export function takeToken(session: string, page: TokenWindow): string | null {
  const key = `hint-relay:token:${session}`;
  const fragment = new URLSearchParams(page.location.hash.replace(/^#/, ""));
  const given = fragment.get("token");
  if (given === null) return stored(() => page.sessionStorage.getItem(key));
  fragment.delete("token");
  const rest = fragment.size === 0 ? "" : `#${fragment}`;
  const { pathname, search } = page.location;
  page.history.replaceState(page.history.state, "", `${pathname}${search}${rest}`);
  if (!isToken(given)) return null;
  stored(() => page.sessionStorage.setItem(key, given));
  return given;
}

/** Storage may be forbidden altogether; then the token lasts as long as the page. */
function stored<T>(access: () => T): T | null {
  try {
    return access();
  } catch {
    return null;
  }
}
