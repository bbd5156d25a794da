"""What somebody who wants to read a session asks for."""

from __future__ import annotations

import pytest

from relay.auth.grant import OPEN, Grant, Role
from relay.errors import Forbidden, InvalidPosition, InvalidSession, RequestError
from relay.position import Position
from relay.routes.feed_request import FeedRequest

_ADA = Grant(Role.OBSERVER, ("mine", "ours-*"), "ada")


def _parse(grant: Grant = OPEN, last_event_id: str | None = None, /, **query: str) -> FeedRequest:
    return FeedRequest.parse(query, grant, "192.0.2.1", path="/ws", last_event_id=last_event_id)


def test_the_least() -> None:
    """A session is enough."""
    request = _parse(session="s")
    assert (request.session, request.since, request.replay) == ("s", None, None)
    assert request.who.name.startswith("guest-")
    assert request.ticket == ("s", OPEN, "192.0.2.1")


def test_everything() -> None:
    """All parameters are read; empty ones are not there."""
    request = _parse(session="s", since="1000-7", replay="5", guest="mara")
    assert (request.since, request.replay) == (Position(1000, 7), 5)
    assert request.who.name == "guest-mara"
    assert _parse(session="s", since="", replay="")[1:3] == (None, None)


def test_where_a_reader_of_events_was() -> None:
    """What came last wins over what the address says: it is newer."""
    request = _parse(OPEN, "1000-9", session="s", since="1000-7")
    assert request.since == Position(1000, 9)


def test_what_does_not_count_is_looked_at() -> None:
    """A wrong position is told also where another one wins."""
    for header, query in (("1000-9", "x"), ("x", "1000-9")):
        with pytest.raises(InvalidPosition):
            _parse(OPEN, header, session="s", since=query)


def test_somebody_with_a_token() -> None:
    """The token says who it is, whatever the address says, and an observer is not watching."""
    request = _parse(_ADA, session="mine", guest="mara")
    assert (request.who.name, request.who.is_lasting, request.who.is_watching) == (
        "ada",
        True,
        False,
    )
    assert _parse(_ADA, session="ours-1").session == "ours-1"


@pytest.mark.parametrize(
    "query",
    [
        {"session": "theirs"},
        {"session": "mine2"},
        {"session": "theirs", "since": "nonsense", "replay": "-1"},
    ],
)
def test_another_session(query: dict[str, str]) -> None:
    """A token for another session is told so, before anything else is looked at."""
    with pytest.raises(Forbidden):
        _parse(_ADA, **query)


@pytest.mark.parametrize(
    ("query", "kind", "told"),
    [
        ({}, RequestError, r"/ws\?session="),
        ({"session": ""}, InvalidSession, "session id"),
        ({"session": "a b"}, InvalidSession, "session id"),
        ({"session": "*"}, InvalidSession, "session id"),
        ({"session": "s", "since": "x"}, InvalidPosition, "position"),
        ({"session": "s", "replay": "-1"}, RequestError, "replay"),
        ({"session": "s", "replay": "٣"}, RequestError, "replay"),
        ({"session": "s", "replay": "9" * 10}, RequestError, "replay"),
        ({"session": "s", "guest": "a b"}, RequestError, "guest"),
    ],
)
def test_wrong_ones(query: dict[str, str], kind: type[RequestError], told: str) -> None:
    """A wrong parameter is named."""
    with pytest.raises(kind, match=told):
        _parse(**query)
