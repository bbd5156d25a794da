"""Readers with a task of their own: what they get next, and when they wake for it."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from producers import HintPublisher
from relay.close_codes import CloseCode
from relay.identity import Identity
from relay.publication import Publication
from relay.socket.woken_reader import WokenReader
from tests.support.relay import LocalRelay, local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.redis import RedisServer


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay whose heartbeats come too late to be in a test's way."""
    async with local_relay(redis_server.url, linger_s=0.0, heartbeat_s=60.0) as relay:
        yield relay


@asynccontextmanager
async def _reading(relay: LocalRelay, session: str) -> AsyncIterator[WokenReader]:
    """Let a reader join and begin."""
    reader = WokenReader(relay.serving, Identity("mara", True, False))
    room, welcome = await relay.hub.join(session, reader, None, None)
    reader.start(room, welcome)
    relay.serving.heartbeat.add(reader)
    yield reader
    relay.serving.heartbeat.discard(reader)
    relay.hub.leave(room, reader)


@pytest.fixture
async def reader(relay: LocalRelay, session_id: str) -> AsyncIterator[WokenReader]:
    """A reader that has joined and begun."""
    async with _reading(relay, session_id) as reader:
        yield reader


async def _kinds(reader: WokenReader) -> list[str]:
    async with asyncio.timeout(5):
        batch = await reader.next_batch()
    return [] if batch is None else [json.loads(one.payload)["type"] for one in batch]


def _message(kind: str) -> Publication:
    return Publication(None, json.dumps({"type": kind}).encode())


async def test_the_connection_message_is_first(reader: WokenReader) -> None:
    """What is told to somebody before anything was sent comes behind the first message."""
    reader.tell(_message("told"))
    assert await _kinds(reader) == ["connection"]
    assert await _kinds(reader) == ["told"]


async def test_it_sleeps_until_something_comes(
    reader: WokenReader, redis_server: RedisServer, session_id: str
) -> None:
    """A publication, an answer and who is watching each wake it."""
    await _kinds(reader)
    async with HintPublisher(redis_server.url) as publisher:
        for kind in ("hint", "told", "presence"):
            waiting = asyncio.create_task(_kinds(reader))
            await asyncio.sleep(0.02)
            assert not waiting.done()
            match kind:
                case "hint":
                    await publisher.hint(session_id, "one")
                case "told":
                    reader.tell(_message("told"))
                case _:
                    reader.show_presence(_message("presence"))
            assert await waiting == [kind]


async def test_presence_that_was_shown(reader: WokenReader) -> None:
    """The same presence is shown once."""
    await _kinds(reader)
    presence = _message("presence")
    reader.show_presence(presence)
    reader.show_presence(presence)
    assert await _kinds(reader) == ["presence"]
    reader.beat()
    assert await _kinds(reader) == ["heartbeat"]


async def test_silence(redis_server: RedisServer, session_id: str) -> None:
    """In silence a heartbeat comes, again and again."""
    async with (
        local_relay(redis_server.url, linger_s=0.0, heartbeat_s=0.3) as relay,
        _reading(relay, session_id) as reader,
    ):
        assert [await _kinds(reader) for _ in range(3)] == [
            ["connection"],
            ["heartbeat"],
            ["heartbeat"],
        ]


async def test_the_end(reader: WokenReader) -> None:
    """What was told comes before the end, and nothing after it; the first reason stays."""
    await _kinds(reader)
    reader.tell(_message("told"))
    reader.end(CloseCode.UNAUTHORIZED)
    reader.end(CloseCode.RESTART)
    assert await _kinds(reader) == ["told"]
    assert await reader.next_batch() is None
    assert reader.ending is CloseCode.UNAUTHORIZED


async def test_an_end_while_it_sleeps(reader: WokenReader) -> None:
    """It wakes to end."""
    await _kinds(reader)
    waiting = asyncio.create_task(reader.next_batch())
    await asyncio.sleep(0.02)
    reader.end(CloseCode.RESTART)
    assert await waiting is None


async def test_behind_the_ring(redis_server: RedisServer, session_id: str) -> None:
    """Who has been overtaken gets nothing more, and is too slow."""
    async with (
        local_relay(redis_server.url, ring_messages=5, linger_s=0.0) as relay,
        HintPublisher(redis_server.url) as publisher,
    ):
        reader = WokenReader(relay.serving)
        room, welcome = await relay.hub.join(session_id, reader, None, None)
        reader.start(room, welcome)
        await _kinds(reader)
        for n in range(6):
            await publisher.hint(session_id, str(n))
        await relay.until(lambda: room.feed.end - reader.cursor == 6, "all have arrived")
        assert await reader.next_batch() is None
        assert reader.ending is CloseCode.TOO_SLOW
        relay.hub.leave(room, reader)


async def test_what_was_sent_is_counted(
    relay: LocalRelay, reader: WokenReader, redis_server: RedisServer, session_id: str
) -> None:
    """Each publication that it takes counts as a delivery, and moves how far it was served."""
    await _kinds(reader)
    async with HintPublisher(redis_server.url) as publisher:
        sent = [await publisher.hint(session_id, str(n)) for n in range(3)]
    while reader.delivered() != sent[-1].position:
        await _kinds(reader)
    assert reader.sent == 3
    assert int(relay.metrics.deliveries._value) == 3
