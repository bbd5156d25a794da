"""``make fuzz``: every part. FRAMES= and REQUESTS= say how many, SEED= repeats a run, ONLY= one part."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time
from functools import partial

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from relay.logs import configure_logs
from tests.fuzz.parts import PARTS
from tests.fuzz.runner import Outcome, run

_FRAMES = 1_000_000
_REQUESTS = 100_000
_MOST_SHOWN = 10


def main() -> int:
    """Run the parts, print a table, and return how many found something."""
    frames = int(os.environ.get("FRAMES") or _FRAMES)
    requests = int(os.environ.get("REQUESTS") or _REQUESTS)
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
    only = os.environ.get("ONLY")
    configure_logs("error", "console")
    console = Console(width=130 if not sys.stdout.isatty() else None)
    if only and only not in PARTS:
        console.print(f"ONLY={only} is none of {', '.join(PARTS)}", style="bold red")
        return 2
    console.print(f"SEED={seed}, {frames:,} frames, {requests:,} requests")
    outcomes: dict[str, Outcome] = {}
    began_s = time.monotonic()
    columns = (
        TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    try:
        with Progress(*columns, console=console) as progress:
            for name, part in PARTS.items():
                if only and name != only:
                    continue
                count = round((frames if part.kind == "frames" else requests) * part.share)
                bar = progress.add_task(name, total=count)
                tell = partial(_tell, progress, bar)
                outcomes[name] = asyncio.run(run(part, count, seed, tell=tell))
                progress.update(bar, total=outcomes[name].done, completed=outcomes[name].done)
                for line in outcomes[name].complaints[:_MOST_SHOWN]:
                    progress.console.print(f"{name}: {line}", style="red", markup=False)
    except KeyboardInterrupt:
        console.print("interrupted", style="yellow")
    console.print(_table(outcomes))
    found = sum(bool(outcome.complaints) for outcome in outcomes.values())
    console.print(f"{time.monotonic() - began_s:.0f} s, {found} parts found something, SEED={seed}")
    is_whole = bool(only) or len(outcomes) == len(PARTS)
    return found if is_whole else 130


def _tell(progress: Progress, bar: object, done: int) -> None:
    progress.update(bar, completed=done)  # type: ignore[arg-type]


def _table(outcomes: dict[str, Outcome]) -> Table:
    table = Table()
    for heading in (
        "part", "sent", "s", "sent/s", "conns", "p99 calm", "p99 ms", "max ms", "MiB", "growth", "tasks",
        "keys", "found",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "part" else "right", no_wrap=True)
    for name, outcome in outcomes.items():
        table.add_row(
            name,
            f"{outcome.done:,}",
            f"{outcome.seconds:.0f}",
            f"{outcome.done / outcome.seconds:,.0f}",
            f"{outcome.seen['connections']:,}",
            f"{outcome.calm_p99_ms:.1f}",
            f"{outcome.p99_ms:.1f}",
            f"{outcome.max_ms:.0f}",
            " ".join(f"{mib:.0f}" for mib in outcome.mib),
            f"{outcome.growth_mib:+.1f}",
            "{} {}".format(*outcome.tasks),
            f"{outcome.keys:,}",
            str(len(outcome.complaints)),
        )
    return table


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
