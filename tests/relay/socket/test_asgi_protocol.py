"""uvicorn's WebSocket protocol with what it lacks towards rude clients."""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING

import pytest
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from producers import HintPublisher
from tests.support.relay import local_relay
from tests.support.websocket import (
    CONT,
    PING,
    PONG,
    TEXT,
    RawClient,
    close_frame,
    frame,
    request,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.redis import RedisServer
    from tests.support.relay import LocalRelay

_NO_TEXT = frame(TEXT, b"\xff")
_PING = frame(TEXT, b'{"type":"ping"}')


@pytest.fixture
async def relay(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[LocalRelay]:
    """A relay that compresses, and writes nothing of its failures because it has none."""
    async with local_relay(redis_server.url, websocket_deflate=True, linger_s=0.1) as running:
        yield running
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_contract_of_the_base() -> None:
    """What ``AsgiProtocol`` takes from uvicorn is there, and does what it did."""
    source = {
        name: inspect.getsource(getattr(WebSocketsSansIOProtocol, name))
        for name in ("__init__", "handle_connect", "send", "handle_parser_exception")
    }
    for where, what in (
        ("__init__", "self.handshake_initiated = False"),
        ("__init__", "self.handshake_complete = False"),
        ("__init__", "self.close_sent = False"),
        ("__init__", "self.curr_msg_data_type"),
        ("__init__", "self.frames: list[bytes] = []"),
        ("handle_connect", "self.handshake_initiated = True"),
        ("send", "self.handshake_complete = True"),
        ("handle_parser_exception", "assert self.conn.close_sent is not None"),
    ):
        assert what in source[where], (
            f"uvicorn {uvicorn.__version__} has changed: look at relay/socket/asgi_protocol.py "
            f"before taking the new version: {where}: {what}"
        )


@pytest.mark.parametrize("pieces", [1, 2])
async def test_bytes_right_behind_the_handshake(
    relay: LocalRelay, session_id: str, pieces: int
) -> None:
    """What a hasty client sends with its handshake, in one packet or the next, is not lost."""
    data, after = request(f"/ws?session={session_id}"), frame(PING, b"x") + _PING
    with await RawClient.connect(relay.port) as raw:
        if pieces == 1:
            await raw.send(data + after)
        else:
            await raw.send_in_pieces(data, len(data))
            await raw.send(after)
        assert (await raw.read_answer()).status == 101
        first = await raw.read_frame()
        assert first is not None
        assert (first.opcode, first.payload) == (PONG, b"x")
        await raw.welcome()
        assert (await raw.next(passing=())).json["type"] == "heartbeat"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_NO_TEXT, 1007),
        (_PING * 20 + _NO_TEXT, 1007),
        (frame(CONT, b""), 1002),
        (b"\xff" * 99, 1002),
    ],
    ids=["no text", "messages and no text", "no beginning", "no frames"],
)
@pytest.mark.parametrize("session", ["good-one", "not/one"])
async def test_a_breach_right_behind_the_handshake(
    relay: LocalRelay, session: str, data: bytes, code: int
) -> None:
    """Who breaks the protocol in the first packet is told, whether served or refused."""
    with await RawClient.connect(relay.port) as raw:
        await raw.open(f"/ws?session={session}", after=data)
        assert await raw.closed() == code
    await relay.until_nothing_is_left()


@pytest.mark.parametrize("data", [_NO_TEXT, frame(TEXT, b"\xf0\x9f", fin=False) + frame(CONT, b"")])
async def test_text_that_is_none(relay: LocalRelay, session_id: str, data: bytes) -> None:
    """A text frame that is no UTF-8 closes with 1007, and is nobody's failure."""
    with await RawClient.connect(relay.port) as raw:
        await raw.open(f"/ws?session={session_id}")
        await raw.welcome()
        await raw.send(data)
        assert await raw.closed() == 1007


@pytest.mark.parametrize(
    "last", [b"", close_frame(), b"\xff" * 9], ids=["silence", "close", "breach"]
)
async def test_leaving_without_reading(
    redis_server: RedisServer, session_id: str, monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    """Who reads nothing any more is gone soon, whatever was its last word, and counts no longer."""
    monkeypatch.setattr("relay.socket.asgi_protocol._FAREWELL_S", 0.1)
    async with (
        local_relay(
            redis_server.url, websocket_deflate=True, heartbeat_s=0.5, linger_s=0.0
        ) as relay,
        HintPublisher(redis_server.url) as publisher,
    ):
        with await RawClient.connect(relay.port, receive_buffer=2048) as raw:
            await raw.open(f"/ws?session={session_id}")
            await raw.welcome()
            (protocol,) = relay.open_connections
            while not protocol.transport.get_write_buffer_size():
                await publisher.hint(session_id, "x" * 30_000)
            await raw.send(last)
            await relay.until_nothing_is_left(timeout_s=5)
