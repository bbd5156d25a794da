"""What a process, with its children, has used: CPU and memory of its own."""

from __future__ import annotations

import os
from pathlib import Path


def family(pid: int) -> list[int]:
    """Return a process and all its descendants that are alive."""
    found = [pid]
    for parent in found:
        for task in _tasks(parent):
            try:
                found += map(int, (task / "children").read_text().split())
            except FileNotFoundError:
                pass
    return found


def cpu_ns(pid: int) -> int:
    """Return the CPU time of a process, its threads and its descendants, in ns.

    From schedstat, because utime and stime count in ticks of 10 ms. A thread that has ended is not in
    it; the servers here keep theirs.
    """
    total = 0
    for member in family(pid):
        for task in _tasks(member):
            try:
                total += int((task / "schedstat").read_text().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
    return total


def memory_bytes(pid: int) -> int:
    """Return the memory that belongs to a process and its descendants.

    Anonymous pages and shared ones that are no file's (nginx keeps messages there), each page counted
    once over the processes that share it. What the kernel keeps for a socket is not in it.
    """
    total_kb = 0
    for member in family(pid):
        try:
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in lines:
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total_kb += int(line.split()[1])
    return total_kb * 1024


def own_cpu_ns() -> int:
    """Return the CPU time of this process, in ns."""
    return cpu_ns(os.getpid())


def _tasks(pid: int) -> list[Path]:
    try:
        return list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []
