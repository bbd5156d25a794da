"""The benchmark's messages: each holds one mark, its number in the session, and when it went out.

The mark stands inside a JSON string, so it survives servers that decode and encode again.
"""

from __future__ import annotations

import re

MARK = b"bench."
STAMP = re.compile(rb"bench\.(\d+)\.(\d+)\.")

_TEMPLATE = b'{"type":"hint","id":"bench.%d.%d.","text":"%s","timestamp":1763900000.25}'
_TEXT = b"Ask what the letter smelled like. "
_REST = len(MARK) - 1

DEFAULT_TEXT_BYTES = len(_TEXT)


def message(number: int, at_ns: int = 0, *, text_bytes: int = DEFAULT_TEXT_BYTES) -> bytes:
    """Return the JSON of one message.

    Args:
        number: 0, 1, 2 … within the session.
        at_ns: when it goes out, by ``time.monotonic_ns()``.
        text_bytes: how long its text is.
    """
    text = _TEXT if text_bytes == DEFAULT_TEXT_BYTES else (_TEXT * (text_bytes // len(_TEXT) + 1))
    return _TEMPLATE % (number, at_ns, text[:text_bytes])


class MarkCount:
    """Counts marks in a stream of chunks, also those that lie across a border of two."""

    __slots__ = ("_tail", "marks")

    def __init__(self) -> None:
        self.marks = 0
        self._tail = b""

    def feed(self, buffer: bytearray, size: int) -> None:
        """Count in the first ``size`` bytes; nothing is copied but the borders."""
        marks = buffer.count(MARK, 0, size)
        border = self._tail + buffer[: min(_REST, size)]
        if MARK in border:
            marks += 1
        self._tail = bytes(buffer[size - _REST : size]) if size >= _REST else bytes(border[-_REST:])
        self.marks += marks
