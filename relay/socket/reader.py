"""What one facilitator gets next, and in which order; the same for every kind of socket."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from relay.auth.grant import OPEN
from relay.close_codes import CloseCode
from relay.feed import count_within
from relay.identity import NOBODY, Identity
from relay.messages import Connection as ConnectionMessage
from relay.messages import Heartbeat as HeartbeatMessage
from relay.publication import Publication
from relay.room import WRITE_BYTES

if TYPE_CHECKING:
    from relay.admission import Ticket
    from relay.auth.grant import Grant
    from relay.inbox import Sending
    from relay.position import Position
    from relay.reader import Welcome
    from relay.room import Room


class FeedReader(ABC):
    """A cursor into a room's feed, and what has to be said before what lies behind it.

    The order is: the ``connection`` message, the backlog, publications, who is watching, a heartbeat.
    A new welcome puts everything back to its beginning. No queue: a slow reader keeps only its cursor,
    and when the ring has moved past that, ``ending`` becomes TOO_SLOW.

    Attributes:
        name: who it is to others.
        has_lasting_name: see ``Identity``.
        room: None until the first welcome.
        ending: the code to close with, once what has been taken is sent.
        sending: what is remembered of somebody who has sent something; the inbox's.
        ticket: what it is counted as, and may do; None before it is let in, and after it was let out.
    """

    __slots__ = (
        "_backlog", "_backlog_at", "_heartbeat_is_due", "_is_watching", "_presence", "_presence_is_due",
        "_sent_before", "_welcome", "cursor", "ending", "generation", "has_lasting_name", "name",
        "room", "sending", "ticket",
    )  # fmt: skip

    def __init__(self, who: Identity = NOBODY) -> None:
        # Not as one object: that would be 80 bytes more for each connection.
        self.name, self.has_lasting_name, self._is_watching = who
        self.sending: Sending | None = None
        self.ticket: Ticket | None = None
        self.room: Room | None = None
        self.generation = -1
        self.cursor = 0
        self.ending: CloseCode | None = None
        self._welcome: Welcome | None = None
        self._backlog: tuple[Publication, ...] = ()
        self._backlog_at = 0
        self._heartbeat_is_due = False
        # What was shown last, or will be.
        self._presence: Publication | None = None
        self._presence_is_due = False
        # sent = cursor + this: so the hot path has no second number to count.
        self._sent_before = 0

    @property
    def sent(self) -> int:
        """How many publications it was given."""
        return self.cursor + self._sent_before

    @property
    def who(self) -> Identity:
        """Whose connection it is."""
        return Identity(self.name, self.has_lasting_name, self._is_watching)

    @property
    def facilitator(self) -> FeedReader | None:
        """Itself, when it is somebody that an agent speaks to."""
        return self if self._is_watching else None

    @property
    def grant(self) -> Grant:
        """What it may do."""
        return OPEN if self.ticket is None else self.ticket.grant

    def delivered(self) -> Position | None:
        """Return the newest position that was taken; None when none was, or nobody knows any more."""
        room = self.room
        if room is None or self._welcome is not None:
            return None
        if self._backlog:
            positions = [one.position for one in self._backlog[: self._backlog_at]]
            return positions[-1] if positions else None
        return room.feed.position_before(self.cursor)

    @abstractmethod
    def tell(self, message: Publication) -> None:
        """Send something beside the feed; see ``reader.Facilitator``. Every kind of socket has its way."""

    @abstractmethod
    def end(self, code: CloseCode) -> None:
        """Close with this code; see ``reader.Reader``."""

    def start(self, room: Room, welcome: Welcome) -> None:
        """Begin to read a room."""
        self.room = room
        if welcome.generation >= self.generation:
            # Else the room has been quicker: a restart between the join and this.
            self.generation = welcome.generation
            self._welcome = welcome

    def ask_heartbeat(self) -> None:
        """Send a heartbeat after all that is due now; several that were asked for are one."""
        self._heartbeat_is_due = True

    def ask_presence(self, presence: Publication) -> bool:
        """Send who is watching after all that is due now; of several only the newest.

        Returns whether there is something to be sent: it is not what was sent last.
        """
        if presence is self._presence:
            return False
        self._presence = presence
        self._presence_is_due = True
        return True

    @abstractmethod
    def show_presence(self, presence: Publication) -> None:
        """Send who is watching; see ``reader.Facilitator``. Every kind of socket has its way."""

    def take(self, max_bytes: int, heartbeat_s: float) -> list[Publication]:
        """Return what is to be sent next, and note it as sent; empty when nothing is due.

        Args:
            max_bytes: at most this much, but always one message when there is one.
            heartbeat_s: what the ``connection`` message says about heartbeats.
        """
        room = self.room
        if room is None:
            return []
        if self._welcome is not None:
            connection = self._begin(room, self._welcome, heartbeat_s)
            return [connection, *self._take_backlog(max_bytes)]
        if self._backlog:
            return self._take_backlog(max_bytes)
        taken: list[Publication] = []
        if self.generation == room.feed.generation:
            unread = room.feed.read(self.cursor, max_bytes)
            if unread is None:
                self.ending = self.ending or CloseCode.TOO_SLOW
                return []
            self.cursor += len(unread)
            taken = unread
        if not taken and self._presence_is_due and self._presence is not None:
            self._presence_is_due = False
            return [self._presence]
        if not taken and self._heartbeat_is_due:
            # After all publications: a heartbeat tells what the client must have by now.
            self._heartbeat_is_due = False
            taken = [self._heartbeat(room)]
        return taken

    def take_frames(self, heartbeat_s: float) -> bytes:
        """Do what ``take`` does, as one write of WebSocket frames."""
        room = self.room
        if (
            room is not None
            and self._welcome is None
            and not self._backlog
            and self.generation == room.feed.generation
        ):
            chunk = room.chunk_after(self.cursor)
            if chunk is not None and chunk.frames:
                self.cursor = chunk.end
                return chunk.frames
        return b"".join([message.frame for message in self.take(WRITE_BYTES, heartbeat_s)])

    def _take_backlog(self, max_bytes: int) -> list[Publication]:
        begin, end = self._backlog_at, count_within(self._backlog, max_bytes, self._backlog_at)
        taken = list(self._backlog[begin:end])
        self._backlog_at = end
        if end == len(self._backlog):
            self._backlog = ()
        return taken

    def _begin(self, room: Room, welcome: Welcome, heartbeat_s: float) -> Publication:
        sent, backlog = self.sent, welcome.backlog
        self._welcome = None
        self.cursor = welcome.cursor
        self._sent_before = sent + len(backlog.publications) - welcome.cursor
        self._backlog = backlog.publications
        self._backlog_at = 0
        message = ConnectionMessage(
            session=room.session,
            position=None if welcome.position is None else str(welcome.position),
            recovered=backlog.recovered,
            snapshot=0 if backlog.recovered else len(backlog.publications),
            heartbeat_s=heartbeat_s,
            you=self.name or None,
            role=self.grant.role,
            expires_at=self.grant.expires_at_s,
        )
        return Publication(None, message.to_json())

    def _heartbeat(self, room: Room) -> Publication:
        # While a new start is on its way, the feed's head is not what this client should have.
        head = room.feed.head if self.generation == room.feed.generation else None
        message = HeartbeatMessage(position=None if head is None else str(head))
        return Publication(None, message.to_json())
