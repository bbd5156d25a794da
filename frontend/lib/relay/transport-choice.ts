/** How messages come: over a WebSocket, or as an event stream where sockets are blocked. */
export type Transport = "socket" | "stream";

/** So many tries in a row that never opened are no accident any more. */
const FAILURES = 2;

/**
 * Decides what to connect with next.
 *
 * A socket comes first. After two in a row that never opened, a stream is tried: there are networks
 * whose proxies let no WebSocket through. But a relay that is down looks the same, so nothing is
 * concluded from that alone: while neither works, both are tried in turn, and sockets count as blocked
 * only when one has failed beside a stream that stands.
 */
export class TransportChoice {
  #next: Transport = "socket";
  #failedSockets = 0;
  #failedStreams = 0;
  #blocked = false;

  get next(): Transport {
    return this.#next;
  }

  /** Whether sockets are known not to get through, where streams do. */
  get blocked(): boolean {
    return this.#blocked;
  }

  /** A socket has brought something, or was closed by the relay itself. */
  socketWorked(): void {
    this.#reset(0);
  }

  /** A socket never opened. */
  socketFailed(): void {
    this.#failedSockets += 1;
    if (this.#failedSockets >= FAILURES) this.#next = "stream";
  }

  /** A stream has brought its first message. */
  streamWorked(): void {
    this.#failedStreams = 0;
    this.#next = "stream";
  }

  /** A stream brought nothing, or ended before it was known whether sockets are blocked. */
  streamFailed(): void {
    this.#failedStreams += 1;
    // One more socket is enough then to come back to a stream.
    if (!this.#blocked || this.#failedStreams >= FAILURES) this.#reset(FAILURES - 1);
  }

  /** A socket never opened, beside a stream that stands. */
  socketFailedBeside(): void {
    this.#blocked = true;
    this.#next = "stream";
  }

  /** Another network may let other things through. */
  networkChanged(): void {
    this.#reset(0);
  }

  #reset(failedSockets: number): void {
    this.#next = "socket";
    this.#failedSockets = failedSockets;
    this.#failedStreams = 0;
    this.#blocked = false;
  }
}
