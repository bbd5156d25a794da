import { createParser } from "eventsource-parser";
import * as v from "valibot";
import type { Clock, SocketLike } from "./environment";
import { readAnswer, streamRefusal } from "./http-answer";
import { PostQueue } from "./post-queue";

export interface StreamRequest {
  /** The stream's address with session and `since` in its query. */
  readonly url: string;
  /** Where messages are posted to. */
  readonly messagesUrl: string;
  readonly token: string | null;
}

// As a WebSocket has them.
const CONNECTING = 0;
const OPEN = 1;
const CLOSED = 3;
/** Far more than any message of the relay; an event without an end must not fill the memory. */
const MAX_EVENT_CHARS = 4_000_000;
const CLOSE = v.object({ code: v.number(), reason: v.optional(v.string(), "") });
// What goes over a socket only: a stream has no pings, and is opened anew with a new token.
const SOCKET_ONLY: ReadonlySet<unknown> = new Set(["ping", "refresh"]);

/**
 * Stands in for a WebSocket where none gets through: messages come as Server-Sent Events, and what is
 * sent goes by POST.
 *
 * To its user it is a socket. A refused request comes as what a socket would have brought: an `error`
 * frame, then a close code. Not an `EventSource`, which can't carry a token in a header, and hides the
 * status of a refusal.
 */
export class EventStream implements SocketLike {
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  #readyState: number = CONNECTING;
  readonly #request: StreamRequest;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  readonly #posts: PostQueue;

  /** Begins to connect; handlers that are set in the same task miss nothing. */
  constructor(request: StreamRequest, clock: Clock) {
    this.#request = request;
    this.#clock = clock;
    this.#posts = new PostQueue(
      {
        url: request.messagesUrl,
        token: request.token,
        onAnswer: (frame) => this.#bring(JSON.stringify(frame)),
      },
      clock,
    );
    void this.#run();
  }

  get readyState(): number {
    return this.#readyState;
  }

  send(text: string): void {
    if (this.#readyState !== OPEN) return;
    const { type } = JSON.parse(text) as { readonly type?: unknown };
    if (!SOCKET_ONLY.has(type)) this.#posts.send(text);
  }

  /** Ends it without another event; a post that is under way is not called back. */
  close(): void {
    if (this.#readyState === CLOSED) return;
    this.#readyState = CLOSED;
    this.#posts.close();
    this.#abort.abort();
  }

  async #run(): Promise<void> {
    const { url, token } = this.#request;
    const response = await fetch(url, {
      headers: {
        Accept: "text/event-stream",
        ...(token === null ? {} : { Authorization: `Bearer ${token}` }),
      },
      cache: "no-store",
      signal: this.#abort.signal,
    }).catch(() => null);
    if (response === null) this.#end(1006, "");
    else if (response.ok) await this.#read(response);
    else {
      const { frame, code } = streamRefusal(await readAnswer(response, this.#clock.nowMs()));
      this.#bring(JSON.stringify(frame));
      this.#end(code, "");
    }
  }

  async #read(response: Response): Promise<void> {
    const type = response.headers.get("Content-Type") ?? "";
    // A portal's page, for one, is 200, too.
    if (!/^text\/event-stream\b/i.test(type) || response.body === null) {
      this.#abort.abort();
      this.#end(1006, "");
      return;
    }
    if (this.#readyState === CLOSED) return;
    this.#readyState = OPEN;
    this.onopen?.(new Event("open"));
    const parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent: ({ event, data }) => {
        if (event === "close") this.#onClose(data);
        else if (event === undefined || event === "message") this.#bring(data);
      },
      onError: ({ type }) => {
        if (type === "max-buffer-size-exceeded") this.#end(1006, "");
      },
    });
    const decoder = new TextDecoder();
    const reader = response.body.getReader();
    while (this.#readyState === OPEN) {
      // Broken off, or ended without a word: the same to whoever waits.
      const part = await reader.read().catch(() => null);
      if (part === null || part.done) break;
      parser.feed(decoder.decode(part.value, { stream: true }));
    }
    this.#end(1006, "");
  }

  #onClose(data: string): void {
    let said: unknown = null;
    try {
      said = JSON.parse(data);
    } catch {
      // As if it had said nothing.
    }
    const close = v.safeParse(CLOSE, said);
    if (close.success) this.#end(close.output.code, close.output.reason);
    else this.#end(1006, "");
  }

  #bring(data: string): void {
    if (this.#readyState === CLOSED) return;
    this.onmessage?.(new MessageEvent("message", { data }));
  }

  #end(code: number, reason: string): void {
    if (this.#readyState === CLOSED) return;
    this.close();
    this.onclose?.(new CloseEvent("close", { code, reason }));
  }
}
