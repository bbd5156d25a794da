"""What became of hints, as several workers write it down."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.broker import keys
from relay.broker.broker import Broker
from relay.broker.receipts import ReceiptBook
from relay.position import Position

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """A broker that keeps sessions for a minute."""
    async with Broker(redis_url, log_ttl_s=60) as broker:
        yield broker


@pytest.fixture
def book(broker: Broker) -> ReceiptBook:
    """The book."""
    return ReceiptBook(broker)


async def test_how_far_somebody_was_served(book: ReceiptBook, session_id: str) -> None:
    """The note that is furthest counts for each facilitator, whichever relay comes last."""
    await book.note_delivered(session_id, {"anna": Position(7, 1), "ben": Position(7, 2)})
    await book.note_delivered(session_id, {"anna": Position(7, 10), "ben": Position(8, 1)})
    await book.note_delivered(session_id, {"anna": Position(7, 9), "ben": Position(7, 3)})
    assert await book.delivered(session_id) == {"anna": Position(7, 10), "ben": Position(8, 1)}


async def test_who_has_seen_a_hint(book: ReceiptBook, session_id: str) -> None:
    """Each facilitator counts once for each hint, however often it is noted."""
    await book.note_seen(session_id, {"h1": {"anna", "ben"}, "h2": {"anna"}})
    await book.note_seen(session_id, {"h1": {"anna"}})
    assert await book.seen(session_id, "h1") == {"anna", "ben"}
    assert await book.seen(session_id, "h2") == {"anna"}
    assert await book.seen(session_id, "h3") == set()


async def test_nothing_to_note(book: ReceiptBook, session_id: str) -> None:
    """Empty notes write nothing."""
    await book.note_delivered(session_id, {})
    await book.note_seen(session_id, {})
    assert await book.delivered(session_id) == {}


async def test_receipts_go_with_the_session(
    broker: Broker, book: ReceiptBook, session_id: str
) -> None:
    """What is noted is kept as long as the session, and no longer."""
    await book.note_delivered(session_id, {"anna": Position(7, 1)})
    await book.note_seen(session_id, {"h1": {"anna"}})
    for key in (keys.delivered(session_id), keys.seen(session_id, "h1")):
        assert 0 < await broker.redis.pttl(key) <= 60_000


async def test_relays_are_asked_for_reports(book: ReceiptBook, session_id: str) -> None:
    """Without a relay on the session nobody is asked."""
    assert await book.ask_for_reports(session_id) == 0
