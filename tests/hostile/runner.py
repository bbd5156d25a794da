"""One relay, one facilitator, one attack."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import NamedTuple

from producers import HintPublisher
from tests.support.bystander import SESSION, follow
from tests.support.client import client
from tests.support.memory import resident_mib, watched_memory
from tests.support.process import ROOT
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess

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
            client(relay.ws_url, SESSION) as facilitator,
        ):
            calm = await follow(publisher, facilitator, asyncio.sleep(size.seconds / 2))
            before = resident_mib(relay.pid)
            command = [
                sys.executable, "-m", "tests.hostile.attacks", name, str(relay.port),
                str(size.seconds), str(size.counts[name]),
            ]  # fmt: skip
            attackers = await asyncio.create_subprocess_exec(
                *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
            )
            with watched_memory(relay.pid) as memory:
                under = await follow(publisher, facilitator, asyncio.sleep(size.seconds))
                said, _ = await attackers.communicate()
            await asyncio.sleep(_SETTLE_S)
            after = resident_mib(relay.pid)
            limits = await asyncio.to_thread(_limits, relay)
        assert relay.is_running, relay.output
        complaints = relay.complaints()
    return Outcome(
        calm_p99_ms=calm.p99_ms,
        p99_ms=under.p99_ms,
        max_ms=under.max_ms,
        lost=calm.lost + calm.twice + under.lost + under.twice,
        before_mib=before,
        peak_mib=max(memory),
        after_mib=after,
        seen=json.loads(said),
        complaints=complaints,
        limits=limits,
    )


def _limits(relay: RelayProcess) -> dict[str, int]:
    prefix = 'hint_relay_limits_reached_total{limit="'
    return {
        name.removeprefix(prefix).removesuffix('"}'): int(value)
        for name, value in relay.metrics().items()
        if name.startswith(prefix)
    }
