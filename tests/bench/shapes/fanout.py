"""Delivering: one session with many readers, many sessions with one; paced and saturated."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from tests.bench.figures import percentile
from tests.bench.load import BenchError, Join
from tests.bench.meter import Meter
from tests.bench.shapes.shape import Bench, Figures, Shape, fresh_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.load import Load
    from tests.bench.meter import Usage
    from tests.bench.publisher import Publisher
    from tests.bench.sizes import Sizes

# In a saturated shape every so many-th client's bytes are kept, and read after the clock has stopped.
_SAMPLED = 50
_WARM_UP_MESSAGES = 20

_PACED_COLUMNS = {
    "cpu_us": "µs CPU per delivery",
    "p50_ms": "p50 ms",
    "p99_ms": "p99 ms",
    "max_ms": "max ms",
    "bytes": "bytes each",
    "server_busy": "server busy",
    "load_core_busy": "load core busy",
}
_SATURATED_COLUMNS = {
    "cpu_us": "µs CPU per delivery",
    "per_s": "deliveries/s",
    "bytes": "bytes each",
    "server_busy": "server busy",
    "load_core_busy": "load core busy",
}


def pace(
    load: Load,
    publisher: Publisher,
    sessions: Sequence[str],
    *,
    per_s: float,
    seconds: float,
    text_bytes: int | None = None,
) -> int:
    """Publish in turn to all sessions at a steady rate; returns how many messages."""
    count = max(1, round(per_s * seconds))
    began_s = time.monotonic()
    for number in range(count):
        due_s = began_s + number / per_s
        while (left_s := due_s - time.monotonic()) > 0:
            load.poll(left_s)
        publisher.publish(sessions[number % len(sessions)], text_bytes=text_bytes)
    return count


def settle(load: Load, publisher: Publisher, expected: int) -> None:
    """Wait until ``expected`` deliveries have been made, and every publication is answered."""
    try:
        load.run_until(lambda: load.messages >= expected and publisher.idle, "delivering")
    except BenchError as error:
        raise BenchError(f"{load.messages} of {expected} deliveries: {error}") from error


class _FanOut(Shape):
    """Fan-out of each session to the same number of readers."""

    @abstractmethod
    def sessions(self, sizes: Sizes) -> int:
        """Return how many sessions there are."""

    @abstractmethod
    def readers(self, sizes: Sizes) -> int:
        """Return how many facilitators each session has."""

    def connect(self, bench: Bench, load: Load) -> list[str]:
        """Connect everybody; returns the sessions."""
        sessions = fresh_sessions(self.sessions(bench.sizes))
        # Each session's first client alone: encode/broadcaster loses the second of two that come to a
        # new channel at the same moment, and that is not what is measured here.
        load.connect(map(Join, sessions))
        load.connect(
            Join(session) for session in sessions for _ in range(1, self.readers(bench.sizes))
        )
        return sessions


class _Paced(_FanOut):
    columns: ClassVar[Mapping[str, str]] = _PACED_COLUMNS

    @abstractmethod
    def rate(self, sizes: Sizes) -> tuple[int, float]:
        """Return messages per second over all sessions, and for how many seconds."""

    def measure(self, bench: Bench) -> Figures:
        """Publish at a steady rate, and take the latency of every message at every client."""
        sizes, readers = bench.sizes, self.readers(bench.sizes)
        per_s, seconds = self.rate(sizes)
        with bench.load() as load:
            sessions = self.connect(bench, load)
            publisher = bench.publisher(load)
            # Whole turns, so that every session has had the same number of messages.
            warm_up_s = len(sessions) / per_s if len(sessions) > 1 else sizes.warm_up_s
            count = pace(load, publisher, sessions, per_s=per_s, seconds=warm_up_s)
            settle(load, publisher, count * readers)
            load.begin()
            meter = Meter(bench.server.pid, bench.redis_pid)
            turns = max(1, round(per_s * seconds / len(sessions)))
            count = pace(
                load,
                publisher,
                sessions,
                per_s=per_s,
                seconds=turns * len(sessions) / per_s,
            )
            settle(load, publisher, count * readers)
            usage = meter.read()
            load.check(turns, load.readers)
            latencies = sorted(load.latencies)
            publisher.close()
            return {
                **_common(usage, load),
                "p50_ms": percentile(latencies, 0.5) / 1e6,
                "p99_ms": percentile(latencies, 0.99) / 1e6,
                "max_ms": latencies[-1] / 1e6,
            }


class _Saturated(_FanOut):
    columns: ClassVar[Mapping[str, str]] = _SATURATED_COLUMNS

    @abstractmethod
    def publications(self, bench: Bench) -> int:
        """Return how many messages are published."""

    def measure(self, bench: Bench) -> Figures:
        """Publish a bounded number of messages as fast as it goes, and count."""
        readers = self.readers(bench.sizes)
        with bench.load() as load:
            sessions = self.connect(bench, load)
            publisher = bench.publisher(load)
            warm_up = sessions * (-(-_WARM_UP_MESSAGES // len(sessions)))
            publisher.publish_many(warm_up)
            settle(load, publisher, len(warm_up) * readers)
            for number, reader in enumerate(load.readers):
                reader.count_only(keep=number % _SAMPLED == 0)
            load.begin()
            turns = max(1, self.publications(bench) // len(sessions))
            expected = turns * len(sessions) * readers
            meter = Meter(bench.server.pid, bench.redis_pid)
            publisher.publish_many(sessions * turns)
            settle(load, publisher, expected)
            usage = meter.read()
            load.check(turns, load.readers)
            publisher.close()
            return {**_common(usage, load), "per_s": expected / usage.wall_s}


class WidePaced(_Paced):
    """One session, many readers, a steady rate."""

    name: ClassVar[str] = "wide-paced"

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return f"1 session x {sizes.wide_readers} facilitators, {sizes.wide_per_s} messages/s"

    def sessions(self, sizes: Sizes) -> int:
        """One."""
        return 1

    def readers(self, sizes: Sizes) -> int:
        """Many."""
        return sizes.wide_readers

    def rate(self, sizes: Sizes) -> tuple[int, float]:
        """Return messages per second, and for how many seconds."""
        return sizes.wide_per_s, sizes.wide_paced_s


class WideSaturated(_Saturated):
    """One session, many readers, as fast as it goes."""

    name: ClassVar[str] = "wide-saturated"

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"1 session x {sizes.wide_readers} facilitators, up to "
            f"{sizes.wide_saturated:,} messages as fast as they can be published"
        )

    def sessions(self, sizes: Sizes) -> int:
        """One."""
        return 1

    def readers(self, sizes: Sizes) -> int:
        """Many."""
        return sizes.wide_readers

    def publications(self, bench: Bench) -> int:
        """Return how many messages."""
        return round(bench.sizes.wide_saturated * bench.contender.share)


class NarrowPaced(_Paced):
    """Many sessions with one reader each, a steady rate."""

    name: ClassVar[str] = "narrow-paced"

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"{sizes.narrow_sessions:,} sessions x 1 facilitator, "
            f"{sizes.narrow_per_s:,} messages/s over all"
        )

    def sessions(self, sizes: Sizes) -> int:
        """Many."""
        return sizes.narrow_sessions

    def readers(self, sizes: Sizes) -> int:
        """One."""
        return 1

    def rate(self, sizes: Sizes) -> tuple[int, float]:
        """Return messages per second, and for how many seconds."""
        return sizes.narrow_per_s, sizes.narrow_paced_s


class NarrowSaturated(_Saturated):
    """Many sessions with one reader each, as fast as it goes."""

    name: ClassVar[str] = "narrow-saturated"

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"{sizes.narrow_sessions:,} sessions x 1 facilitator, {sizes.narrow_saturated:,} "
            "messages as fast as they can be published"
        )

    def sessions(self, sizes: Sizes) -> int:
        """Many."""
        return sizes.narrow_sessions

    def readers(self, sizes: Sizes) -> int:
        """One."""
        return 1

    def publications(self, bench: Bench) -> int:
        """Return how many messages."""
        return bench.sizes.narrow_saturated


def _common(usage: Usage, load: Load) -> Figures:
    return {
        "cpu_us": usage.server_s * 1e6 / load.messages,
        "bytes": load.received / load.messages,
        **usage.shares(),
    }
