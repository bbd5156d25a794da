"""One session on one worker: a ring of its newest publications, and the cursors into it.

Pure: it does no I/O and knows no clock. It is told what arrived and what was read from the log, and
answers what is to be done. A reader is a number, its cursor; live fan-out, catching up and serving a
slow reader are the same act, giving a reader what lies between its cursor and the ring's end.

The feed's promise: what it appends is the log, in order, each publication once; where it can't keep
that (the log was lost, rolled back, or trimmed too far) it says so by a reset, and never in silence.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.log_slice import LogSlice
    from relay.position import Position
    from relay.publication import Publication


class FeedState(Enum):
    """What the feed knows of its log."""

    OPENING = "opening"
    """Nothing yet: the log has not been read."""
    LIVE = "live"
    """Everything up to ``head`` is here; the next publication is ``head`` + 1."""
    BEHIND = "behind"
    """Something may be missing after ``head``: the log must be read from there."""


class Received(Enum):
    """What became of a publication that arrived."""

    APPENDED = "appended"
    HELD = "held"
    """The log must be read first, and a read is under way or was just made necessary."""
    DUPLICATE = "duplicate"
    """Already here; dropped."""


class Filled(Enum):
    """What a log read did to the feed."""

    CONTINUED = "continued"
    """The feed goes on where it was; readers just find more in the ring."""
    RESET = "reset"
    """What readers had and what is there now don't join up: they must be told, and start anew."""


class Backlog(NamedTuple):
    """What a joining reader gets before live publications.

    ``recovered``: True when this is exactly what came after the reader's position; False when some of
    that is gone; None when it asked for nothing. Unless it is True, ``publications`` are a snapshot.
    """

    recovered: bool | None
    publications: tuple[Publication, ...]


def count_within(publications: Sequence[Publication], max_bytes: int, start: int = 0) -> int:
    """Return the index behind the last publication from ``start`` on that fits, or behind one."""
    size = 0
    for index in range(start, len(publications)):
        size += len(publications[index])
        if size > max_bytes and index > start:
            return index
    return len(publications)


class Feed:
    """The newest publications of one session.

    Not safe for use by several threads.

    Args:
        max_messages: how many publications the ring keeps.
        max_bytes: how many bytes of payload the ring keeps; one publication is always kept.
    """

    __slots__ = (
        "_base", "_bytes", "_held", "_held_before_read", "_held_bytes", "_max_bytes", "_max_messages",
        "_overflowed", "_ring", "_start", "generation", "head", "is_whole", "resumes_from", "state",
    )  # fmt: skip

    def __init__(self, *, max_messages: int, max_bytes: int) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        # _ring[_start:] are the kept publications; the dead ones before are cut off now and then.
        self._ring: list[Publication] = []
        self._start = 0
        self._bytes = 0
        # The cursor of _ring[0]. Cursors only grow, so that an old one can't match a new publication.
        self._base = 0
        self._held: list[Publication] = []
        self._held_bytes = 0
        self._held_before_read = 0
        # Whether something that arrived since the last begin_read() was neither appended nor held.
        self._overflowed = False

        self.state = FeedState.OPENING
        self.head: Position | None = None
        """The newest position that readers can have; None while the session has no log."""
        self.resumes_from: Position | None = None
        """The ring has everything that was published after this; None: from the first on."""
        self.is_whole = False
        """The ring has everything that is kept, so that a snapshot needs no log."""
        self.generation = 0
        """Grows with each reset: a reader of another generation must start anew."""

    @property
    def end(self) -> int:
        """The cursor behind the newest publication: where a reader that has everything stands."""
        return self._base + len(self._ring)

    @property
    def begin(self) -> int:
        """The cursor before the oldest publication."""
        return self._base + self._start

    @property
    def bytes_kept(self) -> int:
        """How many bytes of payload the ring holds."""
        return self._bytes

    def __len__(self) -> int:
        """Return how many publications the ring holds."""
        return len(self._ring) - self._start

    def __repr__(self) -> str:
        """Show where the feed stands."""
        return f"<Feed {self.state.value} head={self.head} kept={len(self)} held={len(self._held)}>"

    # What arrives

    def receive(self, publication: Publication) -> Received:
        """Take a publication that arrived live.

        ``HELD`` asks for a log read: call ``begin_read`` and later ``fill``, unless a read is under
        way already.
        """
        if self.state is not FeedState.LIVE:
            return self._hold(publication)
        position = publication.position
        if position is None:
            self._append(publication)
            return Received.APPENDED
        head = self.head
        if head is None:
            # A log begins. Only its first publication proves that nothing came before.
            if position.offset == 1:
                self._append(publication)
                self.head = position
                return Received.APPENDED
        elif position.follows(head):
            self._append(publication)
            self.head = position
            return Received.APPENDED
        elif position == head:
            return Received.DUPLICATE
        # A gap, a step back, another epoch or a forgery: only the log can tell which.
        self.state = FeedState.BEHIND
        return self._hold(publication)

    def doubt(self) -> None:
        """Note that publications may be missing from here on; the next read of the log tells."""
        if self.state is FeedState.LIVE:
            self.state = FeedState.BEHIND

    def begin_read(self) -> Position | None:
        """Return the position after which the log must be read now, and remember this moment."""
        self._held_before_read = len(self._held)
        self._overflowed = False
        return self.head

    def fill(self, log: LogSlice) -> Filled:
        """Take a stretch of the log that was read after what ``begin_read`` returned.

        Afterwards the feed is ``LIVE``, or still ``BEHIND`` when publications that arrived during the
        read do not join up with it: then read again.
        """
        filled = self._fill_from(log)
        held, self._held = self._held, []
        self._held_bytes = 0
        before_read, self._held_before_read = self._held_before_read, 0
        self.state = FeedState.LIVE
        for index, publication in enumerate(held):
            # Publishing appends to the log before it sends out. So what had arrived before the log was
            # read is in it, or never was in this log: rolled back by a failover, or forged.
            position = publication.position
            if position is None or not (index < before_read or self._is_behind_head(position)):
                # Joins up, or makes the feed BEHIND again and holds the rest.
                self.receive(publication)
        if self._overflowed:
            self.doubt()
        return filled

    # Readers

    def read(self, cursor: int, max_bytes: int) -> list[Publication] | None:
        """Return what comes after a cursor; None when the ring has moved past it.

        Args:
            cursor: how far the reader has got; what is returned takes it on by as many.
            max_bytes: at most this much, but always one publication when there is one.
        """
        index = cursor - self._base
        if index < self._start:
            return None
        publications = self._ring[index:]
        if len(publications) > 1:
            del publications[count_within(publications, max_bytes) :]
        return publications

    def position_before(self, cursor: int) -> Position | None:
        """Return the newest position that a reader at this cursor has been given.

        None when there is none, or when the ring has moved past the cursor.
        """
        index = cursor - self._base
        if index < self._start:
            return None
        if index >= len(self._ring):
            return self.head
        for publication in reversed(self._ring[self._start : index]):
            if publication.position is not None:
                return publication.position
        # Only plain ones before it, or nothing: what was there last has left the ring. Number 0 is the
        # place before an epoch's first, which nobody was given.
        last = self.resumes_from
        return last if last is not None and last.offset else None

    def backlog_from_ring(self, since: Position | None) -> Backlog | None:
        """Return what a joining reader gets, from memory alone; None when the log is needed.

        Args:
            since: the position that the reader has; None for a snapshot of all that is kept.
        """
        if since is not None and not self._is_behind_head(since):
            return None
        if since is not None and (self.resumes_from is None or since >= self.resumes_from):
            return Backlog(True, self._kept_after(since))
        if not self.is_whole:
            return None
        return Backlog(None if since is None else False, self._kept_after(None))

    def backlog_from_log(self, since: Position | None, log: LogSlice) -> Backlog | None:
        """Return what a joining reader gets, given the log as read after ``since``.

        None when the slice is no answer: history is gone and the slice is not the whole log (then read
        the whole log), or the ring has moved on too far from it (then read on). What the log has
        beyond ``head`` is left out: it will arrive live, or be noticed as a gap; what the ring has
        beyond the slice is added.
        """
        recovered = None if since is None else log.reaches_back_to(since)
        if not recovered and not log.is_whole:
            return None
        after = since if recovered else None
        publications = [
            publication
            for publication in log.publications
            if publication.position is not None
            and self.head is not None
            # A log that went on in a new epoch still has the old one's entries before it.
            and (after is None or publication.position > after)
            and publication.position <= self.head
        ]
        if log.head is not None and self.head is not None and log.head < self.head:
            if self.resumes_from is not None and log.head < self.resumes_from:
                return None
            publications += self._kept_after(log.head)
        return Backlog(recovered, tuple(publications))

    def is_same_log(self, log: LogSlice) -> bool:
        """Tell whether a slice is of the log that this feed follows."""
        if log.head is None or self.head is None:
            return log.head is None and self.head is None
        return log.head.epoch == self.head.epoch

    def lacks_pieces(self, log: LogSlice) -> bool:
        """Tell whether pieces of streaming hints are missing in a slice that readers were to have.

        They have made room for their hint's text so far, which is beyond ``head``. That was read
        before it arrived, and would be left out: read what is after ``head``, then the slice anew.
        """
        for publication in reversed(log.publications):
            position = publication.position
            if position is None or self.head is None or position <= self.head:
                break
            if b'"began"' in publication.payload:
                return True
        return False

    # Inside

    def _hold(self, publication: Publication) -> Received:
        # Bounded like the ring. What does not fit will be read from the log.
        if len(self._held) < self._max_messages and self._held_bytes < self._max_bytes:
            self._held.append(publication)
            self._held_bytes += len(publication)
        else:
            self._overflowed = True
        return Received.HELD

    def _fill_from(self, log: LogSlice) -> Filled:
        opening = self.state is FeedState.OPENING
        if log.head == self.head and not opening:
            return Filled.CONTINUED
        # From "no log" everything joins up that the new log still has from its beginning.
        joins_up = (
            log.head is not None and log.floor is None
            if self.head is None
            else log.reaches_back_to(self.head)
        )
        if opening or not joins_up:
            self._restart(log)
            return Filled.CONTINUED if opening else Filled.RESET
        for publication in log.publications:
            self._append(publication)
        self.head = log.head
        return Filled.CONTINUED

    def _restart(self, log: LogSlice) -> None:
        """Make the ring what the log is, on cursors that no reader has yet."""
        self._base = self.end + 1
        self._ring = []
        self._start = 0
        self._bytes = 0
        self.generation += 1
        self.head = log.head
        self.is_whole = log.is_whole
        self.resumes_from = log.floor if log.is_whole else log.head
        if log.is_whole:
            for publication in log.publications:
                self._append(publication)

    def _append(self, publication: Publication) -> None:
        ring = self._ring
        ring.append(publication)
        self._bytes += len(publication)
        while len(ring) - self._start > self._max_messages or (
            self._bytes > self._max_bytes and len(ring) - self._start > 1
        ):
            oldest = ring[self._start]
            self._bytes -= len(oldest)
            if oldest.position is not None:
                self.resumes_from = oldest.position
                self.is_whole = False
            self._start += 1
        # Cutting half of the list at a time makes each append cost a constant on average.
        if self._start > 32 and self._start * 2 > len(ring):
            self._base += self._start
            del ring[: self._start]
            self._start = 0

    def _kept_after(self, since: Position | None) -> tuple[Publication, ...]:
        """Return the ring's positioned publications after ``since``; plain ones were only live."""
        return tuple(
            publication
            for publication in self._ring[self._start :]
            if publication.position is not None and (since is None or publication.position > since)
        )

    def _is_behind_head(self, position: Position) -> bool:
        """Tell whether readers can have this position: it is in this log, and not after its head."""
        head = self.head
        return head is not None and position.epoch == head.epoch and position <= head
