"""A stretch of a session's log, as it was read at one moment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relay.position import Position
    from relay.publication import Publication


@dataclass(frozen=True, slots=True)
class LogSlice:
    """Publications of a log, oldest first, with where the log stood when they were read.

    Attributes:
        after: where the stretch begins (itself not included); None for the log's beginning.
        head: the log's newest position; None when there is no log.
        floor: everything up to this position (itself included) may be trimmed; None when nothing is.
        publications: everything that is kept after ``after``; everything that is kept at all, when
            the log knows nothing of ``after``. The log is compacted, so a hole in the offsets is no
            loss; only what is not after ``floor`` can be lost.
        ended: the last position of the epoch of ``after``, when that epoch is over and the log went
            on in another one: Redis was restarted, or a replica took over.
        from_beginning: whether reading began at the log's beginning.
    """

    after: Position | None
    head: Position | None
    floor: Position | None
    publications: tuple[Publication, ...]
    ended: Position | None = None
    from_beginning: bool = False

    @property
    def is_whole(self) -> bool:
        """Tell whether this is everything that is kept, whatever ``after`` was."""
        return (
            self.from_beginning
            or self.head is None
            or (self.after is not None and self.floor is not None and self.after <= self.floor)
        )

    def reaches_back_to(self, position: Position) -> bool:
        """Tell whether nothing that was published after ``position`` is lost.

        ``position`` must be of the epoch of ``after``, or of the head's.
        """
        if self.head is None:
            return False
        if position.epoch == self.head.epoch:
            is_known = position <= self.head
        elif self.ended is not None and position.epoch == self.ended.epoch:
            is_known = position <= self.ended
        else:
            is_known = False
        return is_known and (self.floor is None or position >= self.floor)

    def followed_by(self, later: LogSlice) -> LogSlice | None:
        """Join a later read on; None when the two don't join up."""
        if self.head is None or later.after != self.head or not later.reaches_back_to(self.head):
            return None
        return replace(
            later,
            after=self.after,
            publications=self.publications + later.publications,
            ended=self.ended,
            from_beginning=self.from_beginning,
        )
