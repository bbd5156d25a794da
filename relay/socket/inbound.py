"""What one client sends, read by the ``websockets`` library's sans-I/O core."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SERVER, Protocol, State

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ended(Enum):
    """Why nothing more will come."""

    CLOSED = "closed"
    """The client began the closing handshake, or answered ours."""
    FAILED = "failed"
    """The client broke the protocol; what ``output`` returns tells it."""


class Inbound:
    """A client's bytes as messages, by the rules of RFC 6455.

    Nothing about a client is in here between two of its messages; so one object serves all
    connections of a worker, and only those that are in the middle of something have their own.

    Args:
        max_bytes: the largest message; a larger one fails the connection with 1009.
    """

    __slots__ = ("_fragments", "_max_bytes", "_protocol", "_unread", "frames")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._protocol = Protocol(SERVER, state=State.OPEN, max_size=max_bytes)
        # A message that has begun: whether it is text, and what has come of it.
        self._fragments: tuple[bool, list[bytes]] | None = None
        # Bytes that have come and belong to no whole frame yet.
        self._unread = 0
        self.frames = 0
        """How many frames were read since this was last set to 0, control frames among them."""

    @property
    def is_at_rest(self) -> bool:
        """Tell whether this could serve another client now: no half frame, no half message.

        The library's parser consumes a frame's header before its payload has come, so its buffer
        can't tell. What can is whether the frames that it has returned make up all the bytes it was
        given. (A client that writes a length in a longer form than needed is never at rest.)
        """
        protocol = self._protocol
        return (
            self._unread == 0
            and self._fragments is None
            and protocol.state is State.OPEN
            and protocol.parser_exc is None
        )

    @property
    def close_code(self) -> int:
        """The code that the client closed with; 1005 when it gave none, 1006 when it did not close."""
        received = self._protocol.close_rcvd
        return int(CloseCode.ABNORMAL_CLOSURE) if received is None else int(received.code)

    @property
    def failure_code(self) -> int:
        """The code that the client was failed with."""
        sent = self._protocol.close_sent
        return int(CloseCode.ABNORMAL_CLOSURE) if sent is None else int(sent.code)

    def receive(self, data: bytes) -> Iterator[str | bytes | Ended]:
        """Take bytes from the network; yields whole messages: text, binary, and at last ``Ended``.

        Iterate to the end, then send what ``output`` returns.
        """
        protocol = self._protocol
        self._unread += len(data)
        protocol.receive_data(data)
        for event in protocol.events_received():
            if not isinstance(event, Frame):
                # Requests and responses come before the state OPEN.
                continue
            self.frames += 1
            self._unread -= _bytes_on_the_wire(len(event.data))
            if event.opcode is Opcode.CLOSE:
                yield Ended.CLOSED
            elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                if self._fragments is None:
                    # A continuation without a beginning never comes here: the library fails it.
                    self._fragments = (event.opcode is Opcode.TEXT, [])
                is_text, fragments = self._fragments
                if event.data:
                    # A client may send empty ones for ever.
                    fragments.append(bytes(event.data))
                if not event.fin:
                    continue
                self._fragments = None
                message = b"".join(fragments)
                if not is_text:
                    yield message
                    continue
                try:
                    text = message.decode()
                except UnicodeDecodeError:
                    # RFC 6455 section 8.1.
                    protocol.fail(CloseCode.INVALID_DATA, "not UTF-8")
                    yield Ended.FAILED
                    return
                yield text
        if protocol.parser_exc is not None:
            yield Ended.FAILED

    def close(self, code: int, reason: str) -> bytes:
        """Begin the closing handshake; returns what to send."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)
        return self.output()

    def release(self) -> None:
        """Let go of what has come, once the connection is lost; nothing else may be called after it."""
        release(self._protocol)

    def output(self) -> bytes:
        """Return what the protocol itself wants to send: pongs, the answer to a close, a failure."""
        return b"".join(self._protocol.data_to_send())


def release(protocol: Protocol) -> None:
    """Let go of all that the library holds for a connection that is lost.

    Its parser refers to itself, and what it failed on to the parser: without this, all of it would wait
    for the garbage collector, which runs rarely here.
    """
    protocol.parser.close()
    for failure in (protocol.parser_exc, protocol.handshake_exc):
        error: BaseException | None = failure
        while error is not None:
            error.__traceback__ = None
            error = error.__context__
    protocol.events_received()


def _bytes_on_the_wire(size: int) -> int:
    """Return how long a client's frame with a payload of this size is (RFC 6455 section 5.2)."""
    return size + (6 if size < 126 else 8 if size < 65536 else 14)
