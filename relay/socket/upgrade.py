"""A WebSocket request on its way to a ``Connection``: answered by the app, then handed over."""

from __future__ import annotations

import asyncio
import contextvars
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from relay.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping

    from uvicorn.config import Config
    from uvicorn.server import ServerState

    from relay.socket.handshake import Handshake

HAND_OVER = "hint_relay.hand_over"
"""The ASGI extension: ``scope["extensions"][HAND_OVER]`` is a ``HandOver``, or is not there."""


P = TypeVar("P", bound=asyncio.Protocol)


class HandOver(Protocol):
    """What the extension does."""

    def __call__(self, make: Callable[[bytes, set[Any]], P], subprotocol: str | None) -> P | None:
        """Give the transport to a new protocol, which answers the handshake.

        Args:
            make: gets the answer, which the protocol has to write before anything else, and the
                server's set of open connections, in which it has to be from its ``connection_made``
                to its ``connection_lost``, with a method ``shutdown``.
            subprotocol: one that the client offered, or None.

        Returns:
            The protocol, connected; None when the client has gone meanwhile.
        """


class Upgrade(asyncio.Protocol):
    """A WebSocket request from its arrival until it is handed over or refused."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        transport: asyncio.Transport,
        handshake: Handshake,
    ) -> None:
        self._config = config
        self._server_state = server_state
        self._transport = transport
        self._handshake = handshake
        self._early: list[bytes] = []
        self._is_connect_told = False
        self._is_handed_over = False
        self._gone = asyncio.Event()
        self._refusal: tuple[int, list[tuple[bytes, bytes]], bytes] | None = None
        self._connections = cast("set[Any]", server_state.connections)
        self._connections.add(self)

    def run(self, scope: dict[str, Any]) -> None:
        """Start the app with this request."""
        # As uvicorn does: see its option of this name.
        context = contextvars.Context() if self._config.reset_contextvars else None
        task = asyncio.get_running_loop().create_task(self._run(scope), context=context)
        task.add_done_callback(self._server_state.tasks.discard)
        self._server_state.tasks.add(task)

    def hand_over(self, make: Callable[[bytes, set[Any]], P], subprotocol: str | None) -> P | None:
        """Give the transport away; see ``HandOver``."""
        if self._gone.is_set() or self._transport.is_closing():
            return None
        if self._is_handed_over or self._refusal is not None:
            raise RuntimeError("this WebSocket has been answered already")
        self._is_handed_over = True
        self._connections.discard(self)
        transport = self._transport
        response = self._handshake.response(subprotocol, self._server_state.default_headers)
        try:
            protocol = make(response, self._connections)
            transport.set_protocol(protocol)
            protocol.connection_made(transport)
            if self._early:
                protocol.data_received(b"".join(self._early))
                transport.resume_reading()
        except BaseException:
            # Nobody else would close it now.
            transport.abort()
            raise
        return protocol

    # ASGI

    async def _run(self, scope: dict[str, Any]) -> None:
        try:
            await self._config.loaded_app(scope, self._receive, self._send)
        except Exception:  # noqa: BLE001 - an app may raise anything
            get_logger("relay.socket").exception("the app failed")
        if not self._is_handed_over:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, [], b"")

    async def _receive(self) -> dict[str, Any]:
        if not self._is_connect_told:
            self._is_connect_told = True
            return {"type": "websocket.connect"}
        await self._gone.wait()
        return {"type": "websocket.disconnect", "code": 1006}

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        match message["type"]:
            case "websocket.close":
                self._refuse(HTTPStatus.FORBIDDEN, [], b"")
            case "websocket.http.response.start":
                self._refusal = (message["status"], list(message.get("headers", [])), b"")
            case "websocket.http.response.body" if self._refusal is not None:
                status, headers, body = self._refusal
                self._refusal = (status, headers, body + message.get("body", b""))
                if not message.get("more_body", False):
                    self._refuse(*self._refusal)
            case other:
                raise RuntimeError(f"{other}: under this server a WebSocket is handed over")

    def _refuse(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        if self._gone.is_set() or self._transport.is_closing():
            return
        names = {name.lower() for name, _ in headers}
        headers = [*self._server_state.default_headers, *headers]
        if b"content-length" not in names:
            headers.append((b"content-length", b"%d" % len(body)))
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else ""
        head = b"HTTP/1.1 %d %s\r\nconnection: close\r\n" % (status, phrase.encode())
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        self._transport.write(head + lines + b"\r\n" + body)
        self._transport.close()

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        """Keep what comes before the answer to the handshake, and let no more in."""
        self._early.append(data)
        self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the app, if it asks."""
        self._gone.set()
        self._connections.discard(self)

    def shutdown(self) -> None:
        """Refuse, because the server stops."""
        self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, [], b"")
