"""What a room gives to a reader, and what it asks of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from relay.close_codes import CloseCode
    from relay.feed import Backlog
    from relay.position import Position
    from relay.publication import Publication


class Welcome(NamedTuple):
    """Where a reader starts: what it gets first, and its cursor for what comes after.

    Attributes:
        position: the session's newest position at this moment; None when it has no log.
        backlog: what comes before live publications.
        cursor: where live publications begin in the feed's ring.
        generation: the feed's; another one later means that a new welcome is on its way.
    """

    position: Position | None
    backlog: Backlog
    cursor: int
    generation: int


class Fresh(NamedTuple):
    """Publications that have just come, ready to be written to everybody who stands before them.

    Attributes:
        begin: the cursor before the first.
        end: the cursor behind the last.
        frames: all of them as WebSocket frames, joined.
    """

    begin: int
    end: int
    frames: bytes


class Facilitator(Protocol):
    """A reader who is somebody. No call may block, raise, or leave the room."""

    @property
    def name(self) -> str:
        """Who it is to others; several connections may be one person's."""

    def delivered(self) -> Position | None:
        """Return the newest position that was written to its connection; None when none was."""

    def tell(self, message: Publication) -> None:
        """Send something to this one alone, beside the feed; who has gone is not told."""

    def show_presence(self, presence: Publication) -> None:
        """Send who is watching, when there is time for it, unless it is what was shown last."""


class Reader(Protocol):
    """What a room asks of a connection. No call may block, raise, or leave the room."""

    generation: int
    name: str
    """Who it is to others; empty for an agent's own, which nobody sends away."""

    @property
    def facilitator(self) -> Facilitator | None:
        """Who reads; None for somebody who is not counted among those who watch."""

    def wake(self, fresh: Fresh) -> bool:
        """There is something after your cursor: ``fresh``, if you stand at its ``begin``.

        Returns whether you took just that; what you take otherwise you count yourself.
        """

    def restart(self, welcome: Welcome) -> None:
        """The log was lost or rolled back: tell your client, and go on from here."""

    def end(self, code: CloseCode) -> None:
        """Close with this code; the client will find another relay."""
