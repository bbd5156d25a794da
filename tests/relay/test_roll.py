"""Which sessions are to be reported, on a clock that is turned by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from relay.feed import Feed
from relay.roll import REFRESH_S, Roll, Turn
from relay.room import Room

if TYPE_CHECKING:
    from relay.close_codes import CloseCode
    from relay.position import Position
    from relay.publication import Publication
    from relay.reader import Fresh, Welcome


class Somebody:
    """A reader with a name; without one it is not counted."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.generation = 0

    @property
    def facilitator(self) -> Somebody | None:
        return self if self.name else None

    def delivered(self) -> Position | None:
        return None

    def tell(self, message: Publication) -> None: ...

    def show_presence(self, presence: Publication) -> None: ...

    def wake(self, fresh: Fresh) -> bool:
        return False

    def restart(self, welcome: Welcome) -> None: ...

    def end(self, code: CloseCode) -> None: ...


def _room(session: str = "s") -> Room:
    source: Any = None
    return Room(session, Feed(max_messages=1, max_bytes=1), source, lambda _: None)


@pytest.fixture
def room() -> Room:
    """A session's."""
    return _room()


@pytest.fixture
def roll() -> Roll:
    """A worker's."""
    return Roll()


def _come(roll: Roll, room: Room, now_s: float, name: str = "a") -> Somebody:
    somebody = Somebody(name)
    room.readers.add(somebody)
    roll.came(room, now_s)
    return somebody


def _go(roll: Roll, room: Room, now_s: float, somebody: Somebody) -> None:
    room.leave(somebody)
    roll.went(room, now_s)


def _one(turns: list[Turn]) -> Turn:
    (turn,) = turns
    return turn


def test_after_a_moment(roll: Roll, room: Room) -> None:
    """Who comes is reported half a second later, with all who are there, each once."""
    _come(roll, room, 0.0, "a")
    _come(roll, room, 0.1, "a")
    _come(roll, room, 0.2, "b")
    room.readers.add(Somebody(""))
    assert roll.take_due(0.4, 10) == []
    turn = _one(roll.take_due(0.5, 10))
    assert turn.session == "s"
    assert turn.names == {"a", "b"}
    assert turn.has_newcomers
    assert roll.take_due(0.5, 10) == [], "it is under way"


def test_the_refresh(roll: Roll, room: Room) -> None:
    """Without a change it is reported again before the last report expires, with no newcomers."""
    _come(roll, room, 0.0)
    now_s = 0.5
    roll.done(_one(roll.take_due(now_s, 10)), now_s)
    for _ in range(3):
        assert roll.take_due(now_s + REFRESH_S - 0.1, 10) == []
        now_s += REFRESH_S
        turn = _one(roll.take_due(now_s, 10))
        assert turn.names == {"a"}
        assert not turn.has_newcomers
        roll.done(turn, now_s)


def test_the_last_one(roll: Roll, room: Room) -> None:
    """When nobody is left that is reported once, and then nothing."""
    somebody = _come(roll, room, 0.0)
    roll.done(_one(roll.take_due(0.5, 10)), 0.5)
    _go(roll, room, 5.0, somebody)
    turn = _one(roll.take_due(5.5, 10))
    assert not turn.names
    assert not turn.has_newcomers
    roll.done(turn, 5.5)
    assert roll.take_due(1e9, 10) == []
    assert len(roll) == 0


def test_a_reload(roll: Roll, room: Room) -> None:
    """Who is back within the moment is a newcomer who changes nothing."""
    before = _come(roll, room, 0.0)
    roll.done(_one(roll.take_due(0.5, 10)), 0.5)
    _go(roll, room, 5.0, before)
    _come(roll, room, 5.3)
    turn = _one(roll.take_due(5.5, 10))
    assert turn.names == {"a"}
    assert turn.has_newcomers


def test_coming_and_going_all_the_time(roll: Roll, room: Room) -> None:
    """One session is reported once a second, neither more often nor never."""
    reports, now_s = [], 0.0
    while now_s < 20:
        _go(roll, room, now_s, _come(roll, room, now_s))
        for turn in roll.take_due(now_s, 10):
            reports.append(now_s)
            roll.done(turn, now_s)
        now_s += 0.05
    pauses = [after - before for before, after in pairwise(reports)]
    assert min(pauses) > 0.49
    assert max(pauses) < 1.11


def test_many_readers(roll: Roll, room: Room) -> None:
    """The more there are to be told, the longer is the pause, within a bound."""
    for readers, pause_s in ((100, 1.0), (300, 3.0), (5000, REFRESH_S)):
        while len(room.readers) < readers:
            _come(roll, room, 0.0)
        now_s = readers * 10.0
        turn = _one(roll.take_due(now_s, 10))
        roll.done(turn, now_s)
        roll.came(room, now_s)
        due = now_s + pause_s
        assert roll.take_due(due - 0.1, 10) == []
        roll.done(_one(roll.take_due(due, 10)), due)


def test_a_change_during_a_report(roll: Roll, room: Room) -> None:
    """What changes while a report is under way is reported after it."""
    somebody = _come(roll, room, 0.0)
    turn = _one(roll.take_due(0.5, 10))
    _go(roll, room, 0.6, somebody)
    roll.done(turn, 0.7)
    assert roll.take_due(1.6, 10) == []
    assert _one(roll.take_due(1.7, 10)).names == set()


def test_a_failure(roll: Roll, room: Room) -> None:
    """What could not be reported is due again, and newcomers are still to be told."""
    _come(roll, room, 0.0, "a")
    goes = _come(roll, room, 0.0, "b")
    turn = _one(roll.take_due(0.5, 10))
    _go(roll, room, 0.6, goes)
    roll.failed(turn, 1.0)
    turn = _one(roll.take_due(2.0, 10))
    assert turn.names == {"a"}
    assert turn.has_newcomers


def test_everything_again(roll: Roll) -> None:
    """After Redis was away all are due, a few at a time."""
    for number in range(5):
        _come(roll, _room(f"s-{number}"), 0.0)
    for turn in roll.take_due(0.5, 10):
        roll.done(turn, 0.5)
    roll.all_are_due(1.0)
    assert len(roll.take_due(1.0, 3)) == 3
    assert len(roll.take_due(1.0, 3)) == 2
    assert roll.sessions == [f"s-{number}" for number in range(5)]


def test_a_room_of_the_same_session(roll: Roll) -> None:
    """The newest room of a session is the one that counts."""
    old, new = _room(), _room()
    _go(roll, old, 0.0, _come(roll, old, 0.0))
    _come(roll, new, 0.1, "b")
    assert _one(roll.take_due(0.5, 10)).names == {"b"}
