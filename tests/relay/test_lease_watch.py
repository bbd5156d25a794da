"""Hints whose producers died are ended, once, whoever looks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from relay.broker.broker import Broker
from relay.broker.streaming import StreamingHints
from relay.errors import BrokerUnavailable
from relay.lease_watch import LeaseWatch
from relay.messages import Hint
from relay.metrics import Metrics
from tests.support.client import client
from tests.support.relay import local_relay

if TYPE_CHECKING:
    from tests.support.redis import RedisServer


async def test_one_of_many(redis_server: RedisServer, session_id: str) -> None:
    """Of several workers that look at the same time just one ends a hint, and says so."""
    async with Broker(redis_server.url) as broker:
        producer = StreamingHints(broker, lease_s=0.1)
        for number in range(10):
            await producer.open(session_id, Hint(id=str(number), text="", status="streaming"))
        await asyncio.sleep(0.15)
        metrics = Metrics()
        watches = [LeaseWatch(StreamingHints(broker), metrics) for _ in range(5)]
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
            ended = await facilitator.next_of("append")
            assert (ended["id"], ended["at"], ended["status"]) == ("h", 3, "interrupted")
        await asyncio.sleep(0.5)
        ended_by = [relay.metrics.interrupted_hints._value for relay in (one, two)]
        assert sum(ended_by) >= 1


class Failing(StreamingHints):
    """Fails a few times, in each way."""

    def __init__(self) -> None:
        self.errors: list[Exception] = [
            BrokerUnavailable("away"), BrokerUnavailable("still"), ValueError("unforeseen"),
        ]  # fmt: skip

    async def interrupt_abandoned(self) -> list[tuple[str, str]]:
        if self.errors:
            raise self.errors.pop(0)
        return [("s", "h")]


async def test_failures() -> None:
    """It outlives whatever goes wrong, says so once, and goes on."""
    watch = LeaseWatch(Failing(), Metrics())
    with structlog.testing.capture_logs() as lines:
        for _ in range(4):
            await watch.look()
    assert [line["log_level"] for line in lines] == ["warning", "error", "info"]
