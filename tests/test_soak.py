"""Ten thousand facilitators come and go, and leave nothing behind."""

from __future__ import annotations

import asyncio
import gc
import time
from pathlib import Path
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

from tests.support.process import wait_until
from tests.support.relay import RelayProcess, local_relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.redis import RedisServer

_CYCLES = 10_000
_ROUNDS = 10
_AT_ONCE = 50


def _resident_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise AssertionError(f"process {pid} has no memory")


def _metric(exposition: str, name: str) -> float:
    return sum(
        float(line.rsplit(" ", 1)[1])
        for line in exposition.splitlines()
        if line.split("{")[0].split(" ")[0] == name
    )


async def _cycle(url: str, number: int) -> None:
    """Connect and leave: every third by a close, by a reset, and by a half-close without a word."""
    async with connect(url, proxy=None, ping_interval=None, close_timeout=5) as websocket:
        await websocket.recv()
        if number % 3 == 1:
            websocket.transport.abort()
        elif number % 3 == 2:
            websocket.transport.write_eof()


async def _cycles(ws_url: str, session: str, count: int) -> None:
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            await _cycle(f"{ws_url}?session={session}-{number % 20}", number)

    async with asyncio.TaskGroup() as group:
        for _ in range(_AT_ONCE):
            group.create_task(work())


async def test_ten_thousand_cycles(
    redis_server: RedisServer, session_id: str, figure: Callable[[str], None]
) -> None:
    """The registry ends empty, and memory stays flat after the first rounds."""
    import httpx

    with RelayProcess(redis_server.url, "--linger-s", "0.1", "--log-level", "warning") as relay:
        resident = []
        for _ in range(_ROUNDS):
            await _cycles(relay.ws_url, session_id, _CYCLES // _ROUNDS)
            resident.append(_resident_kib(relay.pid))

        def idle() -> bool:
            metrics = httpx.get(f"{relay.base_url}/metrics").text
            return (
                _metric(metrics, "hint_relay_connections") == 0
                and _metric(metrics, "hint_relay_sessions") == 0
            )

        wait_until(idle, "no connections and no sessions")
        metrics = httpx.get(f"{relay.base_url}/metrics").text
        assert _metric(metrics, "hint_relay_connects_total") == _CYCLES
        assert _metric(metrics, "hint_relay_disconnects_total") == _CYCLES
        # The connections that a metrics scrape and the keep-alive of httpx leave are not counted.
        descriptors = len(list(Path(f"/proc/{relay.pid}/fd").iterdir()))
    growth = resident[-1] - resident[2]
    figure(
        f"{_CYCLES:,} cycles: resident {' → '.join(f'{kib / 1024:.1f}' for kib in resident)} MiB, "
        f"{growth:+,} KiB over the last {_ROUNDS - 3} rounds, {descriptors} descriptors"
    )
    # 7,000 cycles: a leak of even 300 bytes each would be past this.
    assert growth < 2048, "memory grows"
    assert descriptors < 64, "descriptors leak"


async def test_no_object_stays(redis_server: RedisServer, session_id: str) -> None:
    """After everybody has left, no connection, room or task of theirs is alive."""
    from relay.room import Room
    from relay.socket.connection import Connection

    # Held, so that they stay what they are: what earlier tests of this process left is not theirs.
    gc.collect()
    others = [obj for obj in gc.get_objects() if isinstance(obj, Connection | Room)]
    known = set(map(id, others))

    def theirs() -> list[str]:
        """Say what is alive, without holding it."""
        gc.collect()
        return [
            f"{obj!r} held by {[type(one).__name__ for one in gc.get_referrers(obj)]}"
            for obj in gc.get_objects()
            if isinstance(obj, Connection | Room) and id(obj) not in known
        ]

    async with local_relay(redis_server.url, linger_s=0.0) as relay:
        before = len(asyncio.all_tasks())
        await _cycles(relay.ws_url, session_id, 300)
        async with asyncio.timeout(10):
            while relay.hub.rooms or len(asyncio.all_tasks()) > before:
                await asyncio.sleep(0.01)
        # A session is remembered until it has been reported that nobody is there any more.
        alive = theirs()
        deadline_s = time.monotonic() + 5
        while alive and time.monotonic() < deadline_s:
            await asyncio.sleep(0.1)
            alive = theirs()
        assert alive == []
