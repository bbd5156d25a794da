"""A stretch of a session's log, as it was read at one moment."""

from __future__ import annotations

from dataclasses import dataclass
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
        publications: everything that is kept after ``after``. The log is compacted, so a hole in the
            offsets is no loss; only what is not after ``floor`` can be lost.
    """

    after: Position | None
    head: Position | None
    floor: Position | None
    publications: tuple[Publication, ...]

    @property
    def is_whole(self) -> bool:
        """Tell whether this is everything that is kept, whatever ``after`` was."""
        return (
            self.after is None
            or self.head is None
            or self.after.epoch != self.head.epoch
            or (self.floor is not None and self.after <= self.floor)
        )

    def reaches_back_to(self, position: Position) -> bool:
        """Tell whether nothing that was published after ``position`` is lost."""
        return (
            self.head is not None
            and position.epoch == self.head.epoch
            and position <= self.head
            and (self.floor is None or position >= self.floor)
        )
