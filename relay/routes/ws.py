"""``GET /ws``: a facilitator's WebSocket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.websockets import WebSocketDisconnect

from relay.close_codes import CloseCode
from relay.errors import KeysUnavailable, LimitReached, RequestError
from relay.gate import Credentials
from relay.identity import NOBODY
from relay.routes.feed_request import FeedRequest
from relay.routes.problem import problem
from relay.socket.asgi_connection import AsgiConnection
from relay.socket.connection import Connection
from relay.socket.upgrade import HAND_OVER

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

    from relay.auth.addresses import Address
    from relay.errors import Refusal
    from relay.gate import Gate
    from relay.hub import Hub
    from relay.identity import Identity
    from relay.reader import Reader, Welcome
    from relay.room import Room
    from relay.socket.reader import FeedReader
    from relay.socket.serving import Serving
    from relay.socket.upgrade import HandOver

SUBPROTOCOL = "hints.v1"


class WebSocketEndpoint:
    """Accepts facilitators, and gives each to its session.

    Under the relay's own server the connection leaves ASGI right after the handshake, and this ends
    then; under any other it lasts as long as the connection.
    """

    def __init__(self, hub: Hub, serving: Serving, gate: Gate, *, join_timeout_s: float) -> None:
        self._hub = hub
        self._serving = serving
        self._gate = gate
        self._join_timeout_s = join_timeout_s

    async def __call__(self, websocket: WebSocket) -> None:
        """Serve one facilitator."""
        scope = websocket.scope
        peer = scope["client"][0] if scope.get("client") else None
        try:
            address = self._gate.knock(peer, scope["headers"])
            self._gate.check_room()
            request = await self._checked(websocket, address)
            # That may have waited for an issuer's keys, and many others with it.
            self._gate.check_room()
        except LimitReached as error:
            self._serving.records.refused_request(peer, error)
            # Before the handshake: that is cheap, and whoever is in earnest comes back by itself.
            await websocket.send_denial_response(problem(error))
            return
        # A browser can't read a refused handshake; it can read a close code. So all are accepted.
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
        hand_over: HandOver | None = scope.get("extensions", {}).get(HAND_OVER)
        if hand_over is None:
            await self._serve_over_asgi(websocket, request, address.client, subprotocol)
            return
        connection = hand_over(
            lambda response, open_connections: Connection(
                self._serving, address.client, response, open_connections, _who(request)
            ),
            subprotocol,
        )
        if connection is None:
            self._serving.records.gone_during_handshake(address.client)
            return
        request = self._let_in(connection, request)
        if not isinstance(request, FeedRequest):
            connection.refuse(request)
            return
        try:
            await self._start(connection, request)
        except BaseException:
            connection.end(CloseCode.INTERNAL_ERROR)
            raise

    async def _checked(self, websocket: WebSocket, address: Address) -> FeedRequest | Refusal:
        query = websocket.query_params
        credentials = Credentials(
            websocket.scope["headers"], query.get("token"), websocket.scope["subprotocols"]
        )
        try:
            grant = await self._gate.check(credentials)
            return FeedRequest.parse(query, grant, address.counted_as, path="/ws")
        except (RequestError, KeysUnavailable) as error:
            return error

    def _let_in(self, reader: FeedReader, request: FeedRequest | Refusal) -> FeedRequest | Refusal:
        """Count somebody in who may come in; returns why not, if not."""
        if isinstance(request, FeedRequest):
            try:
                # Accepting may have taken a while, in which the token was revoked.
                self._gate.check_again(request.ticket.grant)
                self._serving.let_in(reader, request.ticket)
            except RequestError as error:
                return error
        return request

    async def _start(self, connection: Connection, request: FeedRequest) -> None:
        joined = self._hub.join_now(request.session, connection, request.since, request.replay)
        if joined is None:
            joined = await connection.wait_for(
                self._join(connection, request), request.session, timeout_s=self._join_timeout_s
            )
        if joined is not None:
            connection.begin(*joined, request.since)

    async def _serve_over_asgi(
        self,
        websocket: WebSocket,
        request: FeedRequest | Refusal,
        client: str | None,
        subprotocol: str | None,
    ) -> None:
        try:
            await websocket.accept(subprotocol=subprotocol)
        except (WebSocketDisconnect, RuntimeError):
            self._serving.records.gone_during_handshake(client)
            return
        connection = AsgiConnection(websocket, self._serving, client, _who(request))
        request = self._let_in(connection, request)
        if not isinstance(request, FeedRequest):
            await connection.refuse(request)
            return
        try:
            joined = await connection.wait_for(
                self._join(connection, request), request.session, timeout_s=self._join_timeout_s
            )
            if joined is not None:
                await connection.serve(*joined, request.since)
        finally:
            self._serving.let_out(connection)

    def _join(self, reader: Reader, request: FeedRequest) -> asyncio.Task[tuple[Room, Welcome]]:
        return asyncio.create_task(
            self._hub.join(request.session, reader, request.since, request.replay)
        )


def _who(request: FeedRequest | Refusal) -> Identity:
    return request.who if isinstance(request, FeedRequest) else NOBODY
