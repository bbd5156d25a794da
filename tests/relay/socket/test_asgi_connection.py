"""Connections over plain ASGI: under another server, and against a server that says little."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintPublisher
from relay.close_codes import CloseCode
from tests.support.relay import PLAIN_ASGI, LocalRelay, local_relay
from tests.support.websocket import TEXT, RawClient, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.redis import RedisServer


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay whose sockets are served over plain ASGI."""
    async with local_relay(
        redis_server.url,
        options=PLAIN_ASGI,
        linger_s=0.0,
        heartbeat_s=60.0,
        inbound_burst=1_000_000,
        inbound_bytes_per_s=1e9,
    ) as relay:
        yield relay


async def test_a_slow_reader_goes_on(redis_server: RedisServer, session_id: str) -> None:
    """Who pauses gets everything, in order, when it reads on."""
    async with (
        HintPublisher(redis_server.url) as publisher,
        local_relay(
            redis_server.url, options=PLAIN_ASGI, ring_bytes=10_000_000, heartbeat_s=60.0
        ) as relay,
    ):
        with await RawClient.connect(relay.port, receive_buffer=4096) as raw:
            await raw.open(f"/ws?session={session_id}")
            await raw.welcome()
            for number in range(100):
                await publisher.hint(session_id, f"{number} {'x' * 20_000}")
            for number in range(100):
                assert (await raw.next()).json["text"].startswith(f"{number} ")


async def test_a_flood_without_reading(relay: LocalRelay, session_id: str) -> None:
    """Who makes it answer and reads no answers is soon not read either."""
    with await RawClient.connect(relay.port, receive_buffer=4096) as raw:
        await raw.open(f"/ws?session={session_id}")
        await raw.welcome()
        data = frame(TEXT, b"garbage") * 5000
        sent, stuck = 0, 0
        while sent < 20_000_000 and stuck < 200:
            just_sent = raw.send_what_fits(data[sent % len(data) :])
            sent += just_sent
            stuck = 0 if just_sent else stuck + 1
            await asyncio.sleep(0)
        assert sent < 20_000_000, "it reads on for ever"
        raw.reset()
    await relay.until_nothing_is_left()


async def test_a_server_without_codes(relay: LocalRelay, session_id: str) -> None:
    """Servers may leave out the code of a disconnect, and ``text`` or ``bytes`` of a message."""
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    scope = {
        "type": "websocket", "asgi": {"version": "3.0", "spec_version": "2.4"}, "path": "/ws",
        "query_string": f"session={session_id}".encode(), "headers": [(b"host", b"localhost")],
        "subprotocols": [],
        "root_path": "", "scheme": "ws",
    }  # fmt: skip
    for message in (
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "garbage"},
        {"type": "websocket.receive", "text": None, "bytes": b"\x00"},
    ):
        incoming.put_nowait(message)
    running = asyncio.create_task(relay.app(scope, incoming.get, sent.put))
    async with asyncio.timeout(10):
        assert (await sent.get())["type"] == "websocket.accept"
        kinds = [json.loads((await sent.get())["text"])["type"] for _ in range(3)]
        assert kinds == ["connection", "error", "error"]
        incoming.put_nowait({"type": "websocket.disconnect"})
        await running
    await relay.until_nothing_is_left()


async def test_a_cancelled_endpoint(relay: LocalRelay, session_id: str) -> None:
    """A server that cancels the endpoint's task leaves nothing behind."""
    with await RawClient.connect(relay.port) as raw:
        await raw.open(f"/ws?session={session_id}")
        await raw.welcome()
        assert relay.server is not None
        for task in list(relay.server.server_state.tasks):
            task.cancel()
        code = (await raw.next()).close_code
        assert code == CloseCode.INTERNAL_ERROR
        await raw.send(close_frame(code))
        assert await raw.read_to_end() == b""
    await relay.until_nothing_is_left()
