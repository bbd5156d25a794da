"""A token bucket for each of many names, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict

from relay.token_bucket import TokenBucket

# Some 200 bytes each.
_MAX_NAMES = 20_000


class Rates:
    """How often each of many may do something; pure, the caller says what time it is.

    Names that were not heard of for the longest time are forgotten first; a forgotten one begins with
    a full bucket. So whoever has more names than this holds (addresses, say) gets through, and is the
    business of a bound over all.

    Args:
        per_s: for each name, for long.
        burst: for each name, at once.
        max_names: how many are remembered.
    """

    def __init__(self, per_s: float, burst: int, *, max_names: int = _MAX_NAMES) -> None:
        self._per_s = per_s
        self._burst = burst
        self._max_names = max_names
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """Return how many names are remembered."""
        return len(self._buckets)

    def take(self, name: str, now_s: float, count: float = 1) -> int:
        """Count one for a name; returns 0, or in how many ms there will be room for it."""
        bucket = self._buckets.get(name)
        if bucket is None:
            if len(self._buckets) >= self._max_names:
                self._buckets.popitem(last=False)
            bucket = self._buckets[name] = TokenBucket(self._per_s, self._burst, now_s)
        else:
            self._buckets.move_to_end(name)
        return bucket.take(now_s, count)
