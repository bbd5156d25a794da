"""Who is watching, as an agent sees it, over both brokers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

import pytest

from producers import HintPublisher
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard
from relay.errors import BrokerUnavailable, InvalidSession
from tests.support.process import stable_port
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


@pytest.fixture
async def board(redis_url: str) -> AsyncIterator[PresenceBoard]:
    """What relays write on."""
    async with Broker(redis_url) as broker:
        yield PresenceBoard(broker)


async def test_the_present_number(
    publisher: HintPublisher, board: PresenceBoard, session_id: str
) -> None:
    """Awaited, it is how many facilitators are watching now, over all relays."""
    assert await publisher.watching(session_id) == 0
    await board.report(session_id, "relay-1", {"guest-a", "guest-b"})
    await board.report(session_id, "relay-2", {"guest-b", "guest-c"})
    assert await publisher.watching(session_id) == 3


async def test_each_change(publisher: HintPublisher, board: PresenceBoard, session_id: str) -> None:
    """Iterated over, it is the present number, then each change at once, and nothing twice."""
    async with asyncio.timeout(10), aclosing(aiter(publisher.watching(session_id))) as changes:
        assert await anext(changes) == 0
        waiting = asyncio.ensure_future(anext(changes))
        await asyncio.sleep(0.4)
        async with asyncio.timeout(1):
            await board.report(session_id, "relay-1", {"guest-a"})
            assert await waiting == 1
            await board.report(session_id, "relay-1", {"guest-a"})
            await board.report(session_id, "relay-1", {"guest-a", "guest-b"})
            assert await anext(changes) == 2
            await board.report(session_id, "relay-1", ())
            assert await anext(changes) == 0


async def test_all_relays_died(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """When all relays died nobody tells, and it is noticed within some seconds all the same."""
    async with Broker(redis_url) as broker:
        await PresenceBoard(broker, holds_s=1.0).report(session_id, "relay-1", {"guest-a"})
    async with asyncio.timeout(6), aclosing(aiter(publisher.watching(session_id))) as changes:
        assert [await anext(changes), await anext(changes)] == [1, 0]


async def test_waiting_for_a_facilitator(
    publisher: HintPublisher, board: PresenceBoard, session_id: str
) -> None:
    """Waiting ends when somebody is there, at once if somebody is already, or with a TimeoutError."""
    with pytest.raises(TimeoutError):
        await publisher.wait_for_facilitator(session_id, timeout_s=0.1)
    waiting = asyncio.create_task(publisher.wait_for_facilitator(session_id))
    await asyncio.sleep(0.3)
    await board.report(session_id, "relay-1", {"guest-a", "guest-b"})
    async with asyncio.timeout(2):
        assert await waiting == 2
        assert await publisher.wait_for_facilitator(session_id, 0.5) == 2


async def test_cancelled_waiting_leaves_nothing(redis_url: str, session_id: str) -> None:
    """A wait that was cancelled, or an iteration that was left, leaves no task behind."""
    before = asyncio.all_tasks()
    async with HintPublisher(redis_url) as publisher:
        with pytest.raises(TimeoutError):
            await publisher.wait_for_facilitator(session_id, timeout_s=0.2)
        async for _ in publisher.watching(session_id):
            break
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


async def test_closing_ends_the_iteration(redis_url: str, session_id: str) -> None:
    """Closing the publisher ends the iteration."""
    publisher = HintPublisher(redis_url)
    asyncio.get_running_loop().call_later(
        0.3, lambda: closing.append(asyncio.create_task(publisher.close()))
    )
    closing: list[asyncio.Task[None]] = []
    async with asyncio.timeout(2):
        assert [number async for number in publisher.watching(session_id)] == [0]
    await closing[0]


async def test_redis_is_away(session_id: str) -> None:
    """Awaited, it says that Redis is away; iterated over, it goes on when Redis is back."""
    async with HintPublisher(f"redis://127.0.0.1:{stable_port()}/0", give_up_s=0.3) as nowhere:
        with pytest.raises(BrokerUnavailable):
            await nowhere.watching(session_id)
        with pytest.raises(InvalidSession):
            nowhere.watching("a b")
    with RedisServer() as server:
        async with HintPublisher(server.url, timeout_s=0.5) as publisher, asyncio.timeout(30):
            changes = aiter(publisher.watching(session_id))
            assert await anext(changes) == 0
            server.kill()
            waiting = asyncio.ensure_future(anext(changes))
            await asyncio.sleep(0.5)
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
            async with Broker(server.url) as broker:
                await PresenceBoard(broker).report(session_id, "relay-1", {"guest-a"})
            assert await waiting == 1
            await changes.aclose()
