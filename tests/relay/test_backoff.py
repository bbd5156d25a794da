"""How long a retry waits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.backoff import full_jitter_s


@given(st.integers(min_value=0, max_value=10_000), st.floats(min_value=0, max_value=0.999))
def test_bounds(attempt: int, drawn: float) -> None:
    """A wait is never zero and never above the cap, for any attempt and any luck."""
    assert 0 < full_jitter_s(attempt, random=lambda: drawn, base_s=0.25, cap_s=5.0) <= 5.0


def test_jitter_from_the_first_retry_on() -> None:
    """Two relays that lost the same Redis at once don't come back at once."""
    assert full_jitter_s(0, random=lambda: 0.1) != full_jitter_s(0, random=lambda: 0.9)


def test_bound_doubles_up_to_the_cap() -> None:
    """The longest wait doubles with each failure until it reaches the cap."""
    longest = [full_jitter_s(n, random=lambda: 1.0, base_s=0.5, cap_s=3.0) for n in range(5)]
    assert longest == [0.5, 1.0, 2.0, 3.0, 3.0]
