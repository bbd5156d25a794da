"""How often something may happen: so many at once, and so many a second for long."""

from __future__ import annotations

import math


class TokenBucket:
    """Tokens that grow at a steady rate up to a bound; pure, the caller says what time it is.

    Args:
        per_s: tokens that grow in a second.
        burst: how many there can be, and are at first.
        now_s: the time, on any clock that does not step back.
    """

    __slots__ = ("_burst", "_full_at_s", "_per_s")

    def __init__(self, per_s: float, burst: float, now_s: float) -> None:
        self._per_s = per_s
        self._burst = burst
        # When it will be full again tells how full it is at any time: one number instead of two.
        self._full_at_s = now_s

    def take(self, now_s: float, count: float = 1) -> int:
        """Take tokens; returns 0, or when there are too few in how many ms there will be enough.

        Args:
            now_s: the time.
            count: how many; of more than ``burst`` it is asked in vain.
        """
        full_at_s = max(self._full_at_s, now_s) + count / self._per_s
        missing_s = full_at_s - now_s - self._burst / self._per_s
        # A token that is there but for rounding is there.
        if missing_s > 1e-9:
            return max(1, math.ceil(missing_s * 1000))
        self._full_at_s = full_at_s
        return 0
