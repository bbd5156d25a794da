/** What the page knows about its own address: `window.location` fits. */
export interface PageAddress {
  readonly protocol: string;
  readonly host: string;
}

/** Where the relay is, as far as the page can tell. */
export type RelayAddress =
  | {
      readonly ok: true;
      readonly url: string;
      /** True when a configured `ws://` was turned into `wss://` because the page is https. */
      readonly upgraded: boolean;
    }
  | { readonly ok: false; readonly reason: string };

/**
 * Returns the address of the relay's WebSocket endpoint.
 *
 * @param configured `NEXT_PUBLIC_WS_URL`; empty or undefined means `/ws` at the page's own origin
 */
export function relayAddress(configured: string | undefined, page: PageAddress): RelayAddress {
  const secure = page.protocol === "https:";
  const wanted = configured?.trim();
  if (!wanted) {
    return { ok: true, url: `${secure ? "wss" : "ws"}://${page.host}/ws`, upgraded: false };
  }
  const url = URL.canParse(wanted) ? new URL(wanted) : null;
  if (url?.protocol === "http:") url.protocol = "ws:";
  if (url?.protocol === "https:") url.protocol = "wss:";
  if (url === null || (url.protocol !== "ws:" && url.protocol !== "wss:")) {
    return { ok: false, reason: `NEXT_PUBLIC_WS_URL is not a WebSocket address: ${wanted}` };
  }
  // Browsers refuse ws:// from an https page (mixed content), so asking for it is never of use.
  const upgraded = secure && url.protocol === "ws:";
  if (upgraded) url.protocol = "wss:";
  // A socket's address has no fragment (RFC 6455 §3); the constructor would throw.
  url.hash = "";
  return { ok: true, url: url.href, upgraded };
}

/** Returns the address with the given query parameters set; null leaves a parameter out. */
export function withQuery(address: string, query: Record<string, string | null>): string {
  const url = new URL(address);
  for (const [name, value] of Object.entries(query)) {
    if (value === null) url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  return url.href;
}

/** Where the relay answers without a WebSocket. */
export interface HttpAddresses {
  /** Of the session's event stream. */
  readonly events: string;
  /** Where the session takes messages. */
  readonly messages: string;
}

/**
 * Returns the addresses beside a socket's, for who can't open one.
 *
 * @param socket the socket's address with the session in its query
 */
export function httpAddresses(socket: string): HttpAddresses {
  const url = new URL(socket);
  url.protocol = url.protocol === "wss:" ? "https:" : "http:";
  const events = new URL("events", url);
  events.search = url.search;
  const session = encodeURIComponent(url.searchParams.get("session") ?? "");
  const messages = new URL(`sessions/${session}/messages`, url);
  const guest = url.searchParams.get("guest");
  if (guest !== null) messages.searchParams.set("guest", guest);
  return { events: events.href, messages: messages.href };
}
