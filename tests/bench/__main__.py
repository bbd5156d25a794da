"""``make bench``: this relay beside others on the same machine, in one run, as ratios.

Absolute figures move with the machine; the ratio of two contenders in one run does not.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tests.bench import cores
from tests.bench.contenders.all import CONTENDERS, QUICK
from tests.bench.picture import picture
from tests.bench.results import Results, machine
from tests.bench.runner import Runner
from tests.bench.shapes.all import FULL_SHAPES, QUICK_SHAPES, SHAPES
from tests.bench.sizes import FULL
from tests.bench.sizes import QUICK as QUICK_SIZES
from tests.bench.table import show_shape, show_targets
from tests.bench.targets import judge
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.bench.contenders.contender import Contender
    from tests.bench.shapes.shape import Shape
    from tests.bench.sizes import Sizes

_RESULTS = Path("bench-results/latest.json")
# A copy that the next quick look does not overwrite.
_WHOLE_RESULTS = Path("bench-results/whole.json")
_PICTURE = Path("docs/images/bench.svg")


def main() -> int:
    """Measure, print tables, write the results file; returns 1 when this relay failed."""
    options = _parse()
    sizes = QUICK_SIZES if options.quick else FULL
    if options.rounds is not None:
        sizes = sizes._replace(rounds=options.rounds, long_rounds=options.rounds)
    names = options.only or (QUICK if options.quick else list(CONTENDERS))
    shape_names = options.shape or (QUICK_SHAPES if options.quick else FULL_SHAPES)
    shapes = [SHAPES[name] for name in shape_names]
    console = Console(width=160 if not sys.stdout.isatty() else None)
    # Everything that is started from here on inherits the load's core, but for the servers.
    os.sched_setaffinity(0, {cores.LOAD_CORE})
    # One file for each connection, here and in the servers that inherit it.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    # Both, also where a shell started this in the background with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    results = Results()
    contenders = _present([CONTENDERS[name] for name in names], results, console)
    console.print(cores.describe())
    stopped = False
    try:
        with RedisServer() as redis:
            Runner(redis, sizes, results, console).run(contenders, shapes)
    except KeyboardInterrupt:
        stopped = True
        console.print("Stopped; what there is so far:", style="yellow")
    _show(console, shapes, contenders, results, sizes)
    judged = judge(results, shape_names)
    show_targets(console, judged)
    results.write(_RESULTS, judged)
    console.print(f"Everything, round by round: {_RESULTS}")
    is_whole = not (options.quick or options.only or options.shape or stopped)
    if is_whole:
        results.write(_WHOLE_RESULTS, judged)
    path = options.chart or (_PICTURE if is_whole else None)
    drawn = None if path is None else picture(results, contenders)
    if path is not None and drawn is not None:
        path.write_text(drawn)
        console.print(f"The picture: {path}")
    failed = _failed(results)
    if failed:
        console.print(f"Failed for this relay: {', '.join(failed)}", style="bold red")
    if stopped:
        return 128 + signal.SIGINT
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few contenders, small, two rounds")
    parser.add_argument("--only", type=_names(CONTENDERS), help="contenders, with commas")
    parser.add_argument("--shape", type=_names(SHAPES), help="shapes, with commas")
    parser.add_argument("--rounds", type=int, help="rounds of every shape")
    parser.add_argument("--chart", type=Path, help="where the picture goes, also of a partial run")
    return parser.parse_args()


class _names:  # noqa: N801 - reads as a type in the parser
    """Splits and checks a list of names."""

    def __init__(self, known: dict[str, Contender] | dict[str, Shape]) -> None:
        self._known = known

    def __call__(self, text: str) -> list[str]:
        """Return the names."""
        names = text.split(",")
        for name in names:
            if name not in self._known:
                raise argparse.ArgumentTypeError(f"{name}: one of {', '.join(self._known)}")
        return names


def _present(
    contenders: Sequence[Contender], results: Results, console: Console
) -> list[Contender]:
    """Return those that can run here; say why others can't."""
    facts = machine()
    console.print(
        f"{facts['processor']}, {facts['cores']} cores, Linux {facts['kernel']}, "
        f"Python {facts['python']}",
        highlight=False,
    )
    present = []
    for contender in contenders:
        why_not = contender.why_not()
        if why_not is None:
            present.append(contender)
            results.versions[contender.name] = contender.version()
            console.print(f"  {contender.title}: {contender.version()}", highlight=False)
        else:
            results.absent[contender.name] = why_not
            console.print(f"  {contender.title}: left out, {why_not}", style="yellow", markup=False)
    return present


def _show(
    console: Console,
    shapes: Sequence[Shape],
    contenders: Sequence[Contender],
    results: Results,
    sizes: Sizes,
) -> None:
    for shape in shapes:
        if shape.name in results.rounds:
            console.print()
            show_shape(console, shape, contenders, results, sizes)


def _failed(results: Results) -> list[str]:
    """Return the shapes in which this relay lost something, or did not come through a round."""
    failed = [shape for shape, missing in results.problems.items() if "ours" in missing]
    lost = results.spread("storm", "ours", "wrong")
    return failed if lost is None or lost.high == 0 else [*failed, "storm"]


if __name__ == "__main__":
    sys.exit(main())
