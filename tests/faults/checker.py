"""What a client must have got, decided from what was acknowledged to the publisher.

Pure: it is told of acknowledgements and of each message that a client received, and says what is
wrong. It follows docs/PROTOCOL.md to the letter, so it is also the shortest correct client.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from relay.position import Position


class Violation(AssertionError):
    """The promise was broken."""


class Text(NamedTuple):
    """A streaming hint as somebody has it."""

    text: str
    status: str | None


class Truth(NamedTuple):
    """What Redis itself has of a session, once everything is quiet."""

    head: Position | None
    hints: dict[str, Text]


@dataclass
class Ledger:
    """What Redis has acknowledged, for each session in the order of positions.

    Attributes:
        acknowledged: message ids by position; pieces of streaming hints are not in it.
        finished: what agents have written in streaming hints, by session and id.
    """

    acknowledged: dict[str, dict[Position, str]] = field(default_factory=dict)
    finished: dict[str, dict[str, Text]] = field(default_factory=dict)

    def finish(self, session: str, hint_id: str, text: Text) -> None:
        """Note a streaming hint that has ended."""
        self.finished.setdefault(session, {})[hint_id] = text

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

    Args:
        session: which.
        name: for what it says.
        streams: whether hints stream in the session. Then positions have holes where a message brings
            in one what was published piece by piece, and what was missed shows in the end only.

    Attributes:
        position: what it would send as ``since``.
        told: how often it was told that history is gone.
        received: how many kept messages it has taken.
        texts: the streaming hints that it has.
        doubled: ids of feedback and commands that came at more than one position.
        begin_anew: it has met a piece of a hint whose beginning it lacks, and must connect anew.
        anew: how often it had to.
    """

    def __init__(self, session: str, name: str, *, streams: bool = False) -> None:
        self.session = session
        self.name = name
        self.streams = streams
        self.texts: dict[str, Text] = {}
        self.hints: list[str] = []
        self.doubled: set[str] = set()
        self._said: dict[str, Position] = {}
        self._given_up: set[str] = set()
        self.position: Position | None = None
        self.told = 0
        self.received = 0
        self.resumed = 0
        self.begin_anew = False
        self.anew = 0
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
            case _ if "position" in message and message.get("type") != "ack":
                position = Position.parse(message["position"])
                self._kept(position, str(message.get("id")))
                self._read(message, position)

    def _read(self, message: dict[str, Any], position: Position) -> None:
        message_id = str(message.get("id"))
        match message["type"]:
            case "hint":
                self.hints = [*self.hints[-5:], message_id]
                self._given_up.discard(message_id)
                if message.get("status") is not None:
                    self.texts[message_id] = Text(message["text"], message["status"])
            case "append":
                self._append(message_id, message)
            case "feedback" | "command":
                if self._said.setdefault(message_id, position) != position:
                    self.doubled.add(message_id)

    def _append(self, hint_id: str, message: dict[str, Any]) -> None:
        had = self.texts.get(hint_id)
        if hint_id in self._given_up:
            return
        units = b"" if had is None else had.text.encode("utf-16-le")
        if had is None or message["at"] * 2 > len(units):
            # Its beginning is missing: ask for everything again, once.
            self.begin_anew = True
            self._given_up.add(hint_id)
            return
        kept = units[: message["at"] * 2].decode("utf-16-le")
        self.texts[hint_id] = Text(kept + message["text"], message.get("status") or had.status)

    def forget_position(self) -> None:
        """Ask for everything when it connects next."""
        self.begin_anew = False
        self.anew += 1
        self.position = None

    def final_check(self, ledger: Ledger, truth: Truth | None = None) -> None:
        """Compare with the ledger, once everything is quiet and this client is connected.

        Args:
            ledger: what was acknowledged.
            truth: what Redis has, needed where hints stream.
        """
        acknowledged = ledger.acknowledged.get(self.session, {})
        if self._snapshot_left:
            raise Violation(f"{self}: {self._snapshot_left} messages of the snapshot are missing")
        head = max(acknowledged, default=None) if truth is None else truth.head
        if head is not None and self.position != head:
            raise Violation(f"{self}: is at {self.position}, the session at {head}")
        if truth is not None:
            self._check_texts(ledger.finished.get(self.session, {}), truth)
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

    def _check_texts(self, finished: dict[str, Text], truth: Truth) -> None:
        for hint_id, text in truth.hints.items():
            if self.texts.get(hint_id) != text:
                raise Violation(f"{self}: has another text of {hint_id} than Redis")
            wanted = finished.get(hint_id)
            if wanted is not None and wanted != text:
                raise Violation(f"{self}: Redis has another text of {hint_id} than its agent")

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
        joins = self.position is None or _joins(position, self.position)
        if not joins and not (self.streams and self.position and position > self.position):
            raise Violation(f"{self}: got {position}: a gap, or a repetition")
        if self.position is None and position.offset != 1 and not self.streams:
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
