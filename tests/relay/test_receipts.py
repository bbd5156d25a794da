"""Receipts on their way to Redis."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import structlog

from relay.broker.broker import Broker
from relay.broker.receipts import ReceiptBook
from relay.errors import BrokerUnavailable
from relay.messages import Hint
from relay.position import Position
from relay.receipts import Receipts
from tests.support.client import client
from tests.support.relay import LocalRelay, local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.sockets import Sockets


@pytest.fixture
async def relay(kind: tuple[Sockets, str]) -> AsyncIterator[LocalRelay]:
    """A relay."""
    sockets, url = kind
    async with local_relay(url, options=sockets.options, linger_s=0.0) as relay:
        yield relay


@pytest.fixture
async def broker(kind: tuple[Sockets, str]) -> AsyncIterator[Broker]:
    """An agent's way to Redis."""
    async with Broker(kind[1]) as broker:
        yield broker


async def _hint(broker: Broker, session: str, hint_id: str) -> Position:
    message = Hint(id=hint_id, text="Breathe.").to_json()
    return (await broker.publish(session, message, hint_id)).position


async def _until(book: ReceiptBook, session: str, expected: dict[str, Position]) -> None:
    async with asyncio.timeout(5):
        while await book.delivered(session) != expected:
            await asyncio.sleep(0.02)


async def test_reports(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """Asked by an agent, a relay writes how far it has served whom; facilitators hear nothing of it."""
    book = ReceiptBook(broker)
    async with (
        client(relay.ws_url, session_id, guest="mara") as mara,
        client(relay.ws_url, session_id, guest="ada", replay="0"),
    ):
        assert await book.ask_for_reports(session_id) == 1
        first = await _hint(broker, session_id, "1")
        await mara.next_of("hint")
        await book.ask_for_reports(session_id)
        await _until(book, session_id, {"guest-mara": first, "guest-ada": first})
        await broker.publish_live(f"hints:{session_id}", b'{"type":"hint","text":"live only"}')
        assert (await mara.next_of("hint"))["text"] == "live only"
        await book.ask_for_reports(session_id)
        second = await _hint(broker, session_id, "2")
        message = await mara.next()
        assert message["type"] == "heartbeat" or message["id"] == "2"
        await book.ask_for_reports(session_id)
        await _until(book, session_id, {"guest-mara": second, "guest-ada": second})
    assert relay.metrics.dropped_publications._value == 0


async def test_who_leaves(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """How far somebody was served is written when it goes, without being asked for."""
    book = ReceiptBook(broker)
    async with client(relay.ws_url, session_id, guest="early"):
        pass
    await _hint(broker, session_id, "1")
    second = await _hint(broker, session_id, "2")
    async with client(relay.ws_url, session_id, guest="mara", replay="1") as mara:
        await mara.next_of("hint")
    await _until(book, session_id, {"guest-mara": second})


class Book(ReceiptBook):
    """Keeps receipts here, when it is not away."""

    def __init__(self) -> None:
        self.is_away = False
        self.positions: dict[str, Mapping[str, Position]] = {}
        self.names: dict[str, Mapping[str, set[str]]] = {}

    async def note_delivered(self, session: str, positions: Mapping[str, Position]) -> None:
        if self.is_away:
            raise BrokerUnavailable("away")
        self.positions[session] = positions

    async def note_seen(self, session: str, names: Mapping[str, set[str]]) -> None:
        if self.is_away:
            raise BrokerUnavailable("away")
        self.names[session] = names


async def test_redis_away() -> None:
    """What Redis does not take waits on, joined with what comes meanwhile; it is said once."""
    book = Book()
    receipts = Receipts(book)
    book.is_away = True
    with structlog.testing.capture_logs() as lines:
        for name in ("a", "b", "a"):
            receipts.note_seen("s", ["h"], name)
            receipts._note_delivered("s", name, Position(1000, len(receipts)))
            await receipts.write()
    assert len(lines) == 1
    assert len(receipts) == 4
    book.is_away = False
    await receipts.write()
    assert book.names == {"s": {"h": {"a", "b"}}}
    assert book.positions == {"s": {"a": Position(1000, 4), "b": Position(1000, 3)}}
    assert len(receipts) == 0


async def test_the_bound() -> None:
    """When too many wait, further ones are dropped, and nothing grows."""
    receipts = Receipts(Book())
    with structlog.testing.capture_logs() as lines:
        for number in range(30_000):
            receipts.note_seen(f"s-{number}", ["h"], "a")
    assert len(receipts) == len(receipts._seen) == 20_000
    assert len(lines) == 1
    await receipts.write()
    assert len(receipts) == len(receipts._seen) == 0


async def test_the_end() -> None:
    """What waits when the worker stops is written."""
    book = Book()
    receipts = Receipts(book)
    running = asyncio.create_task(receipts.run())
    await asyncio.sleep(0)
    receipts.note_seen("s", ["h"], "a")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert book.names == {"s": {"h": {"a"}}}
