"""Opening handshakes, right and wrong (RFC 6455 section 4.2)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri
from websockets.utils import accept_key

from relay.socket.handshake import Handshake, is_too_large
from tests.support.relay import PLAIN_ASGI, local_relay
from tests.support.websocket import RawClient, request

if TYPE_CHECKING:
    from tests.support.redis import RedisServer

Headers = list[tuple[bytes, bytes]]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The example of RFC 6455 section 1.3."""


def _headers(
    *more: tuple[bytes, bytes], without: bytes = b"", key: bytes = KEY.encode()
) -> Headers:
    """Return a browser's header lines; those in ``more`` replace lines of their name."""
    usual = [
        (b"host", b"relay.test"),
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", key),
    ]
    gone = {without, *(name for name, _ in more)}
    return [header for header in usual if header[0] not in gone] + list(more)


def _shake(headers: Headers, method: str = "GET", http_version: str = "1.1") -> Handshake | None:
    return Handshake.of_request(method, http_version, headers)


# What is answered


def test_the_example() -> None:
    """The key of RFC 6455 section 1.3 is answered as it says there."""
    handshake = _shake(_headers())
    assert handshake == Handshake("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", [])


_GOOD: dict[str, Headers] = {
    "a browser's": _headers(
        (b"user-agent", b"Mozilla/5.0"),
        (b"origin", b"https://example.com"),
        (b"sec-websocket-extensions", b"permessage-deflate; client_max_window_bits"),
        (b"cookie", b"a=b"),
    ),
    "capital letters in values": _headers((b"connection", b"UPGRADE"), (b"upgrade", b"WebSocket")),
    "several connection options": _headers((b"connection", b"keep-alive, Upgrade")),
    "several connection lines": _headers((b"connection", b"x"), (b"connection", b"upgrade")),
    "empty elements": _headers((b"connection", b" ,\t, upgrade ,,")),
    "IPv6 host": _headers((b"host", b"[::1]:8000")),
    "other lines twice": _headers((b"cookie", b"a"), (b"cookie", b"b"), (b"x", b""), (b"x", b"")),
    "bytes that are not ASCII": _headers((b"cookie", bytes(range(128, 256)))),
    "128 lines": _headers(*[(b"x-%d" % n, b"y") for n in range(123)]),
}


@pytest.mark.parametrize("headers", _GOOD.values(), ids=_GOOD.keys())
def test_plain_requests(headers: Headers) -> None:
    """Whatever RFC 6455 allows a browser to send is answered at once."""
    assert _shake(headers) == Handshake(accept_key(KEY), [])


_LEFT: dict[str, Headers] = {
    **{
        f"without {name.decode()}": _headers(without=name)
        for name in (
            b"host",
            b"connection",
            b"upgrade",
            b"sec-websocket-version",
            b"sec-websocket-key",
        )
    },
    **{
        f"{name.decode()} twice": _headers((name, value), (name, value))
        for name, value in _headers((b"origin", b"https://example.com"))
        if name != b"connection"
    },
    "two hosts": _headers((b"host", b"a"), (b"host", b"b")),
    "connection without upgrade": _headers((b"connection", b"keep-alive")),
    "connection that only begins so": _headers((b"connection", b"upgrades, x-upgrade")),
    "connection that is no list of tokens": _headers((b"connection", b"upgrade, (x)")),
    "empty connection": _headers((b"connection", b"")),
    "other upgrade": _headers((b"upgrade", b"h2c")),
    "two upgrades": _headers((b"upgrade", b"websocket, h2c")),
    "empty upgrade": _headers((b"upgrade", b"")),
    **{
        f"version {version!r}": _headers((b"sec-websocket-version", version))
        for version in (b"", b"8", b"12", b"14", b"013", b"13.0", b"13, 8", b"\xb9\xb3")
    },
    "key of 15 bytes": _headers(key=base64.b64encode(b"x" * 15)),
    "key of 17 bytes": _headers(key=base64.b64encode(b"x" * 17)),
    "key of 18 bytes": _headers(key=base64.b64encode(b"x" * 18)),
    "empty key": _headers(key=b""),
    "key that is not base64": _headers(key=b"!" * 24),
    "key with a blank": _headers(key=b"dGhlIHNhbXBs ZSBub25jZQ="),
    "key without padding": _headers(key=KEY.encode().rstrip(b"=")),
    "key of the URL alphabet": _headers(key=base64.urlsafe_b64encode(b"\xff" * 16)),
    "key that is not ASCII": _headers(key="é".encode() * 12),
    "padding alone": _headers(key=b"=" * 24),
    "empty subprotocols": _headers((b"sec-websocket-protocol", b"")),
    "subprotocols of commas": _headers((b"sec-websocket-protocol", b", ,")),
    "subprotocol with a blank": _headers((b"sec-websocket-protocol", b"hints v1")),
    "subprotocol that is no token": _headers((b"sec-websocket-protocol", b"hints.v1, a/b")),
    "subprotocol that is not ASCII": _headers((b"sec-websocket-protocol", b"\xe9")),
    "nothing": [],
}


@pytest.mark.parametrize("headers", _LEFT.values(), ids=_LEFT.keys())
def test_requests_that_are_left_to_the_server(headers: Headers) -> None:
    """Whatever breaks a rule of RFC 6455 section 4.2.1 is not answered here."""
    assert _shake(headers) is None


@pytest.mark.parametrize("method", ["POST", "HEAD", "get", "CONNECT", "OPTIONS", ""])
def test_other_methods(method: str) -> None:
    """Only GET opens a WebSocket."""
    assert _shake(_headers(), method=method) is None


@pytest.mark.parametrize("http_version", ["1.0", "2", "2.0", "0.9", ""])
def test_other_versions_of_http(http_version: str) -> None:
    """Only HTTP/1.1 has WebSockets of this kind."""
    assert _shake(_headers(), http_version=http_version) is None


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], []),
        (["hints.v1"], ["hints.v1"]),
        (["a, hints.v1 ,b"], ["a", "hints.v1", "b"]),
        (["a", "hints.v1"], ["a", "hints.v1"]),
        ([",a,,b,"], ["a", "b"]),
        (["bearer.eyJhbGciOiJIUzI1NiJ9.e30.x-Y_z"], ["bearer.eyJhbGciOiJIUzI1NiJ9.e30.x-Y_z"]),
    ],
)
def test_subprotocols(lines: list[str], expected: list[str]) -> None:
    """Offers come in the client's order, over several lines too."""
    handshake = _shake(_headers(*[(b"sec-websocket-protocol", line.encode()) for line in lines]))
    assert handshake is not None
    assert handshake.subprotocols == expected


_names = st.one_of(
    st.sampled_from([name for name, _ in _headers()] + [b"sec-websocket-protocol", b"origin"]),
    st.binary(max_size=12),
)
_values = st.one_of(
    st.sampled_from([value for _, value in _headers()] + [b"", b",", b"hints.v1"]),
    st.binary(max_size=40),
)


@given(st.text(max_size=8), st.text(max_size=4), st.lists(st.tuples(_names, _values), max_size=12))
def test_any_headers_at_all(method: str, http_version: str, headers: Headers) -> None:
    """No bytes in a request make it raise."""
    for one in (headers, _headers() + headers, headers + _headers()):
        for line in ((method, http_version), ("GET", "1.1")):
            handshake = Handshake.of_request(*line, one)
            assert handshake is None or handshake.response(None, [])


@given(st.lists(st.tuples(_names, _values), max_size=3), st.binary(min_size=16, max_size=16))
def test_an_answer_is_one_that_clients_take(headers: Headers, key: bytes) -> None:
    """Whatever is answered has the accept value of its own, single key."""
    encoded = base64.b64encode(key)
    handshake = _shake(_headers(key=encoded) + headers)
    if handshake is not None:
        assert handshake.accept == accept_key(encoded.decode())
        assert all(
            token and token.isascii() and not set(token) & set(' \t",;()/')
            for token in handshake.subprotocols
        )


# The answer


@pytest.mark.parametrize("subprotocol", [None, "hints.v1"])
def test_the_answer(subprotocol: str | None) -> None:
    """The websockets library's client takes the answer, with our more headers and no extension."""
    client = ClientProtocol(parse_uri("ws://relay.test/ws"), subprotocols=["hints.v1"])  # type: ignore[list-item]
    sent = client.connect()
    client.send_request(sent)
    headers = [(name.lower().encode(), value.encode()) for name, value in sent.headers.raw_items()]
    handshake = _shake(headers)
    assert handshake is not None
    client.receive_data(handshake.response(subprotocol, [(b"date", b"today"), (b"x", b"\xe9")]))
    (answer,) = client.events_received()
    assert isinstance(answer, Response)
    assert client.state is State.OPEN, client.handshake_exc
    assert client.subprotocol == subprotocol
    assert client.extensions == []
    assert (answer.status_code, answer.headers["date"], answer.headers["x"]) == (101, "today", "é")


# The running server

_PATH = "/ws?session=handshake"


def _with(*headers: tuple[str, str], **options: Any) -> bytes:
    return request(_PATH, key=KEY, headers=headers, **options)


# Each with the status that both of our ways to serve WebSockets must give.
_REQUESTS: dict[str, tuple[int, bytes]] = {
    "a browser's": (101, _with()),
    "capital letters": (101, _with(("CONNECTION", "UPGRADE"), ("UPGRADE", "WebSocket"))),
    "several connection options": (101, _with(("Connection", "keep-alive, Upgrade"))),
    "several connection lines": (
        101,
        _with(("Connection", "keep-alive"), ("Connection", "Upgrade")),
    ),
    "blanks around the key": (101, request(_PATH, key=f" \t{KEY}\t ")),
    "an extension": (101, _with(("Sec-WebSocket-Extensions", "permessage-deflate"))),
    "an extension that is no extension": (101, _with(("Sec-WebSocket-Extensions", "((("))),
    "subprotocols": (101, _with(("Sec-WebSocket-Protocol", "a"), ("Sec-WebSocket-Protocol", "b"))),
    "escapes in the path": (101, request("/%77s?session=handshake")),
    # RFC 9112 wants a refusal; neither uvicorn nor the library looks, and a proxy has.
    "no host": (101, _with(without=["Host"])),
    "two hosts": (101, _with(("Host", "a"), ("Host", "b"))),
    # As uvicorn reads it. RFC 6455 section 4.1 asks for "HTTP/1.1 or higher".
    "HTTP/1.0": (101, _with(line=f"GET {_PATH} HTTP/1.0")),
    "no key": (400, _with(without=["Sec-WebSocket-Key"])),
    "empty key": (400, request(_PATH, key="")),
    "short key": (400, request(_PATH, key=base64.b64encode(b"x" * 15).decode())),
    "long key": (400, request(_PATH, key=base64.b64encode(b"x" * 17).decode())),
    "key that is not base64": (400, request(_PATH, key="!" * 24)),
    "key that is not ASCII": (400, request(_PATH, key="é" * 24)),
    "two keys": (400, _with(("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Key", KEY))),
    "no version": (400, _with(without=["Sec-WebSocket-Version"])),
    "version 8": (400, _with(("Sec-WebSocket-Version", "8"))),
    "two versions": (400, _with(*[("Sec-WebSocket-Version", "13")] * 2)),
    "list of versions": (400, _with(("Sec-WebSocket-Version", "13, 8"))),
    "two origins": (400, _with(("Origin", "https://a.test"), ("Origin", "https://b.test"))),
    "malformed connection": (400, _with(("Connection", "Upgrade, (x)"))),
    "empty subprotocols": (400, _with(("Sec-WebSocket-Protocol", ""))),
    "malformed subprotocols": (400, _with(("Sec-WebSocket-Protocol", "hints.v1, (x)"))),
    "two upgrades": (426, _with(*[("Upgrade", "websocket")] * 2)),
    "POST": (405, _with(line=f"POST {_PATH} HTTP/1.1")),
    "HEAD": (405, _with(line=f"HEAD {_PATH} HTTP/1.1")),
    "not ASCII in the path": (400, request("/wsé?session=x")),
    "not HTTP": (400, b"hello\r\n\r\n"),
    # Not upgrade requests in uvicorn's eyes: plain ones, for a path that serves none.
    "no connection": (404, _with(without=["Connection"])),
    "connection without upgrade": (404, _with(("Connection", "keep-alive"))),
    "no upgrade": (404, _with(without=["Upgrade"])),
    "another upgrade": (404, _with(("Upgrade", "h2c"))),
    # As every path that is not there.
    "unknown path": (403, request("/nowhere")),
    "asterisk": (403, request("*")),
    "two slashes": (403, request("//")),
    "bad escape": (403, request("/ws%ff?session=x")),
}


async def _status(port: int, data: bytes) -> int | str:
    with await RawClient.connect(port, timeout_s=5) as client:
        try:
            return (await client.ask(data)).status
        except (AssertionError, ConnectionError) as error:
            return f"{type(error).__name__}: {error}"


async def test_the_server_answers_as_uvicorn_does(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Each request gets the status that uvicorn's own protocol gives it, and no traceback."""
    async with (
        local_relay(redis_server.url) as own,
        local_relay(redis_server.url, options=PLAIN_ASGI) as plain,
    ):
        got: dict[str, object] = {}
        for name, (_, data) in _REQUESTS.items():
            got[name] = [await _status(port, data) for port in (own.port, plain.port)]
        assert got == {name: [status, status] for name, (status, _) in _REQUESTS.items()}
        await own.until(lambda: not own.open_connections, "all connections closed")
        await own.until(lambda: not own.hub.readers, "all readers gone")
    assert [record for record in caplog.records if record.exc_info] == []


# Where we serve and uvicorn's own does not: it hands the request to the library in a form that the
# library gives up on, and then neither answers nor closes.
_SERVED_HERE_ONLY = {
    "a body of nothing": _with(("Content-Length", "0")),
    "absolute form": request(f"http://relay.test{_PATH}"),
}


@pytest.mark.parametrize("data", _SERVED_HERE_ONLY.values(), ids=_SERVED_HERE_ONLY.keys())
async def test_what_only_we_serve(redis_server: RedisServer, data: bytes) -> None:
    """Unusual requests that break no rule are served."""
    async with local_relay(redis_server.url) as relay:
        with await RawClient.connect(relay.port) as client:
            assert (await client.ask(data)).status == 101
            assert (await client.welcome())["session"] == "handshake"


@pytest.mark.parametrize(
    "data",
    [
        _with(("Content-Length", "3")) + b"abc",
        _with(("Transfer-Encoding", "chunked")) + b"0\r\n\r\n",
        request(_PATH, key="wrong", headers=[("Content-Length", "3")]) + b"abc",
    ],
    ids=["length", "chunks", "wrong key"],
)
async def test_a_body(redis_server: RedisServer, data: bytes) -> None:
    """A handshake with a body is refused: what comes behind it must be frames."""
    async with local_relay(redis_server.url) as relay:
        assert await _status(relay.port, data) == 400
        await relay.until(lambda: not relay.open_connections, "the connection closed")


@pytest.mark.parametrize(
    ("target", "status"),
    [("http://relay.test?session=x", 403), ("http://:99999/ws?session=x", 400)],
)
async def test_strange_targets(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture, target: str, status: int
) -> None:
    """A target that httptools lets through and can't take apart is refused without a traceback."""
    async with local_relay(redis_server.url) as relay:
        assert await _status(relay.port, request(target)) == status
        await relay.until(lambda: not relay.open_connections, "the connection closed")
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize(
    "extra",
    [
        [(f"X-{n}", "y") for n in range(200)],
        [("Cookie", "c" * 9000)],
        [("X-" + "n" * 9000, "")],
    ],
    ids=["many", "long", "long name"],
)
async def test_too_large(redis_server: RedisServer, extra: list[tuple[str, str]]) -> None:
    """A request with too many or too long header lines is refused, and delays nobody's shutdown.

    uvicorn's own protocol would not answer it at all, and fail at the end.
    """
    async with local_relay(redis_server.url) as relay:
        assert await _status(relay.port, _with(*extra)) == 431
        assert await _status(relay.port, _with()) == 101
        await relay.until(lambda: not relay.open_connections, "both gone")


@pytest.mark.parametrize(
    ("url", "headers", "expected"),
    [
        (b"/ws", _headers(), False),
        (b"x" * 8192, [], False),
        (b"x" * 8193, [], True),
        (b"", [(b"x", b"y")] * 128, False),
        (b"", [(b"x", b"y")] * 129, True),
        (b"", [(b"x", b"y" * 8191)], False),
        (b"", [(b"x", b"y" * 8192)], True),
        (b"", [(b"x" * 8193, b"")], True),
    ],
    ids=range(8),
)
def test_sizes(url: bytes, headers: Headers, expected: bool) -> None:
    """Each bound counts by itself."""
    assert is_too_large(url, headers) is expected
