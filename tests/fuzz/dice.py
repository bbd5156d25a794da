"""Chance that can be had again: the same seed throws the same."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

_T = TypeVar("_T")


class Dice:
    """A ``random.Random`` with the throws that are needed here, as cheap as they get.

    Each connection has its own, made of the run's seed and its number: so it can be made again without
    those before it.

    Args:
        seed: anything that has a text.
    """

    __slots__ = ("_random", "bytes")

    def __init__(self, *seed: object) -> None:
        source = random.Random(":".join(map(str, seed)))
        self._random = source.random
        self.bytes = source.randbytes

    def chance(self, share: float) -> bool:
        """Tell whether something happens that does so in this share of cases."""
        return self._random() < share

    def below(self, end: int) -> int:
        """Return a whole number from 0 to below ``end``."""
        return int(self._random() * end)

    def pick(self, things: Sequence[_T]) -> _T:
        """Return one of some things."""
        return things[int(self._random() * len(things))]

    def size(self, most: int) -> int:
        """Return a number from 1 to ``most``; small ones as often as large ones of more digits."""
        return min(most, max(1, int(most ** self._random())))
