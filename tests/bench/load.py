"""The load generator: thousands of WebSocket clients in one epoll loop.

No asyncio and no WebSocket library: the generator must not be what is measured. A saturated shape
counts marks in what arrives, at the speed of ``bytearray.count``; a paced one reads every frame, checks
its number and takes its latency.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from array import array
from collections import deque
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from tests.bench.frames import CLOSE, PING, PONG, FrameReader, masked
from tests.bench.messages import STAMP, MarkCount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tests.bench.dialect import Dialect

_BUFFER_BYTES = 256 * 1024
_EVENTS = 512
# Clients that are on their way in at once, but for a storm. Fewer than any server's backlog.
_WINDOW = 64
# A source address has some 28,000 ports.
_PER_SOURCE = 8000
_ROOMY = 1024 * 1024
_RESET = struct.pack("ii", 1, 0)

_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
)


class BenchError(Exception):
    """A measurement that did not come about; the text is for the table."""


class Handler(Protocol):
    """What the loop calls for a socket."""

    def on_event(self, mask: int) -> None:
        """The socket is readable, writable, or broken."""


class Join(NamedTuple):
    """A client to be connected."""

    session: str
    since: str | None = None
    # How many bytes its kernel keeps for it; None for the system's own choice.
    receive_buffer: int | None = None


class Reader:
    """One client.

    Attributes:
        session: what it watches.
        since: what it resumed with.
        is_joined: its server has said so.
        joined_ns: when that was.
        lost: why it is not connected any more; None while it is.
        expected: the number that must come next in its session.
        caught_up_ns: when ``Load.on_progress`` found that it has everything; 0 until then.
        count: how many messages have come.
        others: how many without a mark: heartbeats and the like.
        last: the last message.
        welcome: the message with which it joined.
        kept: a saturated shape's own copy of everything that came, where it is sampled.
    """

    __slots__ = (
        "_connected",
        "_frames",
        "_head",
        "_load",
        "_marks",
        "_socket",
        "_take",
        "caught_up_ns",
        "count",
        "expected",
        "fd",
        "is_joined",
        "joined_ns",
        "kept",
        "last",
        "lost",
        "others",
        "session",
        "since",
        "welcome",
    )

    def __init__(self, load: Load, join: Join, number: int) -> None:
        self.session = join.session
        self.since = join.since
        self.is_joined = False
        self.joined_ns = 0
        self.caught_up_ns = 0
        self.lost: str | None = None
        self.expected: int | None = None
        self.count = 0
        self.others = 0
        self.kept: bytearray | None = None
        self.last = b""
        self.welcome = b""
        self._load = load
        self._connected = False
        self._head = b""
        self._frames = FrameReader()
        self._marks: MarkCount | None = None
        self._take = self._take_upgrade
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if join.receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, join.receive_buffer)
        if number >= _PER_SOURCE:
            # The port is chosen with the destination in view, not reserved now.
            self._socket.setsockopt(socket.SOL_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            self._socket.bind((f"127.0.0.{2 + number // _PER_SOURCE}", 0))
        self._socket.connect_ex(load.address)
        self.fd = self._socket.fileno()

    def send(self, data: bytes) -> None:
        """Send a little; a full buffer breaks the measurement."""
        if data and self.lost is None:
            try:
                self._socket.send(data)
            except OSError as error:
                self._lose(str(error))

    def count_only(self, *, keep: bool = False) -> None:
        """From here on count marks, and read no frames; ``keep`` keeps what comes."""
        self._marks = MarkCount()
        self.kept = bytearray() if keep else None
        self._take = self._take_marks

    def read_frames(self) -> None:
        """Read frames again; nothing may be under way."""
        self._marks = None
        self._frames = FrameReader()
        self._take = self._take_frames

    def pause(self) -> None:
        """Stop reading; ``receive`` still does, as much as it is told."""
        self._load.forget(self.fd)

    def resume(self) -> None:
        """Read again all that comes, with room for it."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOMY)
        self._load.add(self.fd, self, select.EPOLLIN)

    def reset(self) -> None:
        """Break the connection without a word: RST instead of FIN, so no port stays reserved."""
        if self.lost is None:
            self.lost = "reset by the bench"
            self._load.forget(self.fd)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._socket.close()

    def on_event(self, mask: int) -> None:
        """Send the request when connected, then take what comes."""
        if not self._connected and not mask & (select.EPOLLERR | select.EPOLLHUP):
            self._request()
            return
        self.receive(_BUFFER_BYTES)

    def receive(self, limit: int) -> None:
        """Take up to ``limit`` bytes, if there are any."""
        buffer = self._load.buffer
        try:
            size = self._socket.recv_into(buffer, limit)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.strerror or str(error))
            return
        if size == 0:
            self._lose(self._said_goodbye())
            return
        self._load.received += size
        self._take(buffer, size)

    def _request(self) -> None:
        self._connected = True
        dialect = self._load.dialect
        host, port = self._load.address
        more = dialect.headers(self.since)
        if dialect.subprotocol is not None:
            more += f"Sec-WebSocket-Protocol: {dialect.subprotocol}\r\n"
        path = dialect.path(self.session, self.since)
        self._load.watch(self.fd, select.EPOLLIN)
        self.send(_REQUEST.format(path=path, host=host, port=port, more=more).encode())

    def _take_upgrade(self, buffer: bytearray, size: int) -> None:
        self._head += buffer[:size]
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self._lose(f"refused: {head[:60].decode('latin-1')}")
            return
        self._head = b""
        self.send(self._load.dialect.greeting(self))
        self._take = self._take_frames
        if self._load.dialect.joined(self, b""):
            self._join()
        if rest:
            buffer[: len(rest)] = rest
            self._take(buffer, len(rest))

    def _take_frames(self, buffer: bytearray, size: int) -> None:
        now_ns = time.monotonic_ns()
        load = self._load
        for opcode, payload in self._frames.feed(bytes(buffer[:size])):
            if opcode >= CLOSE:
                self._control(opcode, payload)
                continue
            if not self.is_joined and load.dialect.joined(self, payload):
                self.welcome = payload
                self._join()
            stamps = STAMP.findall(payload)
            if not stamps:
                if payload is not self.welcome:
                    self.others += 1
                    self.send(load.dialect.answer(payload))
                continue
            self.last = payload
            # Some servers put several messages into one frame.
            for number_text, at_ns in stamps:
                number = int(number_text)
                if self.expected is not None and number != self.expected:
                    load.faults.append(
                        f"{self.session}: number {number} came instead of {self.expected}"
                    )
                self.expected = number + 1
                self.count += 1
                load.messages += 1
                load.latencies.append(now_ns - int(at_ns))
        if self.caught_up_ns == 0 and self.is_joined:
            load.on_progress(self, now_ns)

    def _take_marks(self, buffer: bytearray, size: int) -> None:
        marks = self._marks
        assert marks is not None
        before = marks.marks
        marks.feed(buffer, size)
        new = marks.marks - before
        self.count += new
        self._load.messages += new
        if self.kept is not None:
            self.kept += buffer[:size]

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.send(masked(payload, PONG))
        elif opcode == CLOSE:
            self._head = payload

    def _join(self) -> None:
        self.is_joined = True
        self.joined_ns = time.monotonic_ns()
        self._load.joined += 1
        if self.caught_up_ns == 0:
            self._load.on_progress(self, self.joined_ns)

    def _said_goodbye(self) -> str:
        if len(self._head) >= 2:
            return f"close code {int.from_bytes(self._head[:2], 'big')}"
        return "closed by the server"

    def _lose(self, reason: str) -> None:
        if self.lost is None:
            self.lost = reason
            self._load.lost += 1
            self._load.forget(self.fd)
            self._socket.close()


class Load:
    """All clients of one measurement, and whatever else is to run in the same loop.

    Args:
        address: host and port of the server.
        dialect: how to talk to it.

    Attributes:
        messages: how many messages have come, over all clients.
        received: how many bytes have come.
        latencies: of every message that came while frames were read, in ns.
        joined: how many clients have joined.
        lost: how many were disconnected by the server.
        faults: what came out of order, twice, or not at all.
        on_progress: called after a client that has not caught up took something.
    """

    def __init__(self, address: tuple[str, int], dialect: Dialect) -> None:
        self.address = address
        self.dialect = dialect
        self.buffer = bytearray(_BUFFER_BYTES)
        self.readers: list[Reader] = []
        self.messages = 0
        self.received = 0
        self.latencies = array("q")
        self.joined = 0
        self.lost = 0
        self.faults: list[str] = []
        self.on_progress: Callable[[Reader, int], None] = _ignore
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}

    def add(self, fd: int, handler: Handler, events: int) -> None:
        """Watch another socket."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def watch(self, fd: int, events: int) -> None:
        """Change what a socket is watched for."""
        self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Stop watching a socket."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def poll(self, timeout_s: float) -> None:
        """Handle what is ready; wait up to ``timeout_s`` for something."""
        handlers = self._handlers
        for fd, mask in self._epoll.poll(timeout_s, _EVENTS):
            handler = handlers.get(fd)
            if handler is not None:
                handler.on_event(mask)

    def run_until(self, done: Callable[[], bool], what: str, *, silence_s: float = 10.0) -> None:
        """Run the loop until ``done``.

        Raises:
            BenchError: when nothing at all arrives for ``silence_s``, or clients were cut off: ``what``
                was waited for.
        """
        heard, deadline_s = -1, 0.0
        while not done():
            self.poll(0.05)
            if self.received != heard:
                heard = self.received
                deadline_s = time.monotonic() + silence_s
            elif time.monotonic() > deadline_s:
                raise BenchError(f"{what}: nothing came for {silence_s:g} s{self._why_lost()}")

    def run_for(self, seconds: float) -> None:
        """Run the loop for a time."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self.poll(left_s)

    def connect(self, joins: Iterable[Join], *, window: int = _WINDOW) -> list[Reader]:
        """Connect clients, ``window`` at a time, and wait until all have joined.

        Raises:
            BenchError: when one could not.
        """
        waiting = deque(joins)
        total, before, lost = len(waiting), self.joined, self.lost
        fresh: list[Reader] = []
        while self.joined - before < total:
            while waiting and len(fresh) - (self.joined - before) < window:
                fresh.append(self.start(waiting.popleft()))
            heard = self.received
            self.poll(10.0)
            if self.lost > lost or (self.received == heard and self._is_stuck(heard)):
                reasons = {reader.lost for reader in fresh if reader.lost} or {"no answer"}
                raise BenchError(
                    f"{total - (self.joined - before)} of {total} clients could not join: "
                    + ", ".join(sorted(reasons))
                )
        return fresh

    def start(self, join: Join) -> Reader:
        """Begin to connect one client."""
        reader = Reader(self, join, len(self.readers))
        self.readers.append(reader)
        self.add(reader.fd, reader, select.EPOLLOUT)
        return reader

    def check(self, expected: int, readers: Sequence[Reader]) -> None:
        """Make sure that every client got every message, once and in order.

        Args:
            expected: how many each must have got since ``begin``.
            readers: whom to ask.

        Raises:
            BenchError: naming what is wrong.
        """
        gone = [reader for reader in readers if reader.lost is not None]
        if gone:
            raise BenchError(f"{len(gone)} clients were cut off{self._why_lost()}")
        if self.faults:
            raise BenchError(f"{len(self.faults)} faults, the first: {self.faults[0]}")
        wrong = [reader.count for reader in readers if reader.count != expected]
        if wrong:
            raise BenchError(
                f"{len(wrong)} clients did not get {expected} messages: {min(wrong)} to {max(wrong)}"
            )
        for reader in readers:
            if reader.kept is None:
                continue
            numbers = [int(number) for number, _ in STAMP.findall(reader.kept)]
            if numbers != list(range(numbers[0], numbers[0] + expected)):
                raise BenchError(f"{reader.session}: a sampled client got messages out of order")

    def begin(self) -> None:
        """Start counting afresh."""
        self.messages = self.received = 0
        self.latencies = array("q")
        for reader in self.readers:
            reader.count = 0

    def close(self) -> None:
        """Reset all clients."""
        for reader in self.readers:
            reader.reset()
        self._epoll.close()

    def __enter__(self) -> Self:
        """Return the load."""
        return self

    def __exit__(self, *_: object) -> None:
        """Reset all clients."""
        self.close()

    def _why_lost(self) -> str:
        reasons = {reader.lost for reader in self.readers if reader.lost}
        return f" ({self.lost} cut off: {', '.join(sorted(reasons))})" if reasons else ""

    def _is_stuck(self, heard: int) -> bool:
        """Look once more: a poll can end with nothing but sockets that have become writable."""
        for _ in range(200):
            self.poll(0.05)
            if self.received != heard:
                return False
        return True


def _ignore(reader: Reader, now_ns: int) -> None:
    """Nobody wants to know."""
