"""``make faults``: the whole fault matrix. SEED=… repeats a run, ONLY=name runs one scenario."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import time

from rich.console import Console
from rich.table import Table

from relay.logs import configure_logs
from tests.faults.checker import Violation
from tests.faults.runner import run
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import FULL, LARGER, SHORT


def main() -> int:
    """Run all scenarios, print a table, and return the number of failed ones."""
    seed = int(os.environ.get("SEED") or secrets.randbelow(10**6))
    only = os.environ.get("ONLY")
    size = SHORT if os.environ.get("SHORT") else FULL
    # The publishers say each time that Redis is away; here it often is.
    configure_logs("error", "console")
    console = Console(width=120 if not sys.stdout.isatty() else None)
    console.print(f"SEED={seed}, {size}")
    table = Table()
    for heading in ("scenario", "s", "published", "received", "connects", "resumed", "told", "MiB"):
        table.add_column(
            heading, justify="left" if heading == "scenario" else "right", no_wrap=True
        )
    failed = 0
    for name in SCENARIOS:
        if only and name != only:
            continue
        console.print(f"{name} …", end=" ")
        began_s = time.monotonic()
        try:
            outcome = asyncio.run(run(name, LARGER.get(name, size) if size is FULL else size, seed))
        except (Violation, AssertionError) as violation:
            failed += 1
            console.print(f"FAILED: {violation}", style="bold red", markup=False)
            table.add_row(name, f"{time.monotonic() - began_s:.0f}", "failed")
            continue
        took = f"{time.monotonic() - began_s:.0f}"
        console.print(f"ok, {took} s", style="green")
        table.add_row(
            name, took, f"{outcome.published:,}", f"{outcome.received:,}",
            f"{outcome.connects:,}", f"{outcome.resumed:,}", f"{outcome.told:,}",
            f"{outcome.growth_mib:+.1f}",
        )  # fmt: skip
    console.print(table)
    if failed:
        console.print(f"{failed} failed; repeat with SEED={seed}", style="bold red")
    return failed


if __name__ == "__main__":
    sys.exit(main())
