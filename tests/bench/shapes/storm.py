"""Everybody is cut off and comes back at once, while messages are being published."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, ClassVar

from tests.bench.figures import percentile
from tests.bench.load import BenchError, Join
from tests.bench.meter import Meter
from tests.bench.shapes.fanout import settle
from tests.bench.shapes.shape import Bench, Figures, Shape, fresh_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.bench.contenders.contender import Contender
    from tests.bench.load import Load, Reader
    from tests.bench.publisher import Publisher
    from tests.bench.sizes import Sizes

_DEADLINE_S = 90.0
# Publishing goes on this long after the last one has caught up.
_AFTERWARDS_S = 1.0


class Storm(Shape):
    """All clients are reset, and reconnect with the position that they had."""

    name: ClassVar[str] = "storm"
    columns: ClassVar[Mapping[str, str]] = {
        "cpu_us": "µs CPU per client",
        "p50_s": "p50 s",
        "p99_s": "p99 s",
        "max_s": "all caught up after s",
        "recovered": "messages meanwhile",
        "wrong": "lost, doubled, out of order",
        "server_busy": "server busy",
        "load_core_busy": "load core busy",
    }
    is_long: ClassVar[bool] = True

    def why_not(self, contender: Contender) -> str | None:
        """Only some recover."""
        return super().why_not(contender) or (None if contender.recovers else "recovers nothing")

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"{sizes.storm_clients:,} clients, {sizes.storm_per_session} to a session, are reset and "
            f"come back at once, {sizes.storm_per_s} messages/s meanwhile; seconds from the reset "
            "until each has everything"
        )

    def measure(self, bench: Bench) -> Figures:
        """Reset, reconnect, and follow every client until it has caught up."""
        sizes = bench.sizes
        sessions = fresh_sessions(sizes.storm_clients // sizes.storm_per_session)
        with bench.load() as load:
            load.connect(Join(name) for name in sessions for _ in range(sizes.storm_per_session))
            publisher = bench.publisher(load)
            # So that everybody has a position.
            publisher.publish_many(sessions)
            settle(load, publisher, len(load.readers))
            before = load.readers
            joins = [Join(reader.session, load.dialect.position(reader)) for reader in before]
            load.begin()
            caught_up: list[int] = []

            def note(reader: Reader, now_ns: int) -> None:
                newest = publisher.acknowledged.get(reader.session, -1)
                if reader.expected is not None and reader.expected > newest:
                    reader.caught_up_ns = now_ns
                    caught_up.append(now_ns)

            load.on_progress = note
            load.readers = []
            meter = Meter(bench.server.pid, bench.redis_pid)
            began_ns = time.monotonic_ns()
            for reader in before:
                reader.reset()
            traffic = _Traffic(publisher, sessions, sizes.storm_per_s)
            for was, join in zip(before, joins, strict=True):
                traffic.go_on()
                load.start(join).expected = was.expected
            _poll_until_all(load, traffic, caught_up, len(before))
            usage = meter.read()
            until_s = time.monotonic() + _AFTERWARDS_S
            while time.monotonic() < until_s:
                traffic.go_on()
                load.poll(0.001)
            wrong = _settle_and_compare(load, publisher)
            times = sorted((at_ns - began_ns) / 1e9 for at_ns in caught_up)
            publisher.close()
            return {
                "cpu_us": usage.server_s * 1e6 / len(before),
                "p50_s": percentile(times, 0.5),
                "p99_s": percentile(times, 0.99),
                "max_s": times[-1],
                "recovered": load.messages,
                "wrong": wrong,
                **usage.shares(),
            }


class _Traffic:
    """Publishes at a steady rate whenever it is given the time."""

    def __init__(self, publisher: Publisher, sessions: list[str], per_s: float) -> None:
        self._publisher = publisher
        self._sessions: Iterator[str] = itertools.cycle(sessions)
        self._every_s = 1 / per_s
        self._due_s = time.monotonic()

    def go_on(self) -> None:
        """Publish what is due."""
        now_s = time.monotonic()
        while self._due_s <= now_s:
            self._publisher.publish(next(self._sessions))
            self._due_s += self._every_s


def _poll_until_all(load: Load, traffic: _Traffic, caught_up: list[int], clients: int) -> None:
    deadline_s = time.monotonic() + _DEADLINE_S
    while len(caught_up) + load.lost < clients:
        traffic.go_on()
        load.poll(0.001)
        if time.monotonic() > deadline_s:
            break
    if len(caught_up) < clients:
        reasons = {
            reader.lost or "still waiting" for reader in load.readers if not reader.is_joined
        }
        raise BenchError(
            f"{clients - len(caught_up)} of {clients} clients did not come back: "
            + ", ".join(sorted(reasons))
        )


def _settle_and_compare(load: Load, publisher: Publisher) -> int:
    """Wait for what is under way; returns how many messages are missing or were wrong."""

    def missing() -> int:
        return sum(
            publisher.number(reader.session) - (reader.expected or 0) for reader in load.readers
        )

    try:
        load.run_until(lambda: publisher.idle and missing() == 0, "the last messages", silence_s=3)
    except BenchError:
        pass
    return missing() + len(load.faults)
