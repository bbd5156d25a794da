"""How much CPU everybody used between two moments."""

from __future__ import annotations

import time
from typing import NamedTuple

from tests.bench import cores, proc


class Usage(NamedTuple):
    """What a stretch of time cost.

    Attributes:
        wall_s: how long it was.
        server_s: CPU of the server and its children.
        generator_share: of one core, used by this process: load generator and publisher.
        redis_share: of one core, used by Redis.
        load_core_share: how busy the core was that these two share, whoever used it.
    """

    wall_s: float
    server_s: float
    generator_share: float
    redis_share: float
    load_core_share: float

    def shares(self) -> dict[str, float]:
        """Return what shows whether the generator was the bottleneck, as a measurement's figures."""
        return {
            "server_busy": self.server_s / self.wall_s,
            "generator_busy": self.generator_share,
            "redis_busy": self.redis_share,
            "load_core_busy": self.load_core_share,
        }


class Meter:
    """Starts when it is made.

    Args:
        server_pid: the server under test.
        redis_pid: Redis.
    """

    def __init__(self, server_pid: int, redis_pid: int) -> None:
        self._server_pid = server_pid
        self._redis_pid = redis_pid
        self._core = cores.ticks(cores.LOAD_CORE)
        self._redis_ns = proc.cpu_ns(redis_pid)
        self._own_ns = time.process_time_ns()
        self._began_ns = time.monotonic_ns()
        self._server_ns = proc.cpu_ns(server_pid)

    def read(self) -> Usage:
        """Return what was used so far."""
        server_ns = proc.cpu_ns(self._server_pid) - self._server_ns
        wall_ns = time.monotonic_ns() - self._began_ns
        own_ns = time.process_time_ns() - self._own_ns
        redis_ns = proc.cpu_ns(self._redis_pid) - self._redis_ns
        busy, total = cores.ticks(cores.LOAD_CORE)
        return Usage(
            wall_s=wall_ns / 1e9,
            server_s=server_ns / 1e9,
            generator_share=own_ns / wall_ns,
            redis_share=redis_ns / wall_ns,
            load_core_share=(busy - self._core[0]) / max(1, total - self._core[1]),
        )
