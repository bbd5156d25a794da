"""WebSocket frames that a server sends; one frame serves everybody who gets the message.

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
