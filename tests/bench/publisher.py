"""Publishes down one connection, pipelined, inside the load generator's loop."""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from relay.broker import broker, keys
from tests.bench.load import BenchError
from tests.bench.messages import message

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.bench.load import Load

_SEND_BYTES = 64 * 1024
_RECEIVE_BYTES = 256 * 1024


class Publishing(Protocol):
    """How a contender is published to."""

    @property
    def address(self) -> tuple[str, int]:
        """Where to connect."""

    def hello(self) -> bytes:
        """Return what is sent first."""

    def encode(self, session: str, number: int, payload: bytes) -> bytes:
        """Return the request that publishes one message."""

    def answers(self, data: bytes) -> int | None:
        """Return how many requests this answers; None where publications aren't answered.

        Raises:
            BenchError: when one was refused.
        """


def resp(*words: bytes) -> bytes:
    """Return one Redis command."""
    parts = [b"*%d\r\n" % len(words)]
    parts += [b"$%d\r\n%s\r\n" % (len(word), word) for word in words]
    return b"".join(parts)


def _numbers(data: bytes) -> int:
    if data.startswith(b"-") or b"\n-" in data:
        raise BenchError(f"Redis refuses a publication: {data[:100]!r}")
    # An answer of ours has exactly one integer in it, whether PUBLISH's or publish.lua's.
    return data.count(b":")


class ScriptPublishing:
    """The project's own ``publish.lua``: position, log and PUBLISH in one step.

    What ``Broker.publish`` sends, but without redis-py: it costs more CPU than Redis itself, and
    would be the bottleneck of every saturated shape.
    """

    def __init__(self, address: tuple[str, int], run: str) -> None:
        self.address = address
        self._run = run
        self._script = (Path(broker.__file__).parent / "publish.lua").read_bytes()
        # log_messages, log_ttl_s and dedupe_s as they are by default, in publish.lua's units.
        self._limits = (b"1000", b"86400000", b"300000")
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(resp(b"SCRIPT", b"LOAD", self._script))
            self._sha = connection.recv(4096).split(b"\r\n")[1]

    def hello(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, session: str, number: int, payload: bytes) -> bytes:
        """Return the EVALSHA that publishes once."""
        return resp(
            b"EVALSHA",
            self._sha,
            b"3",
            keys.log(session).encode(),
            keys.meta(session).encode(),
            keys.published(session, f"{self._run}-{number}").encode(),
            keys.channel(session).encode(),
            payload,
            *self._limits,
        )

    def answers(self, data: bytes) -> int | None:
        """Count the answers."""
        return _numbers(data)


class CommandPublishing:
    """Any one Redis command.

    Args:
        address: where Redis is.
        encode: makes the command of session, number and payload.
    """

    def __init__(
        self, address: tuple[str, int], encode: Callable[[str, int, bytes], bytes]
    ) -> None:
        self.address = address
        self._encode = encode

    def hello(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, session: str, number: int, payload: bytes) -> bytes:
        """Return the command."""
        return self._encode(session, number, payload)

    def answers(self, data: bytes) -> int | None:
        """Count the answers."""
        return _numbers(data)


class Publisher:
    """Sends out numbered messages, each session's in order.

    Attributes:
        sent: how many messages have been handed to the connection.
        acknowledged: the newest number of each session that its broker has answered.
    """

    def __init__(self, load: Load, publishing: Publishing) -> None:
        self._load = load
        self._publishing = publishing
        self._next: dict[str, int] = {}
        self._queue: deque[bytes] = deque()
        self._unanswered: deque[tuple[str, int]] = deque()
        self.sent = 0
        self.acknowledged: dict[str, int] = {}
        self._socket = socket.create_connection(publishing.address, timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._socket.send(publishing.hello())
        self._wants_write = False
        load.add(self._socket.fileno(), self, select.EPOLLIN)

    @property
    def idle(self) -> bool:
        """Tell whether everything is sent and answered."""
        return not self._queue and not self._unanswered

    def number(self, session: str) -> int:
        """Return the number that the session's next message will have."""
        return self._next.get(session, 0)

    def publish(self, session: str, *, text_bytes: int | None = None) -> None:
        """Publish one message now, with the time in it."""
        self._offer(session, time.monotonic_ns(), text_bytes)
        self._flush()

    def publish_many(self, sessions: Sequence[str], *, text_bytes: int | None = None) -> None:
        """Publish one message for each name in ``sessions`` as fast as it goes."""
        for session in sessions:
            self._offer(session, 0, text_bytes)
        # Fewer, larger writes: a publisher that sends each alone would be the bottleneck.
        data = b"".join(self._queue)
        self._queue.clear()
        self._queue.extend(
            data[start : start + _SEND_BYTES] for start in range(0, len(data), _SEND_BYTES)
        )
        self._flush()

    def on_event(self, mask: int) -> None:
        """Take answers, send what waits."""
        if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except OSError as error:
                raise BenchError(f"the publisher's connection broke: {error}") from error
            if not data:
                raise BenchError("the publisher's connection was closed")
            for _ in range(self._publishing.answers(data) or 0):
                session, number = self._unanswered.popleft()
                self.acknowledged[session] = number
        if mask & select.EPOLLOUT:
            self._flush()

    def close(self) -> None:
        """Close the connection."""
        self._load.forget(self._socket.fileno())
        self._socket.close()

    def _offer(self, session: str, at_ns: int, text_bytes: int | None) -> None:
        number = self._next.get(session, 0)
        self._next[session] = number + 1
        payload = (
            message(number, at_ns)
            if text_bytes is None
            else message(number, at_ns, text_bytes=text_bytes)
        )
        self._queue.append(self._publishing.encode(session, number, payload))
        if self._publishing.answers(b"") is None:
            self.acknowledged[session] = number
        else:
            self._unanswered.append((session, number))
        self.sent += 1

    def _flush(self) -> None:
        while self._queue:
            data = self._queue[0]
            try:
                size = self._socket.send(data)
            except BlockingIOError:
                size = 0
            except OSError as error:
                raise BenchError(f"the publisher's connection broke: {error}") from error
            if size < len(data):
                self._queue[0] = data[size:]
                break
            self._queue.popleft()
        wants_write = bool(self._queue)
        if wants_write != self._wants_write:
            self._wants_write = wants_write
            events = select.EPOLLIN | (select.EPOLLOUT if wants_write else 0)
            self._load.watch(self._socket.fileno(), events)
