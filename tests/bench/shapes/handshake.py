"""Joining: CPU for each handshake, with and without recovering what was missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from tests.bench.load import BenchError, Join
from tests.bench.meter import Meter
from tests.bench.shapes.fanout import settle
from tests.bench.shapes.shape import Bench, Figures, Shape, fresh_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.contenders.contender import Contender
    from tests.bench.sizes import Sizes

_COLUMNS = {
    "cpu_us": "µs CPU per handshake",
    "per_s": "handshakes/s",
    "server_busy": "server busy",
    "load_core_busy": "load core busy",
}


class Handshake(Shape):
    """Clients join warm sessions in which nothing was ever published."""

    name: ClassVar[str] = "handshake"
    columns: ClassVar[Mapping[str, str]] = _COLUMNS

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"{sizes.handshake_sessions * sizes.handshake_joins:,} clients join "
            f"{sizes.handshake_sessions} warm sessions, nothing to recover"
        )

    def measure(self, bench: Bench) -> Figures:
        """Join."""
        return _measure(bench, missed=0)


class HandshakeRecovering(Shape):
    """Clients come back to warm sessions, each with a position that is a few messages old."""

    name: ClassVar[str] = "handshake-recovering"
    columns: ClassVar[Mapping[str, str]] = _COLUMNS

    def why_not(self, contender: Contender) -> str | None:
        """Only some recover."""
        return super().why_not(contender) or (None if contender.recovers else "recovers nothing")

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"{sizes.handshake_sessions * sizes.handshake_joins:,} clients join "
            f"{sizes.handshake_sessions} warm sessions and recover "
            f"{sizes.handshake_missed} messages each"
        )

    def measure(self, bench: Bench) -> Figures:
        """Join with a position."""
        return _measure(bench, missed=bench.sizes.handshake_missed)


def _measure(bench: Bench, *, missed: int) -> Figures:
    sizes = bench.sizes
    sessions = fresh_sessions(sizes.handshake_sessions)
    total = sizes.handshake_sessions * sizes.handshake_joins
    with bench.load() as load:
        # These stay, and keep the sessions warm.
        stayers = load.connect(Join(session) for session in sessions)
        publisher = bench.publisher(load)
        since: dict[str, str | None] = dict.fromkeys(sessions)
        if missed:
            publisher.publish_many(sessions)
            settle(load, publisher, len(sessions))
            since = {reader.session: load.dialect.position(reader) for reader in stayers}
            if None in since.values():
                raise BenchError("no position came with the messages")
            publisher.publish_many(sessions * missed)
            settle(load, publisher, len(sessions) * (1 + missed))
        # The first connections of a process find caches cold.
        joins = [Join(session, since[session]) for session in sessions]
        load.connect(joins)
        settle(load, publisher, len(sessions) * (1 + 2 * missed) if missed else 0)
        load.begin()
        meter = Meter(bench.server.pid, bench.redis_pid)
        fresh = load.connect(joins * sizes.handshake_joins)
        settle(load, publisher, total * missed)
        usage = meter.read()
        load.check(missed, fresh)
        publisher.close()
        return {
            "cpu_us": usage.server_s * 1e6 / total,
            "per_s": total / usage.wall_s,
            **usage.shares(),
        }
