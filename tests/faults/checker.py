"""What a client must have got, decided from what was acknowledged to the publisher.

Pure: it is told of acknowledgements and of each message that a client received, and says what is
wrong. It follows docs/PROTOCOL.md to the letter, so it is also the shortest correct client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from relay.position import Position


class Violation(AssertionError):
    """The promise was broken."""


@dataclass
class Ledger:
    """What Redis has acknowledged, for each session in the order of positions."""

    acknowledged: dict[str, dict[Position, str]] = field(default_factory=dict)

    def acknowledge(self, session: str, message_id: str, position: Position) -> None:
        """Note an acknowledgement; a position given twice is a violation by itself."""
        known = self.acknowledged.setdefault(session, {})
        if known.setdefault(position, message_id) != message_id:
            raise Violation(f"{session}: {position} was given to two messages")

    def forget(self, session: str, *, kept: set[Position], until: Position) -> int:
        """Take back what Redis has lost: all up to ``until`` that is not ``kept``; returns how many.

        What was only trimmed goes with it: nobody who still needs it can be owed that either.
        """
        known = self.acknowledged.get(session, {})
        lost = [position for position in known if position <= until and position not in kept]
        for position in lost:
            del known[position]
        return len(lost)

    @property
    def count(self) -> int:
        """How many messages were acknowledged, over all sessions."""
        return sum(map(len, self.acknowledged.values()))


class Witness:
    """One client's view of one session, over all its connections.

    Attributes:
        position: what it would send as ``since``.
        told: how often it was told that history is gone.
        received: how many kept messages it has taken.
    """

    def __init__(self, session: str, name: str) -> None:
        self.session = session
        self.name = name
        self.position: Position | None = None
        self.told = 0
        self.received = 0
        self.resumed = 0
        # What it has since its history began: anew with each snapshot.
        self._have: dict[Position, str] = {}
        self._began_after: Position | None = None
        self._snapshot_left = 0
        self._snapshot_head: Position | None = None
        self._snapshot: dict[Position, str] = {}
        self._newest: Position | None = None

    def take(self, message: dict[str, Any]) -> None:
        """Take one message as it came from the relay."""
        match message.get("type"):
            case "connection":
                self._connected(message)
            case "heartbeat":
                self._heartbeat(message)
            case _ if "position" in message:
                self._kept(Position.parse(message["position"]), str(message.get("id")))

    def final_check(self, ledger: Ledger) -> None:
        """Compare with the ledger, once everything is quiet and this client is connected."""
        acknowledged = ledger.acknowledged.get(self.session, {})
        if self._snapshot_left:
            raise Violation(f"{self}: {self._snapshot_left} messages of the snapshot are missing")
        if acknowledged and self.position != max(acknowledged):
            raise Violation(f"{self}: is at {self.position}, the session at {max(acknowledged)}")
        due = {
            position: message_id
            for position, message_id in acknowledged.items()
            if self._began_after is None or position > self._began_after
        }
        missing = due.keys() - self._have.keys()
        if missing:
            raise Violation(f"{self}: never got {len(missing)}, the first {min(missing)}")
        for position, message_id in due.items():
            if self._have[position] != message_id:
                raise Violation(f"{self}: got another message at {position}")

    def __repr__(self) -> str:
        """Name the client and where it is."""
        return f"{self.name} of {self.session} at {self.position}"

    def _connected(self, message: dict[str, Any]) -> None:
        head = None if message["position"] is None else Position.parse(message["position"])
        recovered = message["recovered"]
        if recovered is None and self.position is not None:
            raise Violation(f"{self}: asked for what it missed and was not answered")
        if recovered is True:
            self.resumed += 1
            self._newest = self.position
            self._snapshot_left = 0
            return
        if recovered is False:
            self.told += 1
        self._snapshot = {}
        self._newest = None
        self._snapshot_left = message["snapshot"]
        self._snapshot_head = head
        if not self._snapshot_left:
            self._snapshot_done()

    def _snapshot_done(self) -> None:
        self.position = self._snapshot_head
        self._have = dict(self._snapshot)
        # Older messages than the snapshot's first are no longer kept, or were folded into it.
        first = min(self._snapshot, default=None)
        head = self._snapshot_head
        if first is not None:
            self._began_after = Position(first.epoch, first.offset - 1)
        else:
            self._began_after = head

    def _kept(self, position: Position, message_id: str) -> None:
        if self._newest is not None and position <= self._newest:
            raise Violation(f"{self}: {position} came after {self._newest}")
        self._newest = position
        self.received += 1
        if self._snapshot_left:
            self._snapshot[position] = message_id
            self._snapshot_left -= 1
            if not self._snapshot_left:
                self._snapshot_done()
            return
        if self.position is not None and not _joins(position, self.position):
            raise Violation(f"{self}: got {position}: a gap, or a repetition")
        if self.position is None and position.offset != 1:
            raise Violation(f"{self}: its first message is {position}")
        self.position = position
        self._have[position] = message_id

    def _heartbeat(self, message: dict[str, Any]) -> None:
        if self._snapshot_left or message["position"] is None:
            return
        head = Position.parse(message["position"])
        if self.position is None or head > self.position:
            raise Violation(f"{self}: a heartbeat at {head} says that something is missing")


def _joins(position: Position, before: Position) -> bool:
    """Tell whether a position is the next one, in the same epoch or as the first of a later one."""
    return position.follows(before) or (position.epoch > before.epoch and position.offset == 1)
