"""How many may be connected, and in which company."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.admission import Admission, Ticket
from relay.auth.grant import OPEN, Grant, Role
from relay.errors import LimitReached
from relay.settings import Settings


def _admission(**limits: int) -> Admission:
    return Admission(Settings.load(**limits))


def _ticket(
    session: str = "s", subject: str | None = None, address: str | None = None, **more: Any
) -> Ticket:
    return Ticket(session, Grant(Role.FACILITATOR, ("*",), subject, **more), address)


def _limit(admission: Admission, ticket: Ticket) -> str | None:
    """Return which limit refuses somebody; None when he is counted in."""
    before = len(admission), admission.traces
    try:
        admission.enter(ticket)
    except LimitReached as error:
        assert str(error).endswith((".", "one."))
        assert (len(admission), admission.traces) == before, "who is refused leaves no trace"
        return error.limit
    return None


@pytest.mark.parametrize(
    ("limit", "ticket", "another"),
    [
        ("max_connections", _ticket(), None),
        ("max_connections_per_session", _ticket("s"), _ticket("other")),
        ("max_connections_per_address", _ticket(address="192.0.2.1"), _ticket(address="192.0.2.2")),
        ("max_connections_per_subject", _ticket(subject="ada"), _ticket(subject="ben")),
        ("max_connections_per_subject", _ticket(token_id="1"), _ticket(token_id="2")),
    ],
)
def test_limits(limit: str, ticket: Ticket, another: Ticket | None) -> None:
    """As many as the limit says come in; the next one only after one has left; others may."""
    admission = _admission(**{limit: 2})
    assert [_limit(admission, ticket) for _ in range(3)] == [None, None, limit]
    if another is not None:
        assert _limit(admission, another) is None
        admission.leave(another)
    admission.leave(ticket)
    assert _limit(admission, ticket) is None
    assert _limit(admission, ticket) == limit
    for _ in range(2):
        admission.leave(ticket)
    assert (len(admission), admission.traces) == (0, 0)


def test_full() -> None:
    """A worker that is full says so before anybody is looked at."""
    admission = _admission(max_connections=1)
    assert not admission.is_full
    admission.enter(_ticket())
    assert admission.is_full


def test_sessions_of_one_person() -> None:
    """Somebody may be in so many sessions at once, and often in each."""
    admission = _admission(max_sessions_per_token=2)
    for session in ("a", "b", "b"):
        assert _limit(admission, _ticket(session, "ada")) is None
    assert _limit(admission, _ticket("c", "ada")) == "max_sessions_per_token"
    assert _limit(admission, _ticket("c", "ben")) is None
    admission.leave(_ticket("b", "ada"))
    assert _limit(admission, _ticket("c", "ada")) == "max_sessions_per_token"
    admission.leave(_ticket("b", "ada"))
    assert _limit(admission, _ticket("c", "ada")) is None


def test_who_is_not_counted() -> None:
    """Without a token and behind nobody's address only the worker and the session count."""
    admission = _admission(
        max_connections_per_address=1, max_connections_per_subject=1, max_sessions_per_token=1
    )
    for session in ("a", "b", "b"):
        assert _limit(admission, Ticket(session, OPEN, None)) is None
    assert len(admission) == 3


def test_exchanging() -> None:
    """Who gets a newer token stays counted once, also when the limits are reached."""
    admission = _admission(max_connections=1, max_connections_per_subject=1)
    old, new = _ticket(subject="ada", expires_at_s=1.0), _ticket(subject="ada", expires_at_s=2.0)
    admission.enter(old)
    admission.exchange(old, new)
    assert len(admission) == 1
    admission.leave(new)
    assert (len(admission), admission.traces) == (0, 0)


@given(
    st.lists(
        st.builds(
            _ticket,
            st.sampled_from("abc"),
            st.none() | st.sampled_from("xy"),
            st.none() | st.sampled_from("12"),
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_nothing_is_left(tickets: list[Ticket], random: Any) -> None:
    """Whoever comes and goes in whatever order, the limits hold and nothing is left at the end."""
    admission = _admission(
        max_connections=8, max_connections_per_session=4, max_connections_per_subject=3,
        max_connections_per_address=3, max_sessions_per_token=2,
    )  # fmt: skip
    inside: list[Ticket] = []
    for ticket in tickets:
        if _limit(admission, ticket) is None:
            inside.append(ticket)
        if inside and random.random() < 0.3:
            admission.leave(inside.pop(random.randrange(len(inside))))
        assert len(admission) == len(inside) <= 8
        for session in "abc":
            assert sum(one.session == session for one in inside) <= 4
        for subject in "xy":
            own = [one for one in inside if one.grant.subject == subject]
            assert len(own) <= 3
            assert len({one.session for one in own}) <= 2
    for ticket in inside:
        admission.leave(ticket)
    assert (len(admission), admission.traces) == (0, 0)
