"""Which sessions' facilitators are to be reported, and when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from relay.room import Room

# Who reloads the page is gone for less than this, and nobody needs to know.
DEBOUNCE_S = 0.5
# What is reported holds for 9 s: one report may be lost, and one more be late.
REFRESH_S = 4.0
# Between two reports of one session that has changed.
_PAUSE_S = 1.0
# With more readers than this the pause grows with them, up to a refresh: each telling goes to all.
_READERS_PER_PAUSE = 100
_RETRY_S = 1.0


class Turn(NamedTuple):
    """A session that is to be reported now; give it back to ``done`` or ``failed``.

    Attributes:
        room: its session's.
        names: of all who are here, each once; empty when the last has gone.
        has_newcomers: whether somebody has come who was not told anything yet.
    """

    room: Room
    names: frozenset[str]
    has_newcomers: bool

    @property
    def session(self) -> str:
        """Its session's id."""
        return self.room.session


class _Entry:
    """A session with facilitators, or whose last one has just gone."""

    __slots__ = ("due_s", "has_newcomers", "reported_s", "room")

    def __init__(self, room: Room) -> None:
        self.room = room
        self.due_s = math.inf
        self.reported_s = -math.inf
        self.has_newcomers = False


class Roll:
    """The sessions of one worker that have facilitators.

    Pure: it is told who came and went, and says what is due. Times are seconds on a clock that does
    not step back.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def __len__(self) -> int:
        """Return how many sessions have to be reported, now or later."""
        return len(self._entries)

    @property
    def sessions(self) -> list[str]:
        """Those sessions."""
        return list(self._entries)

    def came(self, room: Room, now_s: float) -> None:
        """Note that somebody has come."""
        entry = self._entries.get(room.session)
        if entry is None:
            entry = self._entries[room.session] = _Entry(room)
        entry.room = room
        entry.has_newcomers = True
        self._changed(entry, now_s)

    def went(self, room: Room, now_s: float) -> None:
        """Note that somebody has gone."""
        entry = self._entries.get(room.session)
        if entry is not None:
            self._changed(entry, now_s)

    def all_are_due(self, now_s: float) -> None:
        """Report everything again: what was reported may be lost."""
        for entry in self._entries.values():
            entry.due_s = min(entry.due_s, now_s)

    def take_due(self, now_s: float, limit: int) -> list[Turn]:
        """Return up to ``limit`` sessions that are to be reported now."""
        turns = []
        for entry in self._entries.values():
            if entry.due_s <= now_s:
                turns.append(Turn(entry.room, entry.room.names(), entry.has_newcomers))
                entry.due_s = math.inf
                entry.has_newcomers = False
                if len(turns) == limit:
                    break
        return turns

    def done(self, turn: Turn, now_s: float) -> None:
        """Note that a session has been reported."""
        entry = self._entries[turn.session]
        entry.reported_s = now_s
        if not turn.names and entry.due_s == math.inf:
            del self._entries[turn.session]
        elif entry.due_s != math.inf:
            # It has changed again meanwhile.
            entry.due_s = max(entry.due_s, now_s + self._pause_s(entry))
        else:
            entry.due_s = now_s + REFRESH_S

    def failed(self, turn: Turn, now_s: float) -> None:
        """Note that a session could not be reported: it will be due again."""
        entry = self._entries[turn.session]
        entry.has_newcomers |= turn.has_newcomers
        entry.due_s = now_s + _RETRY_S

    def _changed(self, entry: _Entry, now_s: float) -> None:
        # Not later than what was planned: with a coming and going all the time it would never be.
        due_s = max(now_s + DEBOUNCE_S, entry.reported_s + self._pause_s(entry))
        entry.due_s = min(entry.due_s, due_s)

    def _pause_s(self, entry: _Entry) -> float:
        return min(REFRESH_S, max(_PAUSE_S, len(entry.room.readers) / _READERS_PER_PAUSE))
