"""What a relay may say to a client: HTTP answers and WebSocket frames, read strictly; pure."""

from __future__ import annotations

import re
import struct
import zlib
from typing import NamedTuple

import orjson

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5]\d\d) [ -~]*").fullmatch
_HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t -~\x80-\xff]*)").fullmatch
_CHUNK = re.compile(rb"([0-9a-f]+)\r\n").match
_MOST_HEAD_BYTES = 64 * 1024


class Wrong(Exception):
    """The relay said what it must not; the text says what."""


class Answer(NamedTuple):
    """An HTTP answer.

    Attributes:
        status: its number.
        headers: names in lower case.
        body: decoded; of an endless one what has come.
        is_whole: whether it has come to its end.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    is_whole: bool

    @property
    def is_last(self) -> bool:
        """Whether the relay closes the connection after it."""
        return "close" in self.headers.get("connection", "").lower()


def read_answer(data: bytes, *, is_head: bool = False) -> tuple[Answer, int] | None:
    """Read an answer at the beginning of what has come; returns it and how many bytes it has.

    Args:
        data: what has come; None is returned until the head is there.
        is_head: whether HEAD was asked, whose answer has no body.

    Raises:
        Wrong: for what is no HTTP answer, or says that the relay has failed.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > _MOST_HEAD_BYTES or not b"HTTP/1.1 ".startswith(data[:9]):
            raise Wrong(f"no HTTP answer: {data[:80]!r}")
        return None
    line, *lines = data[:end].split(b"\r\n")
    found = _STATUS_LINE(line)
    if found is None:
        raise Wrong(f"status line: {line!r}")
    status = int(found[1])
    headers: dict[str, str] = {}
    for one in lines:
        header = _HEADER(one)
        if header is None:
            raise Wrong(f"header: {one!r}")
        name = header[1].decode().lower()
        if name in headers and name in ("content-length", "content-type", "transfer-encoding"):
            raise Wrong(f"{name} twice")
        headers[name] = header[2].decode("latin-1").strip()
    at = end + 4
    if is_head or status < 200 or status in (204, 304):
        return Answer(status, headers, b"", True), at
    if headers.get("transfer-encoding") == "chunked":
        if "content-length" in headers:
            raise Wrong("both a length and chunks")
        body, at, is_whole = _read_chunks(data, at)
    else:
        length = headers.get("content-length", "")
        if not length.isdigit():
            raise Wrong(f"content-length: {length!r}")
        is_whole = len(data) >= at + int(length)
        body = data[at : at + int(length)]
        at += len(body)
    answer = Answer(status, headers, body, is_whole)
    if is_whole:
        _check_body(answer)
    return answer, at


def _read_chunks(data: bytes, at: int) -> tuple[bytes, int, bool]:
    parts: list[bytes] = []
    while (size := _CHUNK(data, at)) is not None:
        begin, length = size.end(), int(size[1], 16)
        end = begin + length
        if len(data) < end + 2:
            return b"".join(parts), at, False
        if data[end : end + 2] != b"\r\n":
            raise Wrong(f"a chunk has no end: {data[end : end + 20]!r}")
        parts.append(data[begin:end])
        at = end + 2
        if not length:
            return b"".join(parts), at, True
    if len(data) > at + 18:
        raise Wrong(f"chunk: {data[at : at + 20]!r}")
    return b"".join(parts), at, False


def _check_body(answer: Answer) -> None:
    kind = answer.headers.get("content-type", "")
    if answer.status >= 500 and answer.status != 503:
        raise Wrong(f"status {answer.status}: {answer.body[:200]!r}")
    if "json" not in kind:
        return
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        raise Wrong(f"the body is no JSON: {answer.body[:200]!r}") from None
    if kind == "application/problem+json" and not (
        body.get("status") == answer.status and body.get("code") and body.get("detail")
    ):
        raise Wrong(f"problem: {body}")


class ServerFrames:
    """Reads the frames of one WebSocket.

    Attributes:
        code: the relay's close code; None before its close frame, 1005 for one without a code.
        said: how many messages there were.

    Args:
        is_deflated: whether compression was agreed on.
    """

    def __init__(self, *, is_deflated: bool = False) -> None:
        self.code: int | None = None
        self.said = 0
        self._unread = b""
        self._unpack = zlib.decompressobj(-15) if is_deflated else None

    def feed(self, data: bytes) -> None:
        """Take what has come.

        Raises:
            Wrong: for a frame that no server may send, or one that says that the relay has failed.
        """
        data, at = self._unread + data, 0
        while len(data) - at >= 2:
            first, size = data[at], data[at + 1]
            begin = at + 2
            if size == 126:
                begin += 2
                size = int.from_bytes(data[at + 2 : begin])
                if len(data) >= begin and size < 126:
                    raise Wrong("a length in a longer form than it needs")
            elif size == 127:
                begin += 8
                size = int.from_bytes(data[at + 2 : begin])
                if len(data) >= begin and size < 65536:
                    raise Wrong("a length in a longer form than it needs")
            elif size > 127:
                raise Wrong("a server does not mask")
            if len(data) < begin + size:
                break
            self._take(first, data[begin : begin + size])
            at = begin + size
        self._unread = data[at:]

    def _take(self, first: int, payload: bytes) -> None:
        if self.code is not None and first != 0x8A:
            # A ping is answered until the peer's close frame has come (RFC 6455 section 5.5.2).
            raise Wrong(f"behind the close frame: {first:#x} {payload[:80]!r}")
        match first:
            case 0x88:
                self._close(payload)
            case 0x89 | 0x8A:
                if len(payload) > 125:
                    raise Wrong("a large control frame")
            case 0x81:
                self._message(payload)
            case 0xC1 if self._unpack is not None:
                try:
                    self._message(self._unpack.decompress(payload + b"\0\0\xff\xff"))
                except zlib.error as error:
                    raise Wrong(f"compressed: {error}") from None
            case _:
                raise Wrong(f"a frame that begins with {first:#x}: {payload[:80]!r}")

    def _message(self, payload: bytes) -> None:
        self.said += 1
        try:
            message = orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise Wrong(f"no JSON: {payload[:200]!r}") from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Wrong(f"no message: {payload[:200]!r}")

    def _close(self, payload: bytes) -> None:
        if not payload:
            self.code = 1005
            return
        if len(payload) == 1 or len(payload) > 125:
            raise Wrong(f"close frame: {payload!r}")
        (self.code,) = struct.unpack("!H", payload[:2])
        try:
            payload[2:].decode()
        except UnicodeDecodeError:
            raise Wrong(f"close frame: {payload!r}") from None
