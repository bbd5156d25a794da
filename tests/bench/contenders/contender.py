"""What the bench needs to know of a contender."""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from tests.bench import cores
from tests.bench.dialect import Dialect
from tests.bench.load import BenchError
from tests.bench.publisher import Publishing, ScriptPublishing
from tests.support.process import Process

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.support.redis import RedisServer


class Server(NamedTuple):
    """A contender that runs."""

    pid: int
    address: tuple[str, int]
    publishing: Publishing


class Contender(ABC):
    """One server, started afresh for each measurement.

    Attributes:
        name: for ``--only`` and the results file.
        title: for tables and the chart.
        recovers: a client that comes back gets what it missed.
        share: of the messages of the wide saturated shape. One that delivers a hundred times more slowly
            would take minutes for all of them; one that is fast would be done before it is measured.
        shapes: names of the shapes that it is measured in; None for all that apply.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    recovers: ClassVar[bool] = False
    share: ClassVar[float] = 0.1
    shapes: ClassVar[frozenset[str] | None] = None

    def why_not(self) -> str | None:
        """Say why it can't be measured here, and what to do about that; None when it can."""
        return None

    @abstractmethod
    def version(self) -> str:
        """Name what is measured, with versions."""

    def dialect(self) -> Dialect:
        """Return how clients talk to it."""
        return Dialect()

    @abstractmethod
    def start(self, redis: RedisServer) -> AbstractContextManager[Server]:
        """Run it, pinned, while the ``with`` block does; it is ready to take clients."""


class PinnedProcess(Process):
    """A server under test, on its own core from the first instruction on."""

    def start(self) -> None:
        """Start it."""
        with cores.on_core(cores.SERVER_CORE):
            super().start()

    def wait_for_port(self, port: int, timeout_s: float = 20.0) -> None:
        """Wait until something accepts connections on a port."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
            except OSError:
                if not self.is_running:
                    raise BenchError(f"it did not start: {self.output[-300:]}") from None
                if time.monotonic() > deadline_s:
                    raise BenchError(f"it did not listen within {timeout_s:g} s") from None
                time.sleep(0.02)
            else:
                return


def script_publishing(redis: RedisServer) -> ScriptPublishing:
    """Return how everything that reads the project's own channels is published to."""
    return ScriptPublishing(("127.0.0.1", redis.port), str(time.monotonic_ns()))
