"""The supervised subscription, against a real Redis that is disturbed."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from relay.broker.broker import Broker
from relay.broker.link import Link, LinkState
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Recorder:
    """A listener that writes down what it is told."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()
        self.ups = asyncio.Queue[None]()
        self.downs = asyncio.Queue[None]()

    def link_message(self, channel: str, payload: bytes) -> None:
        self.messages.put_nowait((channel, payload))

    def link_drained(self) -> None:
        """Nothing is collected here."""

    def link_down(self) -> None:
        self.downs.put_nowait(None)

    def link_up(self) -> None:
        self.ups.put_nowait(None)


@asynccontextmanager
async def _linked(url: str) -> AsyncIterator[tuple[Link, Recorder, Broker]]:
    recorder = Recorder()
    async with Broker(url, timeout_s=1) as broker:
        link = Link(
            url, broker, recorder, worker="test", probe_interval_s=0.1, probe_timeout_s=0.6,
            connect_timeout_s=1, draw=lambda: 0.0,
        )  # fmt: skip
        running = asyncio.create_task(link.run())
        try:
            async with asyncio.timeout(10):
                await recorder.ups.get()
            yield link, recorder, broker
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def _hears(broker: Broker, recorder: Recorder, channel: str) -> bool:
    await broker.publish_live(channel, b"hello")
    async with asyncio.timeout(5):
        return await recorder.messages.get() == (channel, b"hello")


async def test_a_confirmed_channel_delivers(redis_url: str, session_id: str) -> None:
    """When ``subscribe`` has returned, the next publication arrives."""
    async with _linked(redis_url) as (link, recorder, broker), asyncio.timeout(10):
        await link.subscribe(session_id)
        assert await _hears(broker, recorder, session_id)


async def test_an_unsubscribed_channel_is_silent(redis_url: str, session_id: str) -> None:
    """After ``unsubscribe``, also at once before a new ``subscribe``, the last word counts."""
    async with _linked(redis_url) as (link, recorder, broker), asyncio.timeout(10):
        await link.subscribe(session_id)
        await link.subscribe(session_id + "-b")
        link.unsubscribe(session_id)
        link.unsubscribe(session_id + "-b")
        await link.subscribe(session_id + "-b")
        await broker.publish_live(session_id, b"nobody")
        assert await _hears(broker, recorder, session_id + "-b")


async def test_two_thousand_channels(redis_server: RedisServer, session_id: str) -> None:
    """Many subscriptions at once are all confirmed, and survive a reconnect."""
    async with _linked(redis_server.url) as (link, recorder, broker), asyncio.timeout(20):
        channels = [f"{session_id}-{n}" for n in range(2000)]
        await asyncio.gather(*(link.subscribe(channel) for channel in channels))
        redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
        await recorder.ups.get()
        assert await _hears(broker, recorder, channels[1999])


async def test_killed_by_redis(redis_server: RedisServer, session_id: str) -> None:
    """A killed subscription is told as down, comes back, and delivers again."""
    async with _linked(redis_server.url) as (link, recorder, broker), asyncio.timeout(10):
        await link.subscribe(session_id)
        redis_server.command("CLIENT", "KILL", "TYPE", "pubsub")
        await recorder.downs.get()
        await recorder.ups.get()
        assert await _hears(broker, recorder, session_id)


async def test_stopped_redis(session_id: str) -> None:
    """A Redis that hangs without closing anything is noticed, and found again when it goes on."""
    with RedisServer() as server:
        async with _linked(server.url) as (link, recorder, broker), asyncio.timeout(20):
            await link.subscribe(session_id)
            server.send(signal.SIGSTOP)
            await recorder.downs.get()
            assert not link.is_healthy
            server.send(signal.SIGCONT)
            await recorder.ups.get()
            assert await _hears(broker, recorder, session_id)


async def test_restarted_redis(session_id: str) -> None:
    """A Redis that is gone and comes back is found again; who subscribes meanwhile waits."""
    with RedisServer() as server:
        async with _linked(server.url) as (link, recorder, broker), asyncio.timeout(20):
            server.kill()
            await recorder.downs.get()
            assert link.state is LinkState.DOWN
            waiting = asyncio.create_task(link.subscribe(session_id))
            server.start()
            server.wait_until_ready()
            await waiting
            assert await _hears(broker, recorder, session_id)


async def test_deaf_subscription(redis_server: RedisServer) -> None:
    """A connection that is open and delivers nothing is given up."""
    async with _linked(redis_server.url) as (link, recorder, _), asyncio.timeout(10):
        # What a failover does: the connection stays, the subscription is gone.
        assert link._wire is not None
        link._wire.unsubscribe([link._probe_channel])
        await recorder.downs.get()
        await recorder.ups.get()
        while not link.is_healthy:
            await asyncio.sleep(0.01)


async def test_healthy_only_with_a_fresh_proof(redis_server: RedisServer) -> None:
    """A link that has connected but not heard its probe yet is not healthy."""
    async with _linked(redis_server.url) as (link, _, _), asyncio.timeout(10):
        while link.probe_age_s is None:
            assert not link.is_healthy
            await asyncio.sleep(0.001)
        assert link.is_healthy


async def test_credentials() -> None:
    """The subscription logs in with the URL's password."""
    with RedisServer("--requirepass", "s3cret/:@") as server:
        url = f"redis://:s3cret%2F%3A%40@127.0.0.1:{server.port}/0"
        async with _linked(url) as (link, recorder, broker), asyncio.timeout(10):
            await link.subscribe("x")
            assert await _hears(broker, recorder, "x")
