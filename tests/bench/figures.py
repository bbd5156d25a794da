"""Medians, spreads and percentiles."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Spread(NamedTuple):
    """One figure over several rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Sum up at least one value."""
        known = list(values)
        return cls(statistics.median(known), min(known), max(known))


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile: the smallest value that ``share`` of all don't exceed.

    Args:
        ordered: at least one value, in rising order.
        share: above 0, up to 1.
    """
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]
