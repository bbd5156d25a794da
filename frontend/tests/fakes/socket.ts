import type { SocketLike } from "@/lib/relay/environment";
import type { StreamRequest } from "@/lib/relay/event-stream";

/** A socket whose other end is the test. */
export class FakeSocket implements SocketLike {
  readyState: number = WebSocket.CONNECTING;
  onopen: ((event: Event) => void) | null = null;
  onmessage: ((event: MessageEvent) => void) | null = null;
  onerror: ((event: Event) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;
  readonly sent: unknown[] = [];
  closedWith: number | undefined;

  constructor(
    readonly url: string,
    readonly protocols: readonly string[],
  ) {}

  get isClosed(): boolean {
    return this.readyState === WebSocket.CLOSED;
  }

  /** What the address asks for. */
  query(name: string): string | null {
    return new URL(this.url).searchParams.get(name);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code?: number): void {
    this.readyState = WebSocket.CLOSED;
    this.closedWith = code;
  }

  open(): void {
    this.readyState = WebSocket.OPEN;
    this.onopen?.(new Event("open"));
  }

  receive(message: object): void {
    this.receiveText(JSON.stringify(message));
  }

  receiveText(data: unknown): void {
    this.onmessage?.(new MessageEvent("message", { data }));
  }

  /** Opens and greets, as a relay does. */
  greet(fields: object = {}): void {
    this.open();
    this.receive({
      type: "connection",
      status: "connected",
      session: "demo",
      position: null,
      recovered: null,
      snapshot: 0,
      heartbeat_s: 10,
      ...fields,
    });
  }

  /** The other end, or the network, closes. */
  breakOff(code = 1006, reason = ""): void {
    this.readyState = WebSocket.CLOSED;
    this.onerror?.(new Event("error"));
    this.onclose?.(new CloseEvent("close", { code, reason }));
  }
}

/** An event stream whose other end is the test. */
export class FakeStream extends FakeSocket {
  constructor(readonly request: StreamRequest) {
    super(request.url, []);
  }
}
