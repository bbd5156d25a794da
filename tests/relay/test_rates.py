"""How often each of many may do something, on a clock that is turned by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.rates import Rates


def test_each_has_its_own() -> None:
    """One that has used up its burst waits; another one does not."""
    rates = Rates(8.0, 2)
    assert [rates.take("a", 0.0) for _ in range(3)] == [0, 0, 125]
    assert rates.take("b", 0.0) == 0
    assert rates.take("a", 0.125) == 0


def test_more_than_one_at_once() -> None:
    """Several can be counted at once; what is refused is not counted."""
    rates = Rates(1.0, 10)
    assert rates.take("a", 0.0, 8) == 0
    assert rates.take("a", 0.0, 3) == 1000
    assert rates.take("a", 0.0, 2) == 0


def test_memory_is_bounded() -> None:
    """Who was not heard of for longest is forgotten first, and begins anew."""
    rates = Rates(1.0, 1, max_names=2)
    assert rates.take("a", 0.0) == 0
    assert rates.take("b", 0.0) == 0
    assert rates.take("a", 0.0) == 1000
    assert rates.take("c", 0.0) == 0
    assert len(rates) == 2
    assert rates.take("a", 0.0) == 1000, "heard of later than b"
    assert rates.take("b", 0.0) == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.floats(0, 1)), max_size=60))
def test_the_bound(steps: list[tuple[str, float]]) -> None:
    """However many names come, no more than the bound are remembered."""
    rates, now_s = Rates(5.0, 2, max_names=3), 0.0
    for name, pause_s in steps:
        now_s += pause_s
        assert rates.take(name, now_s) >= 0
        assert len(rates) <= 3
