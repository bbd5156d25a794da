"""One message of a session on its way to facilitators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.frames import server_sent_event, text_frame
from relay.position import Position

if TYPE_CHECKING:
    from typing import Self


class Publication:
    """A message as it stands on the wire, and its position.

    Shared by everybody it goes to, so it must not be changed. ``position`` is None for a plain
    ``PUBLISH``: such a message goes out live and is not kept.
    """

    __slots__ = ("_event", "_frame", "_text", "payload", "position")

    def __init__(self, position: Position | None, payload: bytes) -> None:
        self.position = position
        self.payload = payload
        self._text: str | None = None
        self._frame: bytes | None = None
        self._event: bytes | None = None

    @classmethod
    def of_payload(cls, payload: bytes) -> Self:
        """Make a publication of what came from Redis, reading the position from its fixed place."""
        return cls(Position.of_payload(payload), payload)

    @property
    def text(self) -> str:
        """The payload as text, decoded once however many read it.

        A WebSocket text frame must be UTF-8 (RFC 6455 section 5.6). A kept message that is not, from
        a producer of another make, must still take its place: it is shown with replacement marks.
        """
        if self._text is None:
            self._text = self.payload.decode(errors="replace")
        return self._text

    @property
    def utf8(self) -> bytes:
        """The payload, with replacement marks where it is not UTF-8."""
        # isascii() is much cheaper than decoding; what is not ASCII is checked by decoding.
        return self.payload if self.payload.isascii() else self._valid_utf8()

    @property
    def frame(self) -> bytes:
        """The payload as a WebSocket text frame, made once however many it goes to."""
        if self._frame is None:
            self._frame = text_frame(self.utf8)
        return self._frame

    @property
    def event(self) -> bytes:
        """The payload as an event with its position as the id, made once however many it goes to."""
        if self._event is None:
            self._event = server_sent_event(
                None if self.position is None else str(self.position), self.utf8
            )
        return self._event

    def _valid_utf8(self) -> bytes:
        try:
            self.payload.decode()
        except UnicodeDecodeError:
            return self.text.encode()
        return self.payload

    def __len__(self) -> int:
        """Return the payload's size in bytes."""
        return len(self.payload)

    def __repr__(self) -> str:
        """Show the position and the size; payloads are people's words and stay out of logs."""
        return f"<Publication {self.position or 'live'} {len(self.payload)} bytes>"
