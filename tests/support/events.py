"""Server-Sent Events for tests: a parser by the letter of the standard, and a client on a bare stream."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

Json = dict[str, Any]

_LINE_END = re.compile(rb"\r\n|\n|\r")


class Event(NamedTuple):
    """What a browser would dispatch."""

    data: str
    type: str = "message"
    last_id: str = ""
    """Of the stream, as it is with this event."""


class EventParser:
    """Reads a stream as a browser does (HTML Living Standard section 9.2.6); pure.

    Attributes:
        last_id: what an ``EventSource`` would send as ``Last-Event-ID`` if the stream broke now.
        retry_ms: what the stream has set.
    """

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self.retry_ms: int | None = None
        self._rest = b""
        self._is_at_start = True
        self._ends_with_cr = False
        self._id = last_id
        self._type = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> list[Event]:
        """Take some bytes, cut anywhere; returns the events that are complete."""
        if not data:
            return []
        if self._ends_with_cr and data.startswith(b"\n"):
            data = data[1:]
        self._ends_with_cr = data.endswith(b"\r")
        *lines, self._rest = _LINE_END.split(self._rest + data)
        if lines and self._is_at_start:
            lines[0], self._is_at_start = lines[0].removeprefix(b"\xef\xbb\xbf"), False
        events = [self._line(line.decode(errors="replace")) for line in lines]
        return [event for event in events if event is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._dispatched()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                self._type = value
            case "data":
                self._data.append(value)
            case "id" if "\0" not in value:
                self._id = value
            case "retry" if value.isascii() and value.isdigit():
                self.retry_ms = int(value)
        return None

    def _dispatched(self) -> Event | None:
        self.last_id = self._id
        kind, self._type = self._type, ""
        lines, self._data = self._data, []
        return Event("\n".join(lines), kind or "message", self.last_id) if lines else None


class Refused(Exception):
    """The answer was no stream."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__(status, headers, body)
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def problem(self) -> Json:
        """What is wrong (RFC 9457)."""
        assert self.headers["content-type"] == "application/problem+json", self
        value = json.loads(self.body)
        assert isinstance(value, dict)
        assert value["status"] == self.status
        return value


class StreamClosed(Exception):
    """The relay ended the stream; ``code`` is 1006 when it did so without a word."""

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class HttpAnswer:
    """An answer to one request on a connection of its own, read as it comes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes
    ) -> None:
        self._reader = reader
        self.writer = writer
        line, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(line.split(" ")[1])
        self.headers = {
            name.lower(): value.strip()
            for name, _, value in (one.partition(":") for one in lines if one)
        }

    @classmethod
    async def ask(
        cls,
        port: int,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        receive_buffer: int = 2**20,
    ) -> HttpAnswer:
        """Send a request to a loopback port, and read the answer's head."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=receive_buffer)
        try:
            given = {
                "Host": f"127.0.0.1:{port}",
                "Content-Length": str(len(body)),
                **(headers or {}),
            }
            lines = [f"{method} {path} HTTP/1.1", *(f"{k}: {v}" for k, v in given.items())]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1") + body)
            return cls(reader, writer, await reader.readuntil(b"\r\n\r\n"))
        except asyncio.IncompleteReadError as error:
            writer.transport.abort()
            raise ConnectionResetError("closed without an answer") from error
        except BaseException:
            writer.transport.abort()
            raise

    async def chunk(self) -> bytes:
        """Return the next bytes of a body without a length; none at its end.

        Raises:
            ConnectionError: when the connection ends before the body does.
        """
        assert self.headers.get("transfer-encoding") == "chunked", self.headers
        try:
            size = int(await self._reader.readuntil(b"\r\n"), 16)
            data = await self._reader.readexactly(size + 2)
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("closed inside a body") from error
        assert data.endswith(b"\r\n")
        return data[:-2]

    async def body(self) -> bytes:
        """Return the body, when its length is told."""
        return await self._reader.readexactly(int(self.headers["content-length"]))


def events_path(session: str | None, **query: str) -> str:
    """Return the address of a session's events."""
    words = query if session is None else {"session": session, **query}
    return f"/events?{urlencode(words)}"


class EventsClient:
    """Reads a session's messages as ``Client`` does, from events.

    Attributes:
        parser: knows the last id that has arrived.
        event_id: the last id as it was with the event that was returned last.
        raw: all bytes of the stream so far.
    """

    def __init__(self, answer: HttpAnswer, last_id: str = "") -> None:
        self.answer = answer
        self.parser = EventParser(last_id)
        self.event_id = last_id
        self.raw = b""
        self._waiting: list[Event] = []

    @classmethod
    async def connect(
        cls,
        port: int,
        session: str | None,
        *,
        last_id: str = "",
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> EventsClient:
        """Connect to a loopback port.

        Raises:
            Refused: when the answer is no stream.
        """
        given = {"Accept": "text/event-stream", **(headers or {})}
        if last_id:
            given["Last-Event-ID"] = last_id
        answer = await HttpAnswer.ask(port, "GET", events_path(session, **query), headers=given)
        if answer.status != 200:
            body = await answer.body()
            answer.writer.close()
            raise Refused(answer.status, answer.headers, body)
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.headers
        return cls(answer, last_id)

    async def next_event(self, timeout_s: float = 10.0) -> Event:
        """Return the next event but those of a moment that no test can know; see ``Client``.

        Heartbeats are of such a moment, too. Too long a wait fails the test.

        Raises:
            StreamClosed: when the answer has ended without a word.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                event = await self._next_event(timeout_s)
                if json.loads(event.data).get("type") not in ("presence", "heartbeat"):
                    return event

    async def _next_event(self, timeout_s: float) -> Event:
        async with asyncio.timeout(timeout_s):
            while not self._waiting:
                data = await self.answer.chunk()
                if not data:
                    raise StreamClosed(1006)
                self.raw += data
                self._waiting += self.parser.feed(data)
        event = self._waiting.pop(0)
        self.event_id = event.last_id
        return event

    async def next(
        self, timeout_s: float = 10.0, *, passing: Collection[str] = ("presence",)
    ) -> Json:
        """Return the next message of a type not in ``passing``; too long a wait fails the test.

        Raises:
            StreamClosed: when the relay says that it is over.
        """
        async with asyncio.timeout(timeout_s):
            while True:
                event = await self._next_event(timeout_s)
                message = json.loads(event.data)
                if event.type == "close":
                    assert await self.answer.chunk() == b"", "something came behind the close event"
                    raise StreamClosed(message["code"], message["reason"])
                assert event.type == "message", event
                if message["type"] not in passing:
                    assert isinstance(message, dict)
                    return message

    async def next_of(self, kind: str, timeout_s: float = 10.0) -> Json:
        """Return the next message of a type, passing over others."""
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.next(timeout_s, passing=())
                if message["type"] == kind:
                    return message

    async def texts(self, count: int, timeout_s: float = 10.0) -> list[str]:
        """Return the ``text`` of the next ``count`` hints."""
        return [(await self.next_of("hint", timeout_s))["text"] for _ in range(count)]

    async def closed(self, timeout_s: float = 10.0) -> tuple[int, str, list[Json]]:
        """Read until the relay closes; returns code, reason, and what came before."""
        messages: list[Json] = []
        try:
            while True:
                messages.append(await self.next(timeout_s))
        except StreamClosed as closed:
            return closed.code, closed.reason, messages

    def reset(self) -> None:
        """Break the connection without a word."""
        self.answer.writer.transport.abort()


@asynccontextmanager
async def events(
    port: int,
    session: str | None,
    *,
    welcome: bool = True,
    last_id: str = "",
    headers: Mapping[str, str] | None = None,
    **query: str,
) -> AsyncIterator[EventsClient]:
    """Connect; with ``welcome`` the first message is read and checked."""
    reader = await EventsClient.connect(port, session, last_id=last_id, headers=headers, **query)
    try:
        if welcome:
            first = await reader.next()
            assert first["type"] == "connection", first
            assert first["status"] == "connected", first
        yield reader
    finally:
        reader.reset()
