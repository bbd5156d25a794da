"""HTTP requests as clients send them, and as none would; pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, quote_from_bytes

import orjson

from tests.fuzz.words import NAMES, NUMBERS, POSITIONS, SESSIONS, TEXTS, TOKENS, VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.fuzz.dice import Dice
    from tests.fuzz.messages import Messages

_ODD_SESSIONS = (
    "", ".", "..", "../innocent", "a/b", "a%2fb", "%00", "{x}", "x" * 128, "x" * 129, "é", "a b", "*",
    "😀", "hints:x", "-", "~._-",
)  # fmt: skip
_PATHS = (
    "/health/live", "/health/ready", "/metrics", "/", "/index.html", "/favicon.ico", "/openapi.json", "/ws",
    "/nothing", "/sessions", "/sessions/", "/sessions/fuzz-1", "/sessions//messages",
    "/sessions/fuzz-1/messages/", "/%2e%2e/etc/passwd", "/..", "//", "/health/live/../ready", "/\\",
    "/events/", "/sessions/fuzz-1/presence/x", "/%ff%fe", "/%", "/%zz",
)  # fmt: skip
_METHODS = ("GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
_NO_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_ODD_HEADERS = (
    "Accept", "Origin", "Referer", "Cookie", "X-Forwarded-For", "X-Forwarded-Proto", "Forwarded", "Range",
    "If-None-Match", "Authorization", "Accept-Encoding", "User-Agent", "Access-Control-Request-Method",
    "Access-Control-Request-Headers", "Idempotency-Key", "Last-Event-ID", "Content-Encoding", "Via", "TE",
)  # fmt: skip
_HEADER_VALUES = (
    "*", "null", "http://localhost:3000", "http://127.0.0.1", "https://evil.example", "127.0.0.1",
    "::1, 10.0.0.1", "unknown", "999.999.999.999", "bytes=0-", "bytes=-1,0-5", "gzip", "Bearer", "Bearer x",
    "Bearer a.b.c", "Basic eDp5", "POST", "x" * 3000, ", , ,", '"', "\u00e9\u00ff", "text/event-stream",
)  # fmt: skip
_CONTENT_TYPES = (
    "application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "text/plain", "", "json",
    "application/jsonx", "multipart/form-data; boundary=x", "application/json, text/plain",
)  # fmt: skip
_HOSTS = ("", "a", "a:b", "evil.example", "localhost.", "[", "\u00e9")
_SMUGGLED = b"GET /sessions/smuggled/messages HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Asked(NamedTuple):
    """One connection's requests, well-formed: each is answered.

    Attributes:
        data: what is sent.
        methods: of each request.
    """

    data: bytes
    methods: tuple[str, ...]


class Requests:
    """Throws requests.

    Args:
        dice: decide.
        messages: what bodies hold.
        tokens: those that a client may show.
    """

    def __init__(self, dice: Dice, messages: Messages, tokens: Sequence[str] = ()) -> None:
        self._dice = dice
        self._messages = messages
        self._tokens = tokens

    def asked(self, most: int) -> Asked:
        """Return requests that a server has to understand, whatever it thinks of them."""
        made = [self._request() for _ in range(self._dice.size(most))]
        return Asked(b"".join(data for _, data in made), tuple(method for method, _ in made))

    def events(self) -> bytes:
        """Return a request for ``/events``."""
        dice = self._dice
        query = self._query(("session", "since", "replay", "guest", "token"))
        if dice.chance(0.8):
            query = f"?session={dice.pick(SESSIONS)}&replay={dice.below(5)}&{query[1:]}"
        lines = [f"GET /events{query} HTTP/1.1", self._host(), "Accept: text/event-stream"]
        if dice.chance(0.3):
            lines.append(f"Last-Event-ID: {_value(dice.pick(POSITIONS))}")
        lines += self._authorization()
        return _head(lines)

    def malformed(self) -> bytes:  # noqa: PLR0911 - a list
        """Return what is no request, or might be taken for another one, or for two."""
        dice = self._dice
        # Nobody could tell whether the answer has a body.
        good = self.asked(3).data.replace(b"HEAD", b"GET")
        match dice.below(9):
            case 0:
                return dice.bytes(dice.size(2000))
            case 1 | 2:
                return self._messages.bytes_spoiled(good, dice.size(6))
            case 3:
                return self._request_line() + good.partition(b"\r\n")[2]
            case 4:
                return self._header_garbage()
            case 5:
                return self._chunked_lies()
            case 6:
                return self._smuggling()
            case 7:
                return good[: dice.below(len(good) + 1)]
            case _:
                return self._upgrade()

    # Good ones

    def _request(self) -> tuple[str, bytes]:
        dice = self._dice
        kind = dice.below(10)
        if kind < 4:
            method, body = "POST", self._body()
            path = f"/sessions/{self._session()}/messages{self._query(('guest', 'token'))}"
        elif kind < 6:
            method, body = "GET", None
            path = f"/sessions/{self._session()}/messages{self._query(('since', 'limit', 'token'))}"
        elif kind == 6:
            method, body = "GET", None
            path = f"/sessions/{self._session()}/presence{self._query(('guest',))}"
        elif kind == 7:
            method, path = "POST", f"/sessions/{self._session()}/disconnect"
            body = orjson.dumps({"who": dice.pick(VALUES)} if dice.chance(0.6) else {})
        else:
            method, body = dice.pick(_METHODS), self._body() if dice.chance(0.3) else None
            path = dice.pick(_PATHS) + self._query(("since", "limit", "token", "x"))
        if dice.chance(0.05):
            method = dice.pick(_METHODS)
        return method, self._written(method, path, body)

    def _written(self, method: str, path: str, body: bytes | None) -> bytes:
        dice = self._dice
        lines = [f"{method} {path} HTTP/1.1", self._host()]
        lines += self._authorization()
        while dice.chance(0.3):
            lines.append(f"{dice.pick(_ODD_HEADERS)}: {_value(dice.pick(_HEADER_VALUES))}")
        if dice.chance(0.2):
            key = dice.pick((*TEXTS, "key", f"key-{dice.below(1000)}"))
            lines.append(f"Idempotency-Key: {_value(key)}")
        if body is None:
            return _head(lines)
        is_json = dice.chance(0.9)
        lines.append(f"Content-Type: {_CONTENT_TYPES[0] if is_json else dice.pick(_CONTENT_TYPES)}")
        if dice.chance(0.05):
            lines.append("Expect: 100-continue")
        if dice.chance(0.2):
            return _head([*lines, "Transfer-Encoding: chunked"]) + self._chunked(body)
        return _head([*lines, f"Content-Length: {len(body)}"]) + body

    def _host(self) -> str:
        # A relay for this machine alone refuses other names.
        good = self._dice.chance(0.95)
        return (
            f"Host: {self._dice.pick(('localhost', '127.0.0.1:80', '[::1]:8') if good else _HOSTS)}"
        )

    def _authorization(self) -> list[str]:
        if self._tokens and self._dice.chance(0.8):
            return [f"Authorization: Bearer {_value(self._dice.pick(self._tokens))}"]
        return []

    def _session(self) -> str:
        dice = self._dice
        return quote(dice.pick(SESSIONS if dice.chance(0.9) else _ODD_SESSIONS), safe="/")

    def _query(self, names: Sequence[str]) -> str:
        dice = self._dice
        words = []
        while dice.chance(0.5):
            name = dice.pick(names)
            values: Sequence[str] = {
                "since": POSITIONS, "limit": NUMBERS, "replay": NUMBERS, "guest": NAMES,
                "session": (*SESSIONS, *_ODD_SESSIONS), "token": self._tokens or TEXTS,
            }.get(name, TEXTS)  # fmt: skip
            value = quote(dice.pick(values))
            if dice.chance(0.05):
                value = quote_from_bytes(dice.bytes(8))
            words.append(f"{name}={value}")
        return f"?{'&'.join(words)}" if words else dice.pick(("", "", "", "?", "?&", "?=", "?&&=&"))

    def _body(self) -> bytes:
        dice = self._dice
        match dice.below(40):
            case 0:
                return b"[" + b",".join([self._messages.published()] * dice.size(120)) + b"]"
            case 1:
                return b"x" * (dice.size(16) * 70_000)
            case 2 | 3:
                return orjson.dumps([self._messages.fields() for _ in range(dice.size(101))])
            case 4:
                return b""
            case _:
                return self._messages.published()

    def _chunked(self, body: bytes) -> bytes:
        dice = self._dice
        parts = []
        while body:
            size = dice.size(len(body))
            extension = b";x=y" if dice.chance(0.1) else b""
            parts.append(b"%x%b\r\n%b\r\n" % (size, extension, body[:size]))
            body = body[size:] if len(parts) < 50 else b""
        trailer = b"X-Trailer: 1\r\n" if dice.chance(0.1) else b""
        return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"

    # Bad ones

    def _request_line(self) -> bytes:
        dice = self._dice
        if dice.chance(0.3):
            method, path = dice.bytes(dice.size(12)), dice.bytes(dice.size(300))
            return method + b" " + path + b" HTTP/1.1\r\n"
        return dice.pick(
            (
                b"\r\n" * 50, b"GET\r\n", b"GET /\r\n", b"GET / HTTP/9.9\r\n", b"GET / HTTP/1.0\r\n",
                b"GET / HTTP/0.9\r\n", b"GET  /  HTTP/1.1\r\n", b"GET\t/\tHTTP/1.1\r\n", b"get / HTTP/1.1\r\n",
                b"GET / HTTP/1.1\n", b" GET / HTTP/1.1\r\n", b"GET http://x/events HTTP/1.1\r\n",
                b"GET http://x?y HTTP/1.1\r\n", b"GET * HTTP/1.1\r\n", b"OPTIONS * HTTP/1.1\r\n",
                b"CONNECT x:443 HTTP/1.1\r\n", b"CONNECT / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                b"GET /#frag HTTP/1.1\r\n", b"GET /\0 HTTP/1.1\r\n", b"GET /\xff\xfe HTTP/1.1\r\n",
                b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n", b"GET /?" + b"%41" * 8000 + b" HTTP/1.1\r\n",
                b"GET ?x HTTP/1.1\r\n", b"GET x HTTP/1.1\r\n", b"GET //x:99999/ HTTP/1.1\r\n",
                b"GET http://[::1 HTTP/1.1\r\n", b"GET http://:/ HTTP/1.1\r\n", b"M-SEARCH / HTTP/1.1\r\n",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00", b"GET / HTTP/1.1\r\n" * 3,
                b"SOURCE / ICE/1.0\r\n", b"DESCRIBE rtsp://x RTSP/1.0\r\n",
            )
        )  # fmt: skip

    def _header_garbage(self) -> bytes:
        dice = self._dice
        lines = [b"GET /sessions/fuzz-1/messages HTTP/1.1", b"Host: localhost"]
        if dice.chance(0.1):
            del lines[1]
        for _ in range(dice.size(6)):
            name = dice.pick(
                (b"X", b"Host", b"Content-Length", b"Connection", b"Origin", b"Cookie")
            )
            lines.append(
                dice.pick(
                    (
                        b"no colon", b": no name", name + b" : x", b" folded", b"\tfolded", name + b":",
                        name + b": a\r" + b"b: c", name + b": \0", name + dice.bytes(4) + b": x",
                        name + b": " + dice.pick(TOKENS), name + b": " + b"x" * dice.size(20_000),
                        b"x" * dice.size(20_000) + b": x", b"Content-Length: +5", b"Content-Length: -1",
                        b"Content-Length: 99999999999999999999", b"Content-Length: 0x5",
                        b"Content-Length: 3\r\nContent-Length: 4", b"Content-Length: 3, 3", b"Expect: what",
                        b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked, identity",
                        b"\r\n".join([b"A: b"] * dice.size(2000)), b"Connection: keep-alive, close, upgrade",
                        b"Origin: a\r\nOrigin: b", b"X-Forwarded-For: " + b"1.2.3.4," * dice.size(500),
                        b"Authorization: Bearer \xff\xfe", b"Authorization: Bearer a\r\nAuthorization: x",
                        b"Content-Type: application/json", b"Idempotency-Key: \xff",
                        b"Last-Event-ID: \xe9", b"Connection: close",
                    )
                )
            )  # fmt: skip
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _chunked_lies(self) -> bytes:
        dice = self._dice
        body = self._messages.published()
        chunk = dice.pick(
            (
                b"-1\r\n", b"ffffffffffffffffff\r\n", b"7fffffffffffffff\r\n", b"0x5\r\n", b"5 \r\n", b"\r\n",
                b"g\r\n", b"5;" + b"x" * dice.size(20_000) + b"\r\n", b"5\n", b"5\rhello\r\n", b"%x\r\n" % 3,
                b"0\r\n" + b"A: b\r\n" * dice.size(3000), b"0\r\nContent-Length: 5\r\n\r\n", b"00000\r\n\r\n",
                b"5\r\nhelloXX", b"fffff\r\n", b" 5\r\n",
            )
        )  # fmt: skip
        lines = [
            f"POST /sessions/{dice.pick(SESSIONS)}/messages HTTP/1.1", "Host: localhost",
            "Content-Type: application/json", "Transfer-Encoding: chunked",
        ]  # fmt: skip
        before = b"%x\r\n%b\r\n" % (len(body), body) if dice.chance(0.5) and body else b""
        return _head(lines) + before + chunk + body

    def _smuggling(self) -> bytes:
        dice = self._dice
        first = (
            f"POST /sessions/{dice.pick(SESSIONS)}/messages HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json\r\n"
        ).encode()
        chunked = dice.pick(
            (
                b"Transfer-Encoding: chunked", b"Transfer-Encoding : chunked",
                b"Transfer-Encoding: xchunked", b"Transfer-Encoding:\tchunked",
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", b"X: y\r\n Transfer-Encoding: chunked",
                b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding\0: chunked",
                b"Transfer-Encoding: CHUNKED", b"transfer-encoding: chunked, chunked",
            )
        )  # fmt: skip
        body = b"0\r\n\r\n" + _SMUGGLED
        length = b"Content-Length: %d" % dice.pick((0, 5, len(body), len(body) + 9))
        lines = [chunked, length] if dice.chance(0.5) else [length, chunked]
        return first + b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _upgrade(self) -> bytes:
        dice = self._dice
        head = _head(
            [
                f"{dice.pick(('GET', 'POST'))} {dice.pick(('/', '/ws', '/events'))} HTTP/1.1", "Host: localhost",
                f"Connection: {dice.pick(('upgrade', 'Upgrade, HTTP2-Settings', 'keep-alive'))}",
                f"Upgrade: {dice.pick(('h2c', 'TLS/1.0', 'websocket', 'websocket, h2c', '', 'x'))}",
                *dice.pick(([], ["Content-Length: 5"], ["Transfer-Encoding: chunked"])),
            ]
        )  # fmt: skip
        return head + dice.pick((b"", b"hello", _SMUGGLED, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))


def _head(lines: Sequence[str]) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _value(text: str) -> str:
    """Return a header's value: what it can't hold is left out."""
    return _NO_VALUE.sub("", text).encode("latin-1", "ignore").decode("latin-1").strip()
