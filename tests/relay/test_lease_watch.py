"""Hints whose producers died are ended, once, whoever looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from relay.broker.broker import Broker
from relay.broker.streaming import StreamingHints
from relay.errors import BrokerError, BrokerUnavailable
from relay.lease_watch import LeaseWatch
from relay.messages import Hint
from relay.metrics import Metrics
from tests.support.client import client
from tests.support.relay import local_relay

if TYPE_CHECKING:
    from tests.support.redis import RedisServer


class Clock:
    """Stands still until it is turned."""

    def __init__(self) -> None:
        self._s = 1000.0

    def now_s(self) -> float:
        return self._s

    def turn(self, seconds: float) -> None:
        self._s += seconds


async def test_one_of_many(redis_server: RedisServer, session_id: str) -> None:
    """Of several workers that look at the same time just one ends a hint, and says so."""
    async with Broker(redis_server.url) as broker:
        producer = StreamingHints(broker, lease_s=0.1)
        for number in range(10):
            await producer.open(session_id, Hint(id=str(number), text="", status="streaming"))
        await asyncio.sleep(0.15)
        metrics, clock = Metrics(), Clock()
        watches = [
            LeaseWatch(StreamingHints(broker), metrics, clock_s=clock.now_s) for _ in range(5)
        ]
        for watch in watches:
            await watch.look()
        clock.turn(7.0)
        with structlog.testing.capture_logs() as lines:
            await asyncio.gather(*(watch.look() for watch in watches))
        ended = [line["hint"] for line in lines if line["session"] == session_id]
        assert sorted(ended) == [str(number) for number in range(10)]
        assert metrics.interrupted_hints._value >= 10
        log = await broker.read(session_id)
        assert [b'"interrupted"' in one.payload for one in log.publications] == [True] * 10


async def test_on_relays(redis_url: str, session_id: str) -> None:
    """Facilitators hear, once, that a hint was interrupted, however many relays run."""
    async with (
        local_relay(redis_url) as one,
        local_relay(redis_url) as two,
        client(one.ws_url, session_id) as mara,
        client(two.ws_url, session_id) as ada,
        Broker(redis_url) as broker,
    ):
        hints = StreamingHints(broker, lease_s=0.3)
        await hints.open(session_id, Hint(id="h", text="Let", status="streaming"))
        for facilitator in (mara, ada):
            await facilitator.next_of("hint")
            # New relays give producers the time of a lease, whatever their hints' own are.
            ended = await facilitator.next_of("append", timeout_s=20)
            assert (ended["id"], ended["at"], ended["status"]) == ("h", 3, "interrupted")
        await asyncio.sleep(0.5)
        ended_by = [relay.metrics.interrupted_hints._value for relay in (one, two)]
        assert sum(ended_by) >= 1


class Failing(StreamingHints):
    """Fails in the ways that are put in, and else finds one hint whenever it is asked."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)

    async def ping(self) -> None:
        if self.errors:
            raise self.errors.pop(0)

    async def interrupt_abandoned(self) -> list[tuple[str, str]]:
        await self.ping()
        return [("s", "h")]


async def test_failures() -> None:
    """It outlives whatever goes wrong, says so once, and goes on."""
    clock = Clock()
    errors = [BrokerUnavailable("away"), BrokerUnavailable("still"), ValueError("unforeseen")]
    watch = LeaseWatch(Failing(*errors), Metrics(), clock_s=clock.now_s)
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            await watch.look()
            clock.turn(7.0)
    assert [line["log_level"] for line in lines] == ["warning", "error", "info"]


async def test_the_living_have_time_when_redis_is_back() -> None:
    """After Redis was away no hint is ended before its producer could say that it lives."""
    clock, metrics = Clock(), Metrics()
    hints = Failing()
    watch = LeaseWatch(hints, metrics, clock_s=clock.now_s)

    async def ended_at_s(*seconds: float) -> list[float]:
        """Look at these times, two seconds apart, and return when something was ended."""
        ended = []
        for at_s in seconds:
            before = metrics.interrupted_hints._value
            await watch.look()
            clock.turn(2.0)
            if metrics.interrupted_hints._value > before:
                ended.append(at_s)
        return ended

    assert await ended_at_s(0, 2, 4, 6, 8, 10) == [8, 10]
    hints.errors = [BrokerUnavailable("away")] * 3
    assert await ended_at_s(0, 2, 4, 6, 8, 10, 12, 14, 16) == [14, 16]
    hints.errors = [BrokerError("Redis refused: one hint")]
    assert await ended_at_s(0, 2, 4) == [2, 4]
