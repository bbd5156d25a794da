"""Events through the real HAProxy with the real configuration file, from real relays."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from producers import HintPublisher
from tests.deploy.haproxy import HAProxyProcess
from tests.faults.world import metrics_of
from tests.support.events import EventsClient, StreamClosed, events
from tests.support.process import stable_port
from tests.support.relay import RelayProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.redis import RedisServer

pytestmark = pytest.mark.e2e

_ADDRESSES = ("127.0.0.2", "127.0.0.3")


@asynccontextmanager
async def _behind_haproxy(
    redis: RedisServer, *flags: str, replacing: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[int, list[RelayProcess]]]:
    """Run two relays and HAProxy before them; gives HAProxy's port and the relays."""
    port = stable_port(*_ADDRESSES)
    with (
        RelayProcess(redis.url, "--linger-s", "0", *flags, host=_ADDRESSES[0], port=port) as first,
        RelayProcess(redis.url, "--linger-s", "0", *flags, host=_ADDRESSES[1], port=port) as second,
    ):
        async with HAProxyProcess(
            relays=_ADDRESSES, relay_port=port, replacing=replacing
        ) as haproxy:
            yield haproxy.address[1], [first, second]


@pytest.mark.alone
async def test_events_arrive_at_once(redis_server: RedisServer, session_id: str) -> None:
    """No event is held back, large or small; who goes is gone within two heartbeats.

    HAProxy finds out when it next writes, and it is the second write that fails.
    """
    async with (
        _behind_haproxy(redis_server, "--heartbeat-s", "1") as (port, relays),
        HintPublisher(redis_server.url) as publisher,
    ):
        async with events(port, session_id) as one, events(port, session_id) as other:
            took_s = []
            for n in range(40):
                began_s = time.monotonic()
                text = f"{n}" * (1 if n % 2 else 5_000)
                await publisher.hint(session_id, text)
                for reader in (one, other):
                    assert await reader.texts(1, 2.0) == [text]
                took_s.append(time.monotonic() - began_s)
            assert statistics.median(took_s) < 0.25
        async with asyncio.timeout(5):
            while any(metrics_of(relay)["hint_relay_connections"] for relay in relays):
                await asyncio.sleep(0.05)


async def test_silence_is_no_end(redis_server: RedisServer, session_id: str) -> None:
    """Streams outlive the times after which HAProxy gives up other silent requests."""
    shorter = {"timeout client 60s": "timeout client 1s", "timeout server 30s": "timeout server 1s"}
    async with (
        _behind_haproxy(redis_server, "--heartbeat-s", "3", replacing=shorter) as (port, _),
        HintPublisher(redis_server.url) as publisher,
        events(port, session_id) as reader,
    ):
        assert (await reader.next_of("presence"))["facilitators"] == 1
        # When the first one comes, counted from here, depends on when the relay told who is watching.
        assert (await reader.next())["type"] == "heartbeat"
        began_s = time.monotonic()
        assert (await reader.next())["type"] == "heartbeat"
        assert time.monotonic() - began_s > 2
        await publisher.hint(session_id, "still here")
        assert await reader.texts(1) == ["still here"]


async def test_a_relay_that_stops(redis_server: RedisServer, session_id: str) -> None:
    """The reason passes through, and whoever comes back with the last id goes on at the other relay."""
    async with (
        _behind_haproxy(redis_server) as (port, relays),
        HintPublisher(redis_server.url) as publisher,
    ):
        readers = [await EventsClient.connect(port, session_id) for _ in range(4)]
        try:
            await publisher.hint(session_id, "one")
            for reader in readers:
                assert await reader.texts(1) == ["one"]
            assert await asyncio.to_thread(relays[0].stop) == 0
            await publisher.hint(session_id, "two")
            gone = 0
            for reader in readers:
                if await _next_text(reader) is not None:
                    continue
                gone += 1
                async with events(
                    port, session_id, welcome=False, last_id=reader.event_id
                ) as again:
                    assert (await again.next())["recovered"] is True
                    assert await again.texts(1) == ["two"]
            assert 0 < gone < 4, "each relay had some"
        finally:
            for reader in readers:
                reader.reset()


async def _next_text(reader: EventsClient) -> str | None:
    """Return the next hint's text, None when the relay has ended the stream with 1012."""
    try:
        return (await reader.texts(1))[0]
    except StreamClosed as closed:
        assert closed.code == 1012
        return None
