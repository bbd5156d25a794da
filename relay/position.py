"""Where a publication stands in its session."""

from __future__ import annotations

import re
from typing import NamedTuple

from relay.errors import InvalidPosition

# JavaScript and Lua have doubles: beyond this, neighbours can't be told apart.
_MAX_NUMBER = 2**53 - 1

# publish.lua puts the position first, so that nobody has to parse the JSON to find it.
_IN_PAYLOAD = re.compile(rb'\{"position":"([1-9][0-9]{0,15})-([1-9][0-9]{0,15})"').match


class Position(NamedTuple):
    """One publication's place: the log it is in, and its number there.

    Written ``"<epoch>-<offset>"``, which is also the id of the log's stream entry. Positions of one
    epoch order by offset; a higher epoch is a later log of the same session.

    Attributes:
        epoch: the Redis server's time, in ms, when the log began; stays for the log's life.
        offset: 1, 2, 3 … without gaps.
    """

    epoch: int
    offset: int

    def __str__(self) -> str:
        """Return the text that stands on the wire."""
        return f"{self.epoch}-{self.offset}"

    def follows(self, head: Position | None) -> bool:
        """Tell whether this is the very next position after ``head`` in the same log."""
        return head is not None and self.epoch == head.epoch and self.offset == head.offset + 1

    @classmethod
    def parse(cls, text: str) -> Position:
        """Read a position's text.

        Raises:
            InvalidPosition: unless both numbers are plain decimals from 1 to 2**53-1, without
                leading zeros: one position has one text.
        """
        epoch, dash, offset = text.partition("-")
        if not dash or not (_is_number(epoch) and _is_number(offset)):
            raise InvalidPosition(text)
        position = cls(int(epoch), int(offset))
        if position.epoch > _MAX_NUMBER or position.offset > _MAX_NUMBER:
            raise InvalidPosition(text)
        return position

    @classmethod
    def of_payload(cls, payload: bytes) -> Position | None:
        """Read the position from its fixed place in a publication's JSON.

        Returns None when it is not there: a plain ``PUBLISH``, or not a publication at all.
        """
        match = _IN_PAYLOAD(payload)
        if match is None:
            return None
        epoch, offset = int(match[1]), int(match[2])
        return None if epoch > _MAX_NUMBER or offset > _MAX_NUMBER else cls(epoch, offset)


def _is_number(text: str) -> bool:
    # str.isdigit() alone takes other scripts' digits, int() takes signs, blanks and underscores.
    return 0 < len(text) <= 16 and text.isascii() and text.isdigit() and text[0] != "0"
