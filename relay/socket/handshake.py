"""The opening handshake of a WebSocket, for the request that every browser sends (RFC 6455 section 4.2).

Anything unusual is left to the server's own implementation, which knows how to refuse it. A reconnect
storm is thousands of usual ones, and this answers one in a few microseconds.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from websockets.utils import accept_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

# More, or longer, header lines than these are no browser's.
_MAX_HEADERS = 128
_MAX_LINE_BYTES = 8 * 1024
_KEY_BYTES = 16
_ONCE = frozenset({b"host", b"origin", b"sec-websocket-key", b"sec-websocket-version", b"upgrade"})
# RFC 9110 section 5.6.2.
_is_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch


def is_too_large(url: bytes, headers: Collection[tuple[bytes, bytes]]) -> bool:
    """Tell whether a request has to be refused for its size alone (RFC 6585 section 5).

    uvicorn's own protocol must not see it: there it gets no answer, stays open, and breaks the
    server's shutdown.
    """
    return (
        len(url) > _MAX_LINE_BYTES
        or len(headers) > _MAX_HEADERS
        or any(len(name) + len(value) > _MAX_LINE_BYTES for name, value in headers)
    )


def has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a request announces a body: the parser does not read it before an upgrade.

    So it would be taken for frames; and uvicorn's own protocol gives no answer to such a request.
    """
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
        for name, value in headers
    )


class Handshake(NamedTuple):
    """A request that can be answered.

    Attributes:
        accept: the value of the answer's ``Sec-WebSocket-Accept``.
        subprotocols: what the client offers, in its order.
    """

    accept: str
    subprotocols: list[str]

    @classmethod
    def of_request(
        cls, method: str, http_version: str, headers: Iterable[tuple[bytes, bytes]]
    ) -> Handshake | None:
        """Check a request; None when it is not plainly right.

        Args:
            method: as it came.
            http_version: "1.1" is the only one that has WebSockets of this kind.
            headers: names in lower case, values as they came.
        """
        found: dict[bytes, bytes] = {}
        connection: list[bytes] = []
        subprotocols: list[str] = []
        for name, value in headers:
            if name in found:
                return None
            if name in _ONCE:
                found[name] = value
            elif name in (b"connection", b"sec-websocket-protocol"):
                tokens = _tokens(value)
                if not tokens:
                    # A breach of the grammar must be refused (RFC 6455 section 4.2.1).
                    return None
                if name == b"connection":
                    connection += tokens
                else:
                    subprotocols += [token.decode("ascii") for token in tokens]
        key = found.get(b"sec-websocket-key", b"")
        if not (
            method == "GET"
            and http_version == "1.1"
            and found.get(b"sec-websocket-version") == b"13"
            and found.get(b"upgrade", b"").lower() == b"websocket"
            and b"host" in found
            and any(token.lower() == b"upgrade" for token in connection)
            and _is_key(key)
        ):
            return None
        return cls(accept_key(key.decode("ascii")), subprotocols)

    def response(
        self, subprotocol: str | None, headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> bytes:
        """Return the answer that opens the WebSocket, without any extension.

        Args:
            subprotocol: one of ``subprotocols``, or None.
            headers: more headers, in latin-1.
        """
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: ",
            self.accept.encode(),
            b"\r\n",
        ]
        if subprotocol is not None:
            lines += [b"Sec-WebSocket-Protocol: ", subprotocol.encode("latin-1"), b"\r\n"]
        for name, value in headers:
            lines += [name, b": ", value, b"\r\n"]
        lines.append(b"\r\n")
        return b"".join(lines)


def _tokens(value: bytes) -> list[bytes]:
    """Return what a list of tokens holds (RFC 9110 section 5.6.1); nothing when it is not one."""
    items = [item.strip(b" \t") for item in value.split(b",")]
    tokens = [item for item in items if item]
    return tokens if all(map(_is_token, tokens)) else []


def _is_key(key: bytes) -> bool:
    try:
        return len(key) == 24 and len(base64.b64decode(key, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
