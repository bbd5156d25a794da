"""How much memory a process has."""

from __future__ import annotations

import asyncio
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024 * 1024


def resident_mib(pid: int) -> float:
    """Return a process' resident memory."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:  # noqa: PTH123 - hot
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / _MIB


@contextmanager
def watched_memory(pid: int) -> Iterator[list[float]]:
    """Collect a process' resident memory ten times a second; use it in an event loop."""
    seen = [resident_mib(pid)]

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.1)
            seen.append(resident_mib(pid))

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
