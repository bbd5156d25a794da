"""What a relay says about itself, and whether it is true."""

from __future__ import annotations

import asyncio
import json
import signal
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from producers import HintPublisher
from relay.broker.broker import Broker
from tests.support.client import client
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, RelayProcess, local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from email.message import Message

Json = dict[str, Any]


class Answer(NamedTuple):
    """What a relay answered."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> Json:
        value = json.loads(self.body)
        assert isinstance(value, dict)
        return value


def _get_now(url: str) -> Answer:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())


async def _get(relay: LocalRelay, path: str) -> Answer:
    return await asyncio.to_thread(_get_now, relay.base_url + path)


@pytest.fixture
async def relay(redis_url: str) -> AsyncIterator[LocalRelay]:
    """A relay whose sessions close with their last facilitator."""
    async with local_relay(redis_url, linger_s=0.0, probe_interval_s=0.1) as relay:
        yield relay


@asynccontextmanager
async def _watchful(server: RedisServer) -> AsyncIterator[LocalRelay]:
    """Run a relay that notices within half a second."""
    async with local_relay(
        server.url, redis_timeout_s=0.3, probe_interval_s=0.1, probe_timeout_s=0.5
    ) as relay:
        yield relay


async def _until(relay: LocalRelay, status: int, timeout_s: float = 15.0) -> Json:
    async with asyncio.timeout(timeout_s):
        while (answer := await _get(relay, "/health/ready")).status != status:
            await asyncio.sleep(0.02)
    return answer.json()


async def _values(relay: LocalRelay) -> dict[str, float]:
    """Return all metrics by their names with labels, as Prometheus reads them."""
    answer = await _get(relay, "/metrics")
    assert answer.status == 200
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


async def _until_value(relay: LocalRelay, name: str, value: float) -> None:
    async with asyncio.timeout(10):
        while (await _values(relay)).get(name) != value:
            await asyncio.sleep(0.02)


async def test_live(relay: LocalRelay) -> None:
    """A relay that runs is live, and nobody may cache that."""
    answer = await _get(relay, "/health/live")
    assert (answer.status, answer.json()) == (200, {"status": "live"})
    assert answer.headers["cache-control"] == "no-store"


async def test_ready(relay: LocalRelay) -> None:
    """With Redis there a relay is ready, and tells how old its newest proof is."""
    body = await _until(relay, 200)
    assert body.keys() == {"status", "probe_age_s"}
    assert body["status"] == "ready"
    assert 0 <= body["probe_age_s"] < relay.settings.probe_timeout_s


async def test_a_fresh_proof(relay: LocalRelay) -> None:
    """The proof is renewed all the time."""
    await _until(relay, 200)
    ages = [(await _get(relay, "/health/ready")).json()["probe_age_s"]]
    async with asyncio.timeout(5):
        while ages[-1] >= max(ages):
            ages.append((await _get(relay, "/health/ready")).json()["probe_age_s"])
    assert max(ages) < 1


async def test_redis_hangs() -> None:
    """While Redis hangs the relay is live but not ready, says why, and recovers by itself."""
    with RedisServer() as server:
        async with _watchful(server) as relay:
            await _until(relay, 200)
            server.send(signal.SIGSTOP)
            body = await _until(relay, 503)
            assert body["status"] == "unready"
            assert "no answer" in body["problems"]["redis"]
            assert (await _get(relay, "/health/live")).status == 200
            async with asyncio.timeout(10):
                while "subscription" not in (await _get(relay, "/health/ready")).json()["problems"]:
                    await asyncio.sleep(0.02)
            server.send(signal.SIGCONT)
            assert "problems" not in await _until(relay, 200)


async def test_redis_is_gone(session_id: str) -> None:
    """While Redis is gone the relay is not ready; when it is back both ways to it work again."""
    with RedisServer() as server:
        async with _watchful(server) as relay:
            await _until(relay, 200)
            server.kill()
            body = await _until(relay, 503)
            assert "not available" in body["problems"]["redis"]
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
            assert "problems" not in await _until(relay, 200)
            async with (
                HintPublisher(server.url) as publisher,
                client(relay.ws_url, session_id) as facilitator,
            ):
                await publisher.hint(session_id, "back")
                assert await facilitator.texts(1) == ["back"]


async def test_a_deaf_subscription(redis_server: RedisServer) -> None:
    """Commands that work do not make a relay ready whose subscription does not."""
    async with local_relay(redis_server.url, probe_interval_s=0.1, probe_timeout_s=1.0) as relay:
        await _until(relay, 200)
        link = relay.hub.link
        assert link._wire is not None
        link._wire.unsubscribe([link._probe_channel])
        body = await _until(relay, 503)
        assert body["problems"].keys() == {"subscription"}
        await _until(relay, 200)


async def test_without_redis_from_the_start() -> None:
    """A relay that starts before Redis is live, not ready, and ready when Redis comes."""
    with RedisServer() as server:
        server.kill()
        relay = RelayProcess(server.url)
        relay.start()
        try:
            await asyncio.to_thread(relay.wait_for_output, "worker started")
            live = await asyncio.to_thread(_get_now, f"{relay.base_url}/health/live")
            assert live.status == 200
            answer = await asyncio.to_thread(_get_now, f"{relay.base_url}/health/ready")
            assert answer.status == 503
            assert answer.json()["probe_age_s"] is None
            assert answer.json()["problems"].keys() == {"redis", "subscription"}
            server.start()
            await asyncio.to_thread(relay.wait_until_ready)
        finally:
            relay.__exit__(None, None, None)


async def test_metrics_of_connections(relay: LocalRelay, session_id: str) -> None:
    """The gauges go up and down with facilitators; the counters keep what was."""
    async with client(relay.ws_url, session_id), client(relay.ws_url, session_id):
        values = await _values(relay)
        assert values["hint_relay_connections"] == 2
        assert values["hint_relay_sessions"] == 1
        assert values["hint_relay_connects_total"] == 2
        assert values["hint_relay_log_reads_total"] >= 1
        assert values["hint_relay_connection_seconds_count"] == 0
    await _until_value(relay, 'hint_relay_disconnects_total{code="1000"}', 2)
    await _until_value(relay, "hint_relay_sessions", 0)
    values = await _values(relay)
    assert values["hint_relay_connections"] == 0
    assert values["hint_relay_connects_total"] == 2
    assert values["hint_relay_connection_seconds_count"] == 2


async def test_metrics_of_refusals(relay: LocalRelay) -> None:
    """A refused facilitator is counted by its close code, and was never connected."""
    async with client(relay.ws_url, "a%20b", welcome=False) as facilitator:
        assert (await facilitator.closed())[0] == 4101
    await _until_value(relay, 'hint_relay_disconnects_total{code="4101"}', 1)
    assert (await _values(relay))["hint_relay_connects_total"] == 0


async def test_metrics_of_messages(relay: LocalRelay, redis_url: str, session_id: str) -> None:
    """A publication is counted once, its deliveries by facilitator, unfit ones as dropped."""
    async with (
        HintPublisher(redis_url) as publisher,
        Broker(redis_url) as broker,
        client(relay.ws_url, session_id) as one,
        client(relay.ws_url, session_id) as two,
    ):
        for n in range(3):
            await publisher.hint(session_id, str(n))
        assert await one.texts(3) == await two.texts(3)
        await broker.publish_live(f"hints:{session_id}", b"garbage")
        await one.send({"type": "ping"})
        await one.next_of("heartbeat")
        await one.websocket.send("garbage")
        await one.next_of("error")
        await _until_value(relay, "hint_relay_dropped_publications_total", 1)
        values = await _values(relay)
    assert values["hint_relay_publications_total"] == 4
    assert values["hint_relay_deliveries_total"] == 6
    assert values['hint_relay_inbound_messages_total{outcome="ok"}'] == 1
    assert values['hint_relay_inbound_messages_total{outcome="bad_message"}'] == 1


async def test_metrics_of_two_relays(redis_url: str, session_id: str) -> None:
    """Two relays in one process count for themselves."""
    async with (
        local_relay(redis_url) as one,
        local_relay(redis_url) as two,
        client(one.ws_url, session_id),
    ):
        assert (await _values(one))["hint_relay_connections"] == 1
        assert (await _values(two))["hint_relay_connections"] == 0


async def test_metrics_are_text(relay: LocalRelay) -> None:
    """Prometheus gets its text format, with a help line for each metric."""
    answer = await _get(relay, "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert b"# HELP hint_relay_connections " in answer.body
    assert b"# TYPE hint_relay_deliveries_total counter" in answer.body
