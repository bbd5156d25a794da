"""Reading a session without a relay."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintPublisher
from producers.listener import Listener, listening
from relay.errors import BrokerUnavailable, InvalidSession, SettingsError
from relay.position import Position
from tests.support.process import stable_port
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

Json = dict[str, Any]


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


async def _next(messages: AsyncGenerator[bytes], timeout_s: float = 10.0) -> Json:
    async with asyncio.timeout(timeout_s):
        message = json.loads(await anext(messages))
    assert isinstance(message, dict)
    return message


async def _texts(messages: AsyncGenerator[bytes], count: int) -> list[str]:
    return [(await _next(messages))["text"] for _ in range(count)]


async def test_the_greeting(redis_url: str, session_id: str) -> None:
    """First comes where the session stands, here: that it has no log."""
    async with listening(redis_url, session_id) as listener, aclosing(listener.messages()) as got:
        assert await _next(got) == {
            "type": "connection",
            "status": "connected",
            "session": session_id,
            "position": None,
            "recovered": None,
            "snapshot": 0,
            "heartbeat_s": 1.0,
        }


async def test_kept_then_live(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """What is kept comes first, announced by number, then what is published."""
    sent = [await publisher.hint(session_id, str(n)) for n in range(3)]
    async with listening(redis_url, session_id) as listener, aclosing(listener.messages()) as got:
        greeting = await _next(got)
        assert greeting["snapshot"] == 3
        assert greeting["position"] == str(sent[-1].position)
        await publisher.hint(session_id, "live")
        assert await _texts(got, 4) == ["0", "1", "2", "live"]


@pytest.mark.parametrize(("replay", "expected"), [(0, []), (2, ["1", "2"]), (9, ["0", "1", "2"])])
async def test_replay(
    publisher: HintPublisher, redis_url: str, session_id: str, replay: int, expected: list[str]
) -> None:
    """``replay`` says how many of the newest kept messages come first."""
    for n in range(3):
        await publisher.hint(session_id, str(n))
    async with (
        listening(redis_url, session_id) as listener,
        aclosing(listener.messages(replay=replay)) as got,
    ):
        assert (await _next(got))["snapshot"] == len(expected)
        await publisher.hint(session_id, "live")
        assert await _texts(got, len(expected) + 1) == [*expected, "live"]


async def test_resuming(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """With ``since`` exactly what came after it follows, and the greeting says so."""
    sent = [await publisher.hint(session_id, str(n)) for n in range(5)]
    async with (
        listening(redis_url, session_id) as listener,
        aclosing(listener.messages(since=sent[1].position)) as got,
    ):
        greeting = await _next(got)
        assert (greeting["recovered"], greeting["snapshot"]) == (True, 0)
        await publisher.hint(session_id, "live")
        assert await _texts(got, 4) == ["2", "3", "4", "live"]


async def test_resuming_in_a_lost_log(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A position of another log is answered honestly, with what there is."""
    await publisher.hint(session_id, "kept")
    async with (
        listening(redis_url, session_id) as listener,
        aclosing(listener.messages(since=Position(1000, 7))) as got,
    ):
        greeting = await _next(got)
        assert (greeting["recovered"], greeting["snapshot"]) == (False, 1)
        assert await _texts(got, 1) == ["kept"]


async def test_redis_restarts(session_id: str) -> None:
    """A Redis that is killed and comes back costs a listener nothing."""
    with RedisServer(append_only=True) as server:
        async with (
            HintPublisher(server.url, give_up_s=20) as publisher,
            listening(server.url, session_id) as listener,
            aclosing(listener.messages()) as got,
        ):
            assert (await _next(got))["type"] == "connection"
            busy = asyncio.Event()

            async def publish() -> None:
                for n in range(200):
                    await publisher.hint(session_id, str(n))
                    if n == 50:
                        busy.set()

            async def restart() -> None:
                await busy.wait()
                server.kill()
                server.start()
                await asyncio.to_thread(server.wait_until_ready)

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(publish())
                group.create_task(restart())
                messages = [await _next(got, 30) for _ in range(200)]
            assert [message.get("text") for message in messages] == [str(n) for n in range(200)]


async def test_a_lost_log(session_id: str) -> None:
    """After FLUSHALL a listener is told that something is gone, and goes on with the new log."""
    with RedisServer() as server:
        async with (
            HintPublisher(server.url) as publisher,
            listening(server.url, session_id) as listener,
            aclosing(listener.messages()) as got,
        ):
            await _next(got)
            old = await publisher.hint(session_id, "old")
            assert await _texts(got, 1) == ["old"]
            # A log is known by the millisecond of its beginning, and FLUSHALL takes that knowledge too.
            while time.time() * 1000 < old.position.epoch + 1:
                await asyncio.sleep(0.001)
            assert server.command("FLUSHALL").startswith(b"+OK")
            sent = await publisher.hint(session_id, "new")
            greeting = await _next(got)
            assert (greeting["type"], greeting["recovered"]) == ("connection", False)
            assert (greeting["snapshot"], greeting["position"]) == (1, str(sent.position))
            await publisher.hint(session_id, "newer")
            assert await _texts(got, 2) == ["new", "newer"]


def _head(listener: Listener, session: str) -> Position | None:
    return listener._hub._rooms[session].feed.head


async def test_a_slow_listener(
    publisher: HintPublisher,
    redis_url: str,
    session_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A listener that the ring has moved past resumes by itself and misses nothing."""
    monkeypatch.setenv("RELAY_RING_MESSAGES", "5")
    async with listening(redis_url, session_id) as listener, aclosing(listener.messages()) as got:
        assert (await _next(got))["recovered"] is None
        await publisher.hint(session_id, "0")
        assert await _texts(got, 1) == ["0"]
        sent = [await publisher.hint(session_id, str(n)) for n in range(1, 50)]
        async with asyncio.timeout(10):
            while _head(listener, session_id) != sent[-1].position:
                await asyncio.sleep(0.01)
        messages = [await _next(got) for _ in range(50)]
        greetings = [message for message in messages if message["type"] == "connection"]
        assert [greeting["recovered"] for greeting in greetings] == [True]
        texts = [message["text"] for message in messages if message["type"] == "hint"]
        assert texts == [str(n) for n in range(1, 50)]


async def test_two_listeners(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """Two listeners of a session both get everything."""
    async with (
        listening(redis_url, session_id) as listener,
        listening(redis_url, session_id) as other,
        aclosing(listener.messages()) as got,
        aclosing(other.messages()) as also,
    ):
        await _next(got)
        await _next(also)
        for n in range(10):
            await publisher.hint(session_id, str(n))
        assert await _texts(got, 10) == await _texts(also, 10)


async def test_leaving_ends_the_subscription(redis_server: RedisServer, session_id: str) -> None:
    """When the block ends, Redis has no subscriber of the session any more."""
    async with (
        listening(redis_server.url, session_id) as listener,
        aclosing(listener.messages()) as got,
    ):
        await _next(got)
        assert redis_server.command("PUBSUB", "NUMSUB", f"hints:{session_id}").endswith(b":1\r\n")
    async with asyncio.timeout(5):
        while not redis_server.command("PUBSUB", "NUMSUB", f"hints:{session_id}").endswith(
            b":0\r\n"
        ):
            await asyncio.sleep(0.01)


async def test_redis_is_away(session_id: str) -> None:
    """Without a Redis listening does not begin, and says so."""
    with pytest.raises(BrokerUnavailable):
        async with listening(f"redis://127.0.0.1:{stable_port()}/0", session_id):
            pass


async def test_a_bad_session(redis_url: str) -> None:
    """A bad session id is refused before Redis is asked."""
    with pytest.raises(InvalidSession):
        async with listening(redis_url, "a b"):
            pass


async def test_a_bad_address(session_id: str) -> None:
    """An address that is none is refused with a sentence that names the schemes."""
    with pytest.raises(SettingsError, match="redis://"):
        async with listening("http://127.0.0.1", session_id):
            pass


async def test_the_callers_timeout_is_the_callers(redis_url: str, session_id: str) -> None:
    """A TimeoutError that the block raises leaves it as it is."""
    with pytest.raises(TimeoutError, match="mine"):
        async with listening(redis_url, session_id):
            raise TimeoutError("mine")
