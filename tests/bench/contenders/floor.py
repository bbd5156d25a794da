"""The C floor: what the kernel alone costs, in two variants."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.bench.contenders.contender import Contender, PinnedProcess, Server, script_publishing
from tests.bench.load import BenchError
from tests.support.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.redis import RedisServer

_SOURCE = Path(__file__).parents[1] / "floor" / "floor.c"


def _compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@functools.cache
def _compile() -> tempfile.TemporaryDirectory[str]:
    """Compile into a folder that is removed when this process ends."""
    folder = tempfile.TemporaryDirectory(prefix="hint-relay-floor-")
    built = subprocess.run(
        [_compiler() or "cc", "-O2", "-Wall", "-o", f"{folder.name}/floor", str(_SOURCE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise BenchError(f"floor.c does not compile: {built.stderr[:300]}")
    return folder


class _Floor(Contender):
    mode: ClassVar[str]

    def why_not(self) -> str | None:
        """It needs a C compiler."""
        return None if _compiler() else "needs a C compiler: apt-get install gcc libc6-dev"

    def version(self) -> str:
        """Name the compiler."""
        said = subprocess.run(
            [_compiler() or "cc", "--version"], capture_output=True, text=True, check=True
        )
        return said.stdout.splitlines()[0]

    @contextmanager
    def start(self, redis: RedisServer) -> Iterator[Server]:
        """Run it."""
        port = free_port()
        with PinnedProcess(
            [f"{_compile().name}/floor", self.mode, str(port), str(redis.port)]
        ) as process:
            process.wait_for_port(port)
            yield Server(process.pid, ("127.0.0.1", port), script_publishing(redis))


class FloorEach(_Floor):
    """One ``send`` for each delivery."""

    name: ClassVar[str] = "floor-a"
    title: ClassVar[str] = "C floor A, send per delivery"
    mode: ClassVar[str] = "each"


class FloorJoined(_Floor):
    """One ``send`` for each connection and wake-up."""

    name: ClassVar[str] = "floor-b"
    title: ClassVar[str] = "C floor B, send per wake-up"
    mode: ClassVar[str] = "joined"
    share: ClassVar[float] = 1.0
