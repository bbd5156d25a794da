"""``make hostile``: every attack. ONLY=name runs one, SHORT=1 a few seconds of each."""

from __future__ import annotations

import asyncio
import os
import sys

from rich.console import Console
from rich.table import Table

from tests.hostile.attacks import ATTACKS
from tests.hostile.runner import FULL, SHORT, run


def main() -> int:
    """Run the attacks, print a table, and return how many did harm."""
    console = Console(width=140 if not sys.stdout.isatty() else None)
    size = SHORT if os.environ.get("SHORT") else FULL
    only = os.environ.get("ONLY")
    table = Table()
    for heading in ("attack", "p99 calm", "p99 ms", "max ms", "lost", "MiB", "peak", "after"):
        table.add_column(heading, justify="left" if heading == "attack" else "right")
    table.add_column("limits reached", overflow="fold")
    table.add_column("attackers saw", overflow="fold")
    harmed = 0
    for name in ATTACKS:
        if only and name != only:
            continue
        console.print(f"{name} …")
        outcome = asyncio.run(run(name, size))
        harmed += bool(outcome.lost or outcome.complaints)
        table.add_row(
            name,
            *(f"{value:.1f}" for value in outcome[:3]),
            str(outcome.lost),
            *(f"{value:.1f}" for value in outcome[4:7]),
            ", ".join(f"{key} {value:,}" for key, value in outcome.limits.items()),
            ", ".join(f"{key} {value:,}" for key, value in outcome.seen.items()),
        )
        for line in outcome.complaints[:5]:
            console.print(line, style="red", markup=False)
    console.print(table)
    return harmed


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
