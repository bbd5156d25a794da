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
from tests.faults.long_hint import run_long_hint
from tests.faults.runner import run
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import FULL, LARGER, SHORT

_LONG_HINT = "a_long_streaming_hint"
# Tokens, and tokens a second.
LONG_HINT = (10_000, 100.0)
SHORT_HINT = (2_000, 250.0)


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
    for heading in (
        "scenario",
        "s",
        "published",
        "received",
        "connects",
        "resumed",
        "told",
        "streamed",
        "acts",
        "anew",
        "MiB",
    ):
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
            f"{outcome.streamed:,}", f"{outcome.acts:,}", f"{outcome.anew:,}",
            f"{outcome.growth_mib:+.1f}",
        )  # fmt: skip
    if not only or only == _LONG_HINT:
        failed += _long_hint(console, SHORT_HINT if size is SHORT else LONG_HINT)
    console.print(table)
    if failed:
        console.print(f"{failed} failed; repeat with SEED={seed}", style="bold red")
    return failed


def _long_hint(console: Console, pace: tuple[int, float]) -> int:
    tokens, per_s = pace
    console.print(f"{_LONG_HINT}: {tokens:,} tokens at {per_s:g}/s …", end=" ")
    try:
        watchers = asyncio.run(run_long_hint(tokens, per_s))
    except (Violation, AssertionError) as violation:
        console.print(f"FAILED: {violation}", style="bold red", markup=False)
        return 1
    console.print("ok", style="green")
    for seen in watchers:
        console.print(
            f"  {seen.name}: {seen.connections} connections, {seen.frames} messages, "
            f"{seen.bytes_per_text_byte:.2f} bytes for each byte of text"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
