"""What every shape has: a name, what it measures, and a way to measure it once."""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from tests.bench.load import Load
from tests.bench.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.contenders.contender import Contender, Server
    from tests.bench.sizes import Sizes

Figures = dict[str, float]


class Bench(NamedTuple):
    """Where one measurement takes place."""

    contender: Contender
    server: Server
    redis_pid: int
    sizes: Sizes

    def load(self) -> Load:
        """Return a load generator without clients."""
        return Load(self.server.address, self.contender.dialect())

    def publisher(self, load: Load) -> Publisher:
        """Return a publisher in the load generator's loop."""
        return Publisher(load, self.server.publishing)


class Shape(ABC):
    """One way to use a relay.

    Attributes:
        name: for ``--shape`` and the results file.
        columns: the figures, each with its heading, in the table's order.
        is_long: measured in fewer rounds.
    """

    name: ClassVar[str]
    columns: ClassVar[Mapping[str, str]]
    is_long: ClassVar[bool] = False

    def why_not(self, contender: Contender) -> str | None:
        """Say why this contender can't be measured so; None when it can."""
        if contender.shapes is not None and self.name not in contender.shapes:
            return "not made for this shape"
        return None

    @abstractmethod
    def describe(self, sizes: Sizes) -> str:
        """Say what happens, for the table's title."""

    @abstractmethod
    def measure(self, bench: Bench) -> Figures:
        """Measure once.

        Raises:
            BenchError: when it did not come about, or something was lost.
        """


def fresh_sessions(count: int) -> list[str]:
    """Return names that nobody has used."""
    run = secrets.token_hex(3)
    return [f"bench-{run}-{number}" for number in range(count)]
