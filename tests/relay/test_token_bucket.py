"""How often something may happen, on a clock that is turned by hand."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from relay.token_bucket import TokenBucket


def test_a_burst() -> None:
    """A new bucket is full; when it is empty it says when there will be a token."""
    bucket = TokenBucket(10.0, 3, 100.0)
    assert [bucket.take(100.0) for _ in range(5)] == [0, 0, 0, 100, 100]
    assert bucket.take(100.06) == 40
    assert bucket.take(100.1) == 0
    assert bucket.take(100.1) == 100


def test_it_is_never_more_than_full() -> None:
    """However long nothing happens, no more than a burst is saved."""
    bucket = TokenBucket(10.0, 3, 0.0)
    assert [bucket.take(1e6) for _ in range(4)] == [0, 0, 0, 100]


def test_waiting_as_long_as_it_says() -> None:
    """Whoever waits for what it was told gets a token then."""
    bucket, now_s = TokenBucket(3.0, 1, 0.0), 0.0
    for _ in range(1000):
        if wait_ms := bucket.take(now_s):
            now_s += wait_ms / 1000
            assert bucket.take(now_s) == 0


@given(
    st.floats(0.1, 1000), st.integers(1, 50), st.lists(st.floats(0, 2), min_size=1, max_size=100)
)
def test_the_bound(per_s: float, burst: int, pauses_s: list[float]) -> None:
    """In any time no more is given than a burst and what has grown meanwhile."""
    bucket, now_s, taken = TokenBucket(per_s, burst, 0.0), 0.0, 0
    for pause_s in pauses_s:
        now_s += pause_s
        taken += bucket.take(now_s) == 0
        assert taken <= burst + now_s * per_s + 1e-3
