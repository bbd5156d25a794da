"""How a message goes out: one WebSocket frame, or one event, serves everybody who gets it.

Reading what clients send is the ``websockets`` library's work; see relay/socket/inbound.py.
"""

from __future__ import annotations

import struct

# RFC 6455 section 5.2: the final fragment of a text message. A server's frames are not masked (5.1).
_FINAL_TEXT = 0x81
_MEDIUM = struct.Struct("!BBH")
_LARGE = struct.Struct("!BBQ")


def text_frame(payload: bytes) -> bytes:
    """Frame a whole text message; the payload must be UTF-8 (RFC 6455 section 5.6)."""
    size = len(payload)
    if size < 126:
        return bytes((_FINAL_TEXT, size)) + payload
    if size < 65536:
        return _MEDIUM.pack(_FINAL_TEXT, 126, size) + payload
    return _LARGE.pack(_FINAL_TEXT, 127, size) + payload


def server_sent_event(event_id: str | None, payload: bytes) -> bytes:
    """Return an event of the default type (HTML Living Standard section 9.2.5).

    Args:
        event_id: what its reader resumes from; None leaves that as it was.
        payload: UTF-8; each kind of line break in it becomes a plain one.
    """
    # Which bytes.splitlines() knows as the standard does: CRLF, LF, CR.
    is_one_line = b"\n" not in payload and b"\r" not in payload
    lines = [payload] if is_one_line else payload.splitlines()
    data = b"".join([b"data: %b\n" % line for line in lines])
    return b"%b\n" % data if event_id is None else b"id: %b\n%b\n" % (event_id.encode(), data)
