"""Who is watching, as several workers write it down."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from relay.broker import keys
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard
from relay.errors import BrokerUnavailable
from tests.support.process import stable_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HOLDS_S = 0.3


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """A broker."""
    async with Broker(redis_url) as broker:
        yield broker


@pytest.fixture
def board(broker: Broker) -> PresenceBoard:
    """A board on which nothing holds for long."""
    return PresenceBoard(broker, holds_s=_HOLDS_S)


async def test_nobody(board: PresenceBoard, session_id: str) -> None:
    """A session that nobody watches has nobody, and nothing is told about it."""
    watching = await board.look(session_id)
    assert (watching.facilitators, watching.told) == (0, False)


async def test_all_workers_count(board: PresenceBoard, session_id: str) -> None:
    """What several workers say is added up, each change told once."""
    first = await board.report(session_id, "w1", {"anna"})
    second = await board.report(session_id, "w2", {"ben", 'c"\\é'})
    assert (first.facilitators, first.told) == (1, True)
    assert (second.facilitators, second.told) == (3, True)
    assert json.loads(second.message) == {
        "type": "presence", "facilitators": 3, "who": ["anna", "ben", 'c"\\é'],
    }  # fmt: skip
    assert await board.look(session_id) == second._replace(told=False)


async def test_one_person_on_two_workers_is_one(board: PresenceBoard, session_id: str) -> None:
    """A reconnect that the old relay has not noticed yet makes nobody twice."""
    await board.report(session_id, "w1", {"anna"})
    watching = await board.report(session_id, "w2", {"anna"})
    assert (watching.facilitators, watching.told) == (1, False)


async def test_leaving(board: PresenceBoard, session_id: str) -> None:
    """A worker with nobody left is struck out at once."""
    await board.report(session_id, "w1", {"anna"})
    watching = await board.report(session_id, "w1", set())
    assert (watching.facilitators, watching.told) == (0, True)


async def test_what_a_dead_worker_said_expires(board: PresenceBoard, session_id: str) -> None:
    """Whoever looks next strikes it out, and tells everybody."""
    await board.report(session_id, "dead", {"anna"})
    await asyncio.sleep(_HOLDS_S + 0.05)
    watching = await board.look(session_id)
    assert (watching.facilitators, watching.told) == (0, True)


async def test_saying_it_again_keeps_it(board: PresenceBoard, session_id: str) -> None:
    """A worker that says the same in time is believed on, and nothing is told."""
    await board.report(session_id, "w1", {"anna"})
    for _ in range(3):
        await asyncio.sleep(_HOLDS_S / 2)
        again = await board.report(session_id, "w1", {"anna"})
        assert (again.facilitators, again.told) == (1, False)


async def test_many_are_counted_and_some_are_named(board: PresenceBoard, session_id: str) -> None:
    """Of hundreds, the number is right and the message stays small."""
    await board.report(session_id, "w1", {f"guest-{n}" for n in range(300)})
    watching = await board.report(session_id, "w2", {f"other-{n}" for n in range(300)})
    assert watching.facilitators == 600
    assert len(json.loads(watching.message)["who"]) == 64


async def test_nothing_is_left_behind(
    broker: Broker, board: PresenceBoard, session_id: str
) -> None:
    """What was written down about a session goes by itself."""
    await board.report(session_id, "w1", {"anna"})
    assert 0 < await broker.redis.pttl(keys.presence(session_id)) <= 10 * _HOLDS_S * 1000


async def test_several_sessions(board: PresenceBoard, session_id: str) -> None:
    """Many sessions are reported in one round trip, each with its own answer, in order."""
    reports = [(f"{session_id}-{n}", [f"n{n}"] * bool(n % 3)) for n in range(100)]
    answers = await board.report_all("w", reports)
    assert [answer.facilitators for answer in answers] == [n % 3 > 0 for n in range(100)]
    assert b'"n99"' not in answers[-1].message
    assert b'"n98"' in answers[98].message


async def test_without_redis(session_id: str) -> None:
    """Without Redis it says so."""
    async with Broker(f"redis://127.0.0.1:{stable_port()}/0") as broker:
        with pytest.raises(BrokerUnavailable):
            await PresenceBoard(broker).report(session_id, "w", ["a"])
