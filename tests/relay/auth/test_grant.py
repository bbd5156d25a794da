"""What somebody may do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.auth.grant import OPEN, Grant, Role
from relay.errors import Forbidden

_SESSIONS = st.text("abAB019_.~-", min_size=1, max_size=10)


def _allows(pattern: str, session: str) -> bool:
    try:
        Grant(Role.FACILITATOR, (pattern,)).check_session(session)
    except Forbidden:
        return False
    return True


@pytest.mark.parametrize(
    ("role", "contributes", "publishes", "watches"),
    [
        (None, True, True, True),
        (Role.FACILITATOR, True, False, True),
        (Role.OBSERVER, False, False, False),
        (Role.AGENT, False, True, False),
    ],
)
def test_roles(role: Role | None, contributes: bool, publishes: bool, watches: bool) -> None:
    """Each role has its rights; without tokens everybody has all of them."""
    grant = OPEN._replace(role=role)
    assert (grant.may_contribute, grant.may_publish, grant.is_watching) == (
        contributes, publishes, watches,
    )  # fmt: skip


@given(_SESSIONS, _SESSIONS)
def test_patterns(one: str, other: str) -> None:
    """A session is itself alone, a prefix all that begin so, and a star is everything."""
    assert _allows(one, other) == (one == other)
    assert _allows(one + "*", one + other)
    assert _allows(one + "*", other) == other.startswith(one)
    assert _allows("*", other)


def test_a_star_elsewhere() -> None:
    """A star stands for something only at the end."""
    assert not _allows("a*b", "axb")
    assert not _allows("*a", "xa")
    assert not _allows("a?", "ab")


def test_several_patterns() -> None:
    """One of several is enough."""
    grant = Grant(Role.AGENT, ("a", "b*"))
    grant.check_session("a")
    grant.check_session("bc")
    with pytest.raises(Forbidden):
        grant.check_session("ab")


def test_holders() -> None:
    """What one person has is counted together: by subject, else by token; a subject is no token."""
    assert Grant(None, (), subject="x", token_id="y").holder == "sub:x"
    assert Grant(None, (), token_id="x").holder == "jti:x"
    assert OPEN.holder is None
