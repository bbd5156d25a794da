"""One that hardly reads: what it does to the others, and what it costs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from tests.bench import proc
from tests.bench.figures import percentile
from tests.bench.load import BenchError, Join
from tests.bench.shapes.fanout import pace
from tests.bench.shapes.shape import Bench, Figures, Shape, fresh_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.contenders.contender import Contender
    from tests.bench.load import Load, Reader
    from tests.bench.publisher import Publisher
    from tests.bench.sizes import Sizes

# What the slow one's kernel takes; the least that Linux gives.
_RECEIVE_BUFFER = 2048
_SLOW_BYTES_PER_S = 1000
_SETTLE_S = 1.0
_FEW_STALLED = 10

_CONTENDERS = frozenset({"ours", "ours-asgi", "plain", "broadcaster", "nchan", "centrifugo"})


class Slow(Shape):
    """A client that takes 1 KB/s among many that keep up."""

    name: ClassVar[str] = "slow"
    columns: ClassVar[Mapping[str, str]] = {
        "p99_ratio": "p99 with ÷ without",
        "without_ms": "others' p99 ms without it",
        "with_ms": "with it",
        "kb": "KB in user space for a stalled one",
        "cut_off": "stalled ones cut off",
    }
    is_long: ClassVar[bool] = True

    def why_not(self, contender: Contender) -> str | None:
        """It takes long; a few are enough."""
        if contender.name not in _CONTENDERS:
            return "not made for this shape"
        return super().why_not(contender)

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"one client reads {_SLOW_BYTES_PER_S / 1000:g} KB/s beside {sizes.slow_readers}, "
            f"{sizes.slow_per_s} messages/s of {sizes.slow_text_bytes} bytes"
        )

    def measure(self, bench: Bench) -> Figures:
        """Take the others' latencies without and with it; then the memory of many of its kind."""
        without_ms = _p99_ms(bench, slow=False)
        with_ms = _p99_ms(bench, slow=True)
        return {
            "p99_ratio": with_ms / without_ms,
            "without_ms": without_ms,
            "with_ms": with_ms,
            **_kb_each(bench),
        }


def _p99_ms(bench: Bench, *, slow: bool) -> float:
    sizes = bench.sizes
    sessions = fresh_sessions(1)
    with bench.load() as load:
        publisher = bench.publisher(load)
        laggard = None
        if slow:
            laggard = _connect_stalled(load, sessions[0])
            # First fill what the kernel takes for it, or it would be no slow reader for minutes.
            publisher.publish_many(
                sessions * (sizes.stalled_bytes // sizes.slow_text_bytes),
                text_bytes=sizes.slow_text_bytes,
            )
            load.run_until(lambda: publisher.idle, "publishing")
            load.run_for(_SETTLE_S)
        # The first alone, for encode/broadcaster's sake; see fanout.py.
        others = load.connect([Join(sessions[0])])
        others += load.connect(Join(sessions[0]) for _ in range(1, sizes.slow_readers))
        _pace(bench, load, publisher, sessions[0], laggard, sizes.warm_up_s)
        load.begin()
        count = _pace(bench, load, publisher, sessions[0], laggard, sizes.slow_s)
        if laggard is None or laggard.lost is None:
            load.check(count, others)
        else:
            raise BenchError(f"the slow one was cut off: {laggard.lost}")
        publisher.close()
        return percentile(sorted(load.latencies), 0.99) / 1e6


def _pace(
    bench: Bench,
    load: Load,
    publisher: Publisher,
    session: str,
    laggard: Reader | None,
    seconds: float,
) -> int:
    """Publish for a while; the slow one reads a little ten times a second."""
    sizes = bench.sizes
    count = 0
    before = load.messages - (laggard.count if laggard else 0)
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        count += pace(
            load,
            publisher,
            [session],
            per_s=sizes.slow_per_s,
            seconds=0.1,
            text_bytes=sizes.slow_text_bytes,
        )
        if laggard is not None:
            laggard.receive(_SLOW_BYTES_PER_S // 10)
    wanted = count * sizes.slow_readers

    def others() -> int:
        return load.messages - (laggard.count if laggard else 0) - before

    try:
        load.run_until(lambda: others() >= wanted, "delivering to the others")
    except BenchError as error:
        raise BenchError(f"{others()} of {wanted} deliveries: {error}") from error
    return count


def _kb_each(bench: Bench) -> Figures:
    """Measure how much more memory a session takes with many stalled readers than with few.

    Not than with readers that keep up: what those need for a moment stays with the allocator, and the
    stalled ones would then be given it for nothing. Who was cut off costs nothing either, so nothing is
    said of the memory then.
    """
    with bench.load() as load:
        publisher = bench.publisher(load)
        # The first fills the allocator's own reserves.
        _grown(bench, load, publisher, stalled=0)
        few = _grown(bench, load, publisher, stalled=_FEW_STALLED)
        many = _grown(bench, load, publisher, stalled=_FEW_STALLED + bench.sizes.stalled)
        publisher.close()
        gone = sum(reader.lost is not None for reader in load.readers)
        if gone:
            return {"cut_off": gone}
        return {"kb": (many - few) / 1024 / bench.sizes.stalled, "cut_off": 0}


def _grown(bench: Bench, load: Load, publisher: Publisher, *, stalled: int) -> int:
    sizes = bench.sizes
    sessions = fresh_sessions(1)
    # It keeps up in either case, and tells when the server has dealt with everything.
    witness = load.connect([Join(sessions[0])])[0]
    readers = [_connect_stalled(load, sessions[0]) for _ in range(stalled)]
    load.run_for(_SETTLE_S)
    before = proc.memory_bytes(bench.server.pid)
    count = sizes.stalled_bytes // sizes.slow_text_bytes
    publisher.publish_many(sessions * count, text_bytes=sizes.slow_text_bytes)
    load.run_until(
        lambda: witness.count >= count and publisher.idle,
        "a reader that keeps up beside stalled ones",
    )
    load.run_for(_SETTLE_S)
    grown = proc.memory_bytes(bench.server.pid) - before
    # Now they read, and must get all of it or have been cut off.
    for reader in readers:
        reader.count_only()
        reader.resume()
    load.run_until(
        lambda: all(reader.count >= count or reader.lost for reader in readers),
        "the stalled ones' messages",
    )
    load.check(count, [reader for reader in readers if reader.lost is None])
    for reader in readers:
        # They stay, and answer pings: memory that they gave back would be lent to the next session.
        reader.read_frames()
    return grown


def _connect_stalled(load: Load, session: str) -> Reader:
    reader = load.connect([Join(session, receive_buffer=_RECEIVE_BUFFER)])[0]
    reader.pause()
    return reader
