"""The ways in which a relay serves WebSockets, and the brokers behind it: one suite over all."""

from __future__ import annotations

from typing import Any, NamedTuple

from tests.support.relay import PLAIN_ASGI


class Sockets(NamedTuple):
    """A way to serve WebSockets, and all in which a client can tell it from the other."""

    options: dict[str, Any]
    """For uvicorn."""
    silent_peer: int
    """How a peer is closed that answers no ping."""


OWN = Sockets({}, silent_peer=4003)
"""The relay's own protocol, to which the transport is handed over."""

ASGI = Sockets(PLAIN_ASGI, silent_peer=1011)
"""uvicorn's protocol, as under any ASGI server: pings and what becomes of their answers are its."""

KINDS = {
    "own": (OWN, "redis_server"),
    "asgi": (ASGI, "redis_server"),
    "own-embedded": (OWN, "embedded_broker"),
}
"""Each with the fixture of its broker."""
