"""A session's readers, on a log of a real broker and a subscription that the test plays."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.broker.broker import Broker
from relay.broker.streaming import StreamingHints
from relay.feed import Feed
from relay.messages import Append, Hint
from relay.room import Room

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.close_codes import CloseCode
    from relay.log_slice import LogSlice
    from relay.position import Position
    from relay.reader import Fresh, Welcome


class Log:
    """What a room needs of its worker: the log, and a subscription that is always up."""

    link_generation = 1

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def subscribe(self, session: str) -> None: ...

    async def until_link_up(self) -> int:
        return self.link_generation

    async def read(self, session: str, after: Position | None) -> LogSlice:
        return await self._broker.read(session, after)


class Somebody:
    """A reader that only joins."""

    generation = -1
    name = ""
    facilitator = None

    def wake(self, fresh: Fresh) -> bool:
        return False

    def restart(self, welcome: Welcome) -> None: ...

    def end(self, code: CloseCode) -> None: ...


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """A broker."""
    async with Broker(redis_url) as broker:
        yield broker


def _texts(welcome: Welcome) -> list[Any]:
    messages = [json.loads(one.payload) for one in welcome.backlog.publications]
    return [(one["text"], one["status"]) for one in messages if one.get("id") == "h"]


async def test_the_log_may_be_ahead_of_the_subscription(broker: Broker, session_id: str) -> None:
    """Who joins just when a hint ends misses none of it, though the log has no pieces any more."""
    hints = StreamingHints(broker)
    await broker.publish(session_id, b'{"type":"x"}', "before")
    # Too small a ring to serve anybody from.
    feed = Feed(max_messages=2, max_bytes=1 << 20)
    room = Room(session_id, feed, Log(broker), lambda _: None)
    room.open()
    async with asyncio.timeout(5):
        await room.join(Somebody(), None, None)
        await hints.open(session_id, Hint(id="h", text="", status="streaming"))
        for at, text in enumerate("abcd"):
            await hints.append(session_id, Append(id="h", at=at, text=text))
        opened, first, *_ = arrived = (await broker.read(session_id)).publications[1:]
        for publication in arrived:
            room.receive(publication)
        # The log has the end, which the subscription has yet to bring.
        await hints.append(session_id, Append(id="h", at=4, text="e", status="complete"))
        for since in (None, opened.position, first.position):
            welcome = await room.join(Somebody(), since, None)
            assert _texts(welcome) == [("abcde", "complete")]
            assert welcome.backlog.recovered is (None if since is None else True)
    room.close()


async def test_a_hint_that_only_another_relay_has_yet(broker: Broker, session_id: str) -> None:
    """Feedback may name a hint that this relay's subscription has yet to bring: it is no unknown one."""
    await broker.publish(session_id, b'{"type":"hint","id":"a","text":""}', "a")
    room = Room(session_id, Feed(max_messages=9, max_bytes=1 << 20), Log(broker), lambda _: None)
    room.open()
    async with asyncio.timeout(5):
        await room.join(Somebody(), None, None)
        assert await room.known_hints({"a", "x"}) == {"a"}
        await broker.publish(session_id, b'{"type":"hint","id":"b","text":""}', "b")
        assert await room.known_hints({"a", "b", "x"}) == {"a", "b"}
    room.close()
