"""What an agent hears of its facilitators, over both brokers and a Redis that comes and goes."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintPublisher
from relay.broker.broker import Broker
from relay.errors import InvalidPosition, InvalidSession, PublisherClosed
from relay.messages import Append, Command, Connection, Feedback, Hint, Message
from relay.position import Position
from tests.support.process import stable_port
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """What relays use."""
    async with Broker(redis_url) as broker:
        yield broker


async def _next(messages: AsyncGenerator[Message], count: int) -> list[Any]:
    async with asyncio.timeout(20):
        return [await anext(messages) for _ in range(count)]


async def test_everything_since(publisher: HintPublisher, broker: Broker, session_id: str) -> None:
    """With ``since``, kept and live messages come each once and in order, as what they are."""
    sent = [await publisher.hint(session_id, str(n)) for n in range(3)]
    used = Feedback(hint=sent[0].id, action="used", by="guest-a")
    steer = Command(name="steer", text="More.", by="guest-a")
    await broker.publish(session_id, used.to_json(), used.id)
    async with aclosing(publisher.listen(session_id, str(sent[1].position))) as messages:
        hint, feedback = await _next(messages, 2)
        assert isinstance(hint, Hint)
        assert (hint.text, hint.position) == ("2", str(sent[2].position))
        assert isinstance(feedback, Feedback)
        assert feedback.model_copy(update={"position": None}) == used
        await broker.publish(session_id, steer.to_json(), steer.id)
        await broker.publish(session_id, b'{"type":"gesture","hand":"left"}', "g")
        command, gesture = await _next(messages, 2)
    assert isinstance(command, Command)
    assert (command.text, command.by) == ("More.", "guest-a")
    assert type(gesture) is Message
    assert gesture.type == "gesture"
    at = [Position.parse(str(message.position)) for message in (command, gesture)]
    assert at[1].follows(at[0])


async def test_from_now_on(publisher: HintPublisher, session_id: str) -> None:
    """Without ``since`` it begins with what is published from the first step on; pieces come as such."""
    await publisher.hint(session_id, "before")
    async with aclosing(publisher.listen(session_id)) as messages:
        waiting = asyncio.ensure_future(anext(messages))
        await asyncio.sleep(0.4)
        async with publisher.stream_hint(session_id) as hint:
            await hint.append("Ask")
        first = await waiting
        pieces = await _next(messages, 1)
        while pieces[-1].status is None:
            pieces += await _next(messages, 1)
    assert isinstance(first, Hint)
    assert all(isinstance(piece, Append) for piece in pieces)
    assert "".join(piece.text for piece in pieces) == "Ask"


async def test_many_listeners(publisher: HintPublisher, session_id: str) -> None:
    """All listeners of a publisher share one subscription, and each gets everything."""
    sent = await publisher.hint(session_id, "first")

    async def listen(session: str) -> list[str]:
        async with aclosing(publisher.listen(session, sent.position)) as messages:
            return [message.text for message in await _next(messages, 5)]

    listening = [asyncio.create_task(listen(session_id)) for _ in range(5)]
    await asyncio.sleep(0.3)
    for n in range(5):
        await publisher.hint(session_id, str(n))
    for one in listening:
        assert await one == ["0", "1", "2", "3", "4"]


async def test_redis_restarts(session_id: str) -> None:
    """Over a restart of Redis each message comes once."""
    with RedisServer(append_only=True) as server:
        async with HintPublisher(server.url, give_up_s=20, timeout_s=1) as publisher:
            first = await publisher.hint(session_id, "-1")
            messages = publisher.listen(session_id, first.position)

            async def publish() -> None:
                for n in range(60):
                    await publisher.hint(session_id, str(n))
                    if n == 20:
                        server.kill()
                        server.start()
                        await asyncio.to_thread(server.wait_until_ready)

            publishing = asyncio.create_task(publish())
            texts = [message.text for message in await _next(messages, 60)]
            await publishing
            await messages.aclose()
            assert texts == [str(n) for n in range(60)]


async def test_history_that_is_gone(session_id: str) -> None:
    """A lost log is told by a Connection, then comes what is kept; live, and when listening begins."""
    with RedisServer() as server:
        async with HintPublisher(server.url) as publisher:
            old = await publisher.hint(session_id, "old")
            messages = publisher.listen(session_id, Position(old.position.epoch - 1, 1))
            gone, kept = await _next(messages, 2)
            assert isinstance(gone, Connection)
            assert gone.recovered is False
            assert kept.text == "old"
            # A log is known by the millisecond of its beginning, and FLUSHALL takes that, too.
            while time.time() * 1000 < old.position.epoch + 1:
                await asyncio.sleep(0.001)
            server.command("FLUSHALL")
            await publisher.hint(session_id, "new")
            gone, kept = await _next(messages, 2)
            assert isinstance(gone, Connection)
            assert kept.text == "new"
            await messages.aclose()


async def test_cancelled_listening_leaves_nothing(redis_url: str, session_id: str) -> None:
    """Listening that was cancelled leaves no task but the shared subscription's, closing not even that."""
    before = asyncio.all_tasks()
    async with HintPublisher(redis_url) as publisher:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(publisher.listen(session_id))
        await asyncio.sleep(0.05)
        assert len(asyncio.all_tasks() - before) == 1
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before


@pytest.mark.parametrize("is_there", [True, False], ids=["Redis is there", "Redis is away"])
async def test_closing_ends_listening(
    redis_server: RedisServer, session_id: str, is_there: bool
) -> None:
    """Closing the publisher ends the iteration, also while it waits for Redis."""
    url = redis_server.url if is_there else f"redis://127.0.0.1:{stable_port()}/0"
    publisher = HintPublisher(url)

    async def listen() -> list[Message]:
        return [message async for message in publisher.listen(session_id)]

    listening = asyncio.create_task(listen())
    await asyncio.sleep(0.3)
    await publisher.close()
    async with asyncio.timeout(2):
        assert await listening == []
    with pytest.raises(PublisherClosed):
        publisher.listen(session_id)


async def test_what_is_refused(publisher: HintPublisher) -> None:
    """A bad session or position is refused by the call."""
    with pytest.raises(InvalidSession):
        publisher.listen("a b")
    with pytest.raises(InvalidPosition):
        publisher.listen("demo", since="yesterday")
