"""A moment of each attack of ``make hostile``."""

from __future__ import annotations

import pytest

from tests.hostile.attacks import ATTACKS
from tests.hostile.runner import SHORT, run

# Far more than any of them takes, far less than what is thrown at the relay.
_MAX_GROWTH_MIB = 64
_NOTICED = {"fragments": "inbound_bytes_per_s", "empty_fragments": "inbound_bytes_per_s"}


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack(name: str) -> None:
    """An attack costs bounded memory, breaks nothing, and keeps no message from a facilitator."""
    outcome = await run(name, SHORT)
    assert outcome.lost == 0
    assert outcome.complaints == []
    assert outcome.peak_mib - outcome.before_mib < _MAX_GROWTH_MIB
    assert sum(outcome.seen.values()) > 0, "nothing was attacked"
    if name in _NOTICED:
        assert outcome.limits[_NOTICED[name]] > 0
