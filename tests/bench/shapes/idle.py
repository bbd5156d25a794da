"""Waiting: memory for each connection in which nothing happens, and CPU of all of them together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.bench import proc
from tests.bench.load import Join
from tests.bench.meter import Meter
from tests.bench.shapes.shape import Bench, Figures, Shape, fresh_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.sizes import Sizes

# What a server still does after the last handshake: freeing requests, ending tasks.
_SETTLE_S = 2.0


class Idle(Shape):
    """Many clients of one session, in which nothing is published."""

    name: ClassVar[str] = "idle"
    columns: ClassVar[Mapping[str, str]] = {
        "kb": "KB per connection",
        "cpu_ms_per_s": "ms CPU per second",
        "server_busy": "server busy",
    }
    is_long: ClassVar[bool] = True

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"{sizes.idle_many:,} connections to one session: memory in user space "
            f"(growth from {sizes.idle_few:,} on), and CPU while nothing is published"
        )

    def sessions(self, sizes: Sizes) -> list[str]:
        """Return the session of each connection."""
        return fresh_sessions(1) * sizes.idle_many

    def measure(self, bench: Bench) -> Figures:
        """Connect a few, look, connect all, look again."""
        sizes = bench.sizes
        sessions = self.sessions(sizes)
        with bench.load() as load:
            load.connect(map(Join, sessions[: sizes.idle_few]))
            load.run_for(_SETTLE_S)
            before = proc.memory_bytes(bench.server.pid)
            load.connect(map(Join, sessions[sizes.idle_few :]))
            load.run_for(_SETTLE_S)
            grown = proc.memory_bytes(bench.server.pid) - before
            figures = {"kb": grown / 1024 / (sizes.idle_many - sizes.idle_few)}
            if sizes.idle_watched_s:
                meter = Meter(bench.server.pid, bench.redis_pid)
                load.run_for(sizes.idle_watched_s)
                usage = meter.read()
                figures["cpu_ms_per_s"] = usage.server_s * 1000 / usage.wall_s
                figures |= usage.shares()
            load.check(0, load.readers)
            return figures
