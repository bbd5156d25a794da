"""One part: a relay, a facilitator who reads in peace, and two halves of a load beside it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from redis.asyncio import Redis

from producers import HintPublisher
from tests.support.bystander import SESSION, follow
from tests.support.client import client
from tests.support.memory import resident_mib
from tests.support.process import ROOT
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess
from tests.support.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.fuzz.parts import Part

# How long everything may take to be as it was: the farewell to a client that does not answer is 10 s.
_SETTLE_S = 15.0
# A leak of 100 bytes for each of half a million frames would be 48 MiB.
_MAX_GROWTH_MIB = 8.0
# Names that stay for good, because they are one for all sessions.
_LASTING_KEYS = frozenset({b"hint-relay:leases", b"hint-relay:revocations"})
_MOST_SHOWN = 20


class Outcome(NamedTuple):
    """What a part came to.

    Attributes:
        done: frames or requests that were sent.
        seconds: how long that took.
        seen: what the clients saw.
        calm_p99_ms: the facilitator's latency before.
        p99_ms: the same beside the load.
        max_ms: the slowest.
        mib: the relay's resident memory before, after one half, after both.
        tasks: its tasks before and after.
        keys: how many Redis had at the end.
        complaints: what was not as it must be; empty when all was well.
    """

    done: int
    seconds: float
    seen: Counter[str]
    calm_p99_ms: float
    p99_ms: float
    max_ms: float
    mib: tuple[float, float, float]
    tasks: tuple[int, int]
    keys: int
    complaints: list[str]

    @property
    def growth_mib(self) -> float:
        """What the second half has left behind: the first one also fills what is kept for good."""
        return self.mib[2] - self.mib[1]


class _Half(NamedTuple):
    done: int
    seen: Counter[str]
    complaints: list[str]


async def run(
    part: Part,
    count: int,
    seed: int,
    *,
    calm_s: float = 2.0,
    tell: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Run a part against a relay that was just started.

    Args:
        part: which.
        count: how many frames or requests.
        seed: of all dice.
        calm_s: how long the facilitator reads in peace before.
        tell: is told how many are done, now and then.
    """
    secrets = {"RELAY_JWT_SECRET": SECRET} if part.has_tokens else {}
    headers = []
    if part.has_tokens:
        headers.append(("Authorization", f"Bearer {token(SESSION, exp=int(time.time()) + 7200)}"))
    complaints: list[str] = []
    halves: list[_Half] = []
    with RedisServer() as redis, RelayProcess(redis.url, *part.flags, environment=secrets) as relay:
        async with (
            HintPublisher(redis.url) as publisher,
            client(relay.ws_url, SESSION, headers=headers) as facilitator,
        ):
            calm = await follow(publisher, facilitator, asyncio.sleep(calm_s))
            tasks = await _settled_tasks(relay, None, complaints)
            mib = [resident_mib(relay.pid)]
            busy_s = 0.0

            async def load() -> None:
                nonlocal busy_s
                for number in range(2):
                    half_began_s = time.monotonic()
                    before = sum(half.done for half in halves)
                    halves.append(
                        await _send(
                            part,
                            relay.port,
                            max(1, count // 2),
                            f"{seed}:{number}",
                            partial(_tell_on, tell, before),
                        )
                    )
                    busy_s += time.monotonic() - half_began_s
                    await _settled_tasks(relay, tasks, complaints)
                    mib.append(resident_mib(relay.pid))

            under = await follow(publisher, facilitator, load())
            after = await _settled_tasks(relay, tasks, complaints)
        if not relay.is_running:
            complaints.append("the relay has ended")
        complaints += (line[:2000] for line in relay.complaints())
        keys = await _check_keys(redis.url, complaints)
    for number, half in enumerate(halves):
        complaints += (f"half {number}, connection {one}" for one in half.complaints)
    for what, noticed in (("in peace", calm), ("beside the load", under)):
        if noticed.lost or noticed.twice:
            complaints.append(
                f"the facilitator lost {noticed.lost} hints {what}, and had {noticed.twice} twice"
            )
    seen = sum((half.seen for half in halves), Counter[str]())
    outcome = Outcome(
        done=sum(half.done for half in halves),
        seconds=busy_s,
        seen=seen,
        calm_p99_ms=calm.p99_ms,
        p99_ms=under.p99_ms,
        max_ms=under.max_ms,
        mib=(mib[0], mib[1], mib[2]),
        tasks=(tasks, after),
        keys=keys,
        complaints=complaints,
    )
    if outcome.growth_mib > _MAX_GROWTH_MIB:
        complaints.append(f"the second half left {outcome.growth_mib:.1f} MiB behind")
    return outcome


def _tell_on(tell: Callable[[int], None], before: int, done: int) -> None:
    tell(before + done)


async def _send(part: Part, port: int, count: int, seed: str, tell: Callable[[int], None]) -> _Half:
    command = [
        sys.executable, "-m", "tests.fuzz.load", part.kind, str(port), str(count), seed,
        json.dumps(part.options),
    ]  # fmt: skip
    last: dict[str, object] = {}
    async with _running(command) as load:
        assert load.stdout is not None
        async for line in load.stdout:
            last = json.loads(line)
            tell(int(str(last["done"])))
        code = await load.wait()
    if code != 0 or "seen" not in last:
        raise AssertionError(f"the load ended with {code}")
    return _Half(last["done"], Counter(last["seen"]), last["complaints"])  # type: ignore[arg-type, call-overload]


@asynccontextmanager
async def _running(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    # Lines are long when there are many complaints.
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, limit=16 * 1024 * 1024
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _settled_tasks(relay: RelayProcess, before: int | None, complaints: list[str]) -> int:
    """Wait until only the facilitator is connected and nothing else goes on; returns the tasks."""
    deadline_s = time.monotonic() + _SETTLE_S
    while True:
        metrics = await asyncio.to_thread(relay.metrics)
        connections = int(metrics["hint_relay_connections"])
        sessions = int(metrics["hint_relay_sessions"])
        tasks = int(metrics["hint_relay_tasks"])
        if connections == sessions == 1 and (before is None or tasks <= before):
            return tasks
        if time.monotonic() > deadline_s:
            complaints.append(
                f"{_SETTLE_S:g} s later: {connections} connections, {sessions} sessions, {tasks} tasks "
                f"(before: 1, 1, {before})"
            )
            return tasks
        await asyncio.sleep(0.1)


async def _check_keys(redis_url: str, complaints: list[str]) -> int:
    """Look for keys that would stay for ever; returns how many keys there are."""
    async with Redis.from_url(redis_url) as redis:
        keyspace = (await redis.info("keyspace")).get("db0", {"keys": 0, "expires": 0})
        lasting = keyspace["keys"] - keyspace["expires"]
        if lasting > 0:
            found = []
            async for key in redis.scan_iter(count=5000):
                if key not in _LASTING_KEYS and await redis.ttl(key) == -1:
                    found.append(key)
                if len(found) >= _MOST_SHOWN:
                    break
            complaints += (f"{key!r} stays in Redis for ever" for key in found)
        return int(keyspace["keys"])
