"""Which process runs where: the server under test on one core, everything else on another."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_ALLOWED = sorted(os.sched_getaffinity(0))

SERVER_CORE = _ALLOWED[0]
LOAD_CORE = _ALLOWED[-1]

HAVE_TWO = SERVER_CORE != LOAD_CORE


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """Pin this thread to a core, and with it every process that is started meanwhile."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def describe() -> str:
    """Say in a sentence what is pinned."""
    if not HAVE_TWO:
        return (
            "There is one core only: server, load generator and Redis share it, "
            "so rates and latencies say little here; CPU per delivery does."
        )
    return (
        f"The server under test runs on core {SERVER_CORE} alone; "
        f"load generator, publisher and Redis share core {LOAD_CORE}."
    )


def ticks(core: int) -> tuple[int, int]:
    """Return a core's busy and total clock ticks since boot."""
    prefix = f"cpu{core} "
    with Path("/proc/stat").open() as lines:
        for line in lines:
            if line.startswith(prefix):
                # user nice system idle iowait irq softirq steal; guests are counted in user.
                values = [int(word) for word in line.split()[1:9]]
                total = sum(values)
                return total - values[3] - values[4], total
    raise ValueError(f"no core {core}")
