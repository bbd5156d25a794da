"""uvicorn's WebSocket protocol, for what is rude: behind it serves ``AsgiConnection``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode

from relay.socket.inbound import release

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent
    from websockets.frames import Frame


# How long a peer may take to read the last of what was written, once the connection is given up.
_FAREWELL_S = 1.0


class AsgiProtocol(WebSocketsSansIOProtocol):
    """Give it to uvicorn as ``ws``. What it takes from its base is held by a contract test."""

    _early = b""

    def data_received(self, data: bytes) -> None:
        """Keep what comes before the answer to the handshake, and let no more in.

        The base would take it at once: answer a ping before the handshake, and fail at what it can't
        refuse yet.
        """
        if self.handshake_initiated and not self.handshake_complete:
            self._early += data
            self.transport.pause_reading()
        else:
            super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the app, and let go of what has come."""
        super().connection_lost(exc)
        release(self.conn)

    def keepalive_timeout(self) -> None:
        """Give up a peer that answers no ping, also one that does not read."""
        super().keepalive_timeout()
        self._drop(_FAREWELL_S)

    def handle_close(self, event: Frame) -> None:
        """Close, also when the peer does not read the answer."""
        super().handle_close(event)
        self._drop(_FAREWELL_S)

    def handle_parser_exception(self) -> None:
        """Close, also when the peer does not read why."""
        super().handle_parser_exception()
        self._drop(_FAREWELL_S)

    def _drop(self, after_s: float) -> None:
        """End the connection: the base only closes it, which waits until everything was read."""
        self.loop.call_later(after_s, self.transport.abort)

    async def send(self, message: ASGISendEvent) -> None:
        """Read what came early, as soon as the handshake is answered."""
        await super().send(message)
        if message["type"] == "websocket.close":
            self._drop(self.close_timeout + _FAREWELL_S)
        if self._early and message["type"] == "websocket.accept":
            early, self._early = self._early, b""
            if not self.transport.is_closing():
                self.transport.resume_reading()
                self.data_received(early)

    def send_receive_event_to_app(self) -> None:
        """Close for a text that is none; the base would write a traceback for each of them."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                # RFC 6455 section 8.1.
                self.frames = []
                self.conn.send_close(CloseCode.INVALID_DATA, "not UTF-8")
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()
