"""Medians and percentiles."""

from __future__ import annotations

import pytest

from tests.bench.figures import Spread, percentile


@pytest.mark.parametrize(
    ("share", "wanted"), [(0.01, 1.0), (0.5, 50.0), (0.99, 99.0), (0.991, 100.0), (1.0, 100.0)]
)
def test_a_percentile_is_a_value_that_occurred(share: float, wanted: float) -> None:
    """Nearest rank: of 1 to 100, the p-th percentile is p."""
    assert percentile([float(n) for n in range(1, 101)], share) == wanted


def test_a_percentile_of_one_value_is_that_value() -> None:
    """No rank lies outside."""
    assert percentile([7.0], 0.01) == percentile([7.0], 1.0) == 7.0


def test_a_spread_has_median_lowest_and_highest() -> None:
    """In whatever order the rounds came."""
    assert Spread.of([3.0, 1.0, 10.0]) == (3.0, 1.0, 10.0)
