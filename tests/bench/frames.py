"""WebSocket frames as a client sees them (RFC 6455 section 5): no I/O, no extensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10

_FINAL = 0x80


def masked(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one client frame; its mask is zero, which costs nobody anything."""
    size = len(payload)
    if size < 126:
        head = bytes((_FINAL | opcode, 0x80 | size))
    else:
        head = bytes((_FINAL | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class FrameReader:
    """Cuts what a server sends into frames."""

    __slots__ = ("_rest",)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield (opcode, payload) of every whole frame; to be run to its end.

        A fragment of a message comes with its own opcode, 0 for all but the first.
        """
        if self._rest:
            data = self._rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            size = data[at + 1]
            start = at + 2
            if size == 126:
                start = at + 4
                size = int.from_bytes(data[at + 2 : start], "big") if end >= start else end
            elif size == 127:
                start = at + 10
                size = int.from_bytes(data[at + 2 : start], "big") if end >= start else end
            stop = start + size
            if stop > end:
                break
            yield data[at] & 15, data[start:stop]
            at = stop
        self._rest = data[at:]
