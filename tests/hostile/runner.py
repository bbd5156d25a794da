"""One relay, one facilitator, one attack."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

import httpx

from producers import HintPublisher
from tests.support.client import client
from tests.support.process import ROOT
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.client import Client

_RATE = 50
_SETTLE_S = 1.0


class Size(NamedTuple):
    """How hard.

    Attributes:
        seconds: how long an attack lasts.
        counts: connections at once, or a second, by attack.
    """

    seconds: float
    counts: dict[str, int]


FULL = Size(
    20.0,
    {
        "slowloris": 1000, "connects": 10_000, "oversized": 20, "fragments": 20,
        "empty_fragments": 20, "bombs": 20,
    },
)  # fmt: skip
SHORT = Size(2.0, {name: max(2, count // 50) for name, count in FULL.counts.items()})


class Outcome(NamedTuple):
    """What an attack came to.

    Attributes:
        calm_p99_ms: the facilitator's latency without it.
        p99_ms: the same under it.
        max_ms: the slowest.
        lost: messages that did not arrive, or not once.
        before_mib: the relay's resident memory before it.
        peak_mib: the most under it.
        after_mib: a while after it.
        seen: what the attackers saw.
        complaints: lines of the relay's log that should not be there.
        limits: what the relay counted, by limit.
    """

    calm_p99_ms: float
    p99_ms: float
    max_ms: float
    lost: int
    before_mib: float
    peak_mib: float
    after_mib: float
    seen: dict[str, int]
    complaints: list[str]
    limits: dict[str, int]


async def run(name: str, size: Size) -> Outcome:
    """Run an attack of ``attacks.ATTACKS`` against a relay that was just started."""
    # Nobody is trusted: who is on loopback is a stranger like any other.
    flags = ["--trusted-proxies", ",", "--heartbeat-s", "2"]
    if name == "bombs":
        flags += ["--websocket-deflate"]
    with RedisServer() as redis, RelayProcess(redis.url, *flags) as relay:
        async with (
            HintPublisher(redis.url) as publisher,
            client(relay.ws_url, "innocent") as facilitator,
        ):
            calm, lost = await _latencies(publisher, facilitator, size.seconds / 2)
            before = _rss_mib(relay)
            command = [
                sys.executable, "-m", "tests.hostile.attacks", name, str(relay.port),
                str(size.seconds), str(size.counts[name]),
            ]  # fmt: skip
            attackers = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
            )
            with _peak_of(relay) as peak:
                under, lost_under = await _latencies(publisher, facilitator, size.seconds)
                said, _ = await attackers.communicate()
            await asyncio.sleep(_SETTLE_S)
            after = _rss_mib(relay)
            limits = await _limits(relay)
        assert relay.is_running, relay.output
        complaints = [
            line
            for line in relay.output.splitlines()
            if "Traceback" in line or '"level":"error"' in line or "exception" in line
        ]
    return Outcome(
        calm_p99_ms=_percentile(calm, 0.99),
        p99_ms=_percentile(under, 0.99),
        max_ms=max(under),
        lost=lost + lost_under,
        before_mib=before,
        peak_mib=max(peak),
        after_mib=after,
        seen=json.loads(said),
        complaints=complaints,
        limits=limits,
    )


async def _latencies(
    publisher: HintPublisher, facilitator: Client, seconds: float
) -> tuple[list[float], int]:
    """Publish at a steady pace; returns ms from publishing to arrival, and how many are missing."""
    sent: dict[str, float] = {}
    arrived: list[float] = []

    async def read(count: int) -> None:
        while len(arrived) < count:
            text: str = (await facilitator.next_of("hint", 30.0))["text"]
            arrived.append((time.monotonic() - sent.pop(text)) * 1000)

    count = int(seconds * _RATE)
    reading = asyncio.create_task(read(count))
    began_s = time.monotonic()
    for number in range(count):
        await asyncio.sleep(max(0.0, began_s + number / _RATE - time.monotonic()))
        text = f"{began_s}-{number}"
        sent[text] = time.monotonic()
        await publisher.hint("innocent", text)
    with suppress(TimeoutError):
        async with asyncio.timeout(30.0):
            await reading
    return arrived, len(sent)


@contextmanager
def _peak_of(relay: RelayProcess) -> Iterator[list[float]]:
    peak: list[float] = [_rss_mib(relay)]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)
            peak.append(_rss_mib(relay))

    watching = asyncio.create_task(watch())
    try:
        yield peak
    finally:
        watching.cancel()


async def _limits(relay: RelayProcess) -> dict[str, int]:
    async with httpx.AsyncClient(trust_env=False) as http:
        text = (await http.get(f"{relay.base_url}/metrics")).text
    found = {}
    for line in text.splitlines():
        if line.startswith("hint_relay_limits_reached_total{"):
            name, _, value = line.partition("} ")
            found[name.partition('"')[2].rstrip('"')] = int(float(value))
    return found


def _rss_mib(relay: RelayProcess) -> float:
    with open(f"/proc/{relay.pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - hot
        return int(file.read().split()[1]) * 4096 / 1024 / 1024


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]
