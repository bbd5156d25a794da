"""Who a facilitator is to others."""

from __future__ import annotations

import re

import pytest

from relay.errors import RequestError
from relay.identity import Identity, identify


@pytest.mark.parametrize("guest", ["a", "Mara-2_x", "x" * 64])
def test_a_name_of_its_own(guest: str) -> None:
    """Who gives itself a name has it on every connection."""
    assert identify(guest) == Identity(f"guest-{guest}", is_lasting=True)


def test_without_a_name() -> None:
    """Who gives none is another one each time."""
    some = [identify(None) for _ in range(50)]
    assert all(re.fullmatch("guest-[0-9a-f]{6}", one.name) for one in some)
    assert not any(one.is_lasting for one in some)
    assert len({one.name for one in some}) > 40


@pytest.mark.parametrize("guest", ["", "x" * 65, "a b", "é", "a.b", "a\n", "٣", "a:b", '"'])
def test_bad_names(guest: str) -> None:
    """Any other text is refused with the rule."""
    with pytest.raises(RequestError, match="1 to 64") as refusal:
        identify(guest)
    assert refusal.value.code == "bad_request"


def test_somebody_with_a_token() -> None:
    """The token's subject is the name, on every connection, whatever the client calls itself."""
    assert identify("mara", "ada") == Identity("ada", is_lasting=True)
    assert identify("not a name!", "ada") == Identity("ada", is_lasting=True)
    assert identify(None, "ada", is_watching=False) == Identity("ada", True, is_watching=False)
    assert identify("mara", is_watching=False) == Identity("guest-mara", True, is_watching=False)
