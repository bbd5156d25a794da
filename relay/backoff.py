"""How long to wait before the next try."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def full_jitter_s(
    attempt: int,
    *,
    random: Callable[[], float],
    base_s: float = 0.25,
    cap_s: float = 5.0,
) -> float:
    """Return the seconds to wait before try number ``attempt`` (the first retry is 0).

    Full jitter, from the first retry on: a whole fleet that lost the same server must not come back
    in step. A tenth of the bound is the floor, so that bad luck can't make a loop spin.

    Args:
        attempt: how many tries have failed since the last success.
        random: draws from [0, 1).
        base_s: the first retry's upper bound.
        cap_s: the upper bound that later retries grow to.
    """
    # 2**30 passes every sensible cap; the bound keeps the power finite for any attempt.
    bound = min(cap_s, base_s * 2.0 ** min(attempt, 30))
    return bound * (0.1 + 0.9 * random())
