"""Measures contenders in turn, round by round."""

from __future__ import annotations

import gc
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.bench.load import BenchError
from tests.bench.shapes.shape import Bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from tests.bench.contenders.contender import Contender, Server
    from tests.bench.results import Results
    from tests.bench.shapes.shape import Shape
    from tests.bench.sizes import Sizes
    from tests.support.redis import RedisServer


class Runner:
    """Runs every round of every shape: all contenders once, then all of them again.

    So a machine that slows down over minutes slows them all down alike.
    """

    def __init__(
        self, redis: RedisServer, sizes: Sizes, results: Results, console: Console
    ) -> None:
        self._redis = redis
        self._sizes = sizes
        self._results = results
        self._console = console

    def run(self, contenders: Sequence[Contender], shapes: Sequence[Shape]) -> None:
        """Measure all that applies, and note the rest with the reason."""
        short = [shape for shape in shapes if not shape.is_long]
        for number in range(self._sizes.rounds if short else 0):
            for contender in contenders:
                self._round(contender, short, f"round {number + 1} of {self._sizes.rounds}")
        for shape in shapes:
            if shape.is_long:
                rounds = self._sizes.long_rounds
                for number in range(rounds):
                    for contender in contenders:
                        self._round(contender, [shape], f"round {number + 1} of {rounds}")

    def _round(self, contender: Contender, shapes: Sequence[Shape], said: str) -> None:
        wanted = []
        for shape in shapes:
            why_not = shape.why_not(contender)
            if why_not is None:
                wanted.append(shape)
            else:
                self._results.miss(shape.name, contender.name, why_not)
        with ExitStack() as running:
            server: Server | None = None
            for shape in wanted:
                try:
                    if server is None:
                        self._redis.command("FLUSHALL")
                        server = running.enter_context(contender.start(self._redis))
                    figures = self._measure(contender, server, shape)
                except (BenchError, AssertionError, OSError) as error:
                    # It may be in any state now.
                    running.close()
                    server = None
                    reason = str(error).strip().splitlines()[0] if str(error) else repr(error)
                    self._results.miss(shape.name, contender.name, reason)
                    self._console.print(
                        f"{shape.name}, {said}: {contender.title}: {reason}",
                        style="yellow",
                        markup=False,
                    )
                else:
                    self._results.add(shape.name, contender.name, figures)
                    headline = next(iter(shape.columns))
                    self._console.print(
                        f"{shape.name}, {said}: {contender.title}: "
                        f"{figures[headline]:.2f} {shape.columns[headline]}",
                        style="dim",
                        highlight=False,
                    )

    def _measure(self, contender: Contender, server: Server, shape: Shape) -> dict[str, float]:
        # The generator's own garbage collection would show as latency of the server.
        gc.collect()
        gc.disable()
        try:
            return shape.measure(Bench(contender, server, self._redis.pid, self._sizes))
        finally:
            gc.enable()
