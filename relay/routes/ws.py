"""``GET /ws``: a facilitator's WebSocket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from starlette.websockets import WebSocketDisconnect

from relay.close_codes import CloseCode
from relay.errors import RequestError
from relay.identity import NOBODY, identify
from relay.position import Position
from relay.session import check_session
from relay.socket.asgi_connection import AsgiConnection
from relay.socket.connection import Connection
from relay.socket.protocol import HAND_OVER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.websockets import WebSocket

    from relay.hub import Hub
    from relay.identity import Identity
    from relay.reader import Reader, Welcome
    from relay.room import Room
    from relay.socket.protocol import HandOver
    from relay.socket.serving import Serving

SUBPROTOCOL = "hints.v1"


class Request(NamedTuple):
    """What a facilitator asks for; see "Endpoints" in docs/PROTOCOL.md."""

    session: str
    since: Position | None
    replay: int | None
    who: Identity

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Request:
        """Check the query's parameters.

        Raises:
            RequestError: saying which parameter is wrong, and how it should be.
        """
        session = query.get("session")
        if session is None:
            raise RequestError("The address lacks the session: /ws?session=<id>.")
        since = query.get("since") or None
        replay = query.get("replay") or None
        if replay is not None and not (replay.isascii() and replay.isdigit() and len(replay) <= 9):
            raise RequestError("'replay' is a whole number: how many kept messages to send first.")
        return cls(
            check_session(session),
            None if since is None else Position.parse(since),
            None if replay is None else int(replay),
            identify(query.get("guest")),
        )


class WebSocketEndpoint:
    """Accepts facilitators, and gives each to its session.

    Under the relay's own server the connection leaves ASGI right after the handshake, and this ends
    then; under any other it lasts as long as the connection.
    """

    def __init__(self, hub: Hub, serving: Serving, *, join_timeout_s: float) -> None:
        self._hub = hub
        self._serving = serving
        self._join_timeout_s = join_timeout_s

    async def __call__(self, websocket: WebSocket) -> None:
        """Serve one facilitator."""
        scope = websocket.scope
        client = scope["client"][0] if scope.get("client") else None
        # A browser can't read a refused handshake; it can read a close code. So all are accepted.
        subprotocol = SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None
        hand_over: HandOver | None = scope.get("extensions", {}).get(HAND_OVER)
        request: Request | RequestError
        try:
            request = Request.parse(websocket.query_params)
        except RequestError as error:
            request = error
        if hand_over is None:
            await self._serve_over_asgi(websocket, request, client, subprotocol)
            return
        who = request.who if isinstance(request, Request) else NOBODY
        connection = hand_over(
            lambda response, open_connections: Connection(
                self._serving, client, response, open_connections, who
            ),
            subprotocol,
        )
        if connection is None:
            self._serving.records.gone_during_handshake(client)
        elif isinstance(request, RequestError):
            connection.refuse(request)
        else:
            try:
                await self._start(connection, request)
            except BaseException:
                connection.end(CloseCode.INTERNAL_ERROR)
                raise

    async def _start(self, connection: Connection, request: Request) -> None:
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
        request: Request | RequestError,
        client: str | None,
        subprotocol: str | None,
    ) -> None:
        try:
            await websocket.accept(subprotocol=subprotocol)
        except (WebSocketDisconnect, RuntimeError):
            self._serving.records.gone_during_handshake(client)
            return
        if isinstance(request, RequestError):
            await AsgiConnection(websocket, self._serving, client).refuse(request)
            return
        connection = AsgiConnection(websocket, self._serving, client, request.who)
        joined = await connection.wait_for(
            self._join(connection, request), request.session, timeout_s=self._join_timeout_s
        )
        if joined is not None:
            await connection.serve(*joined, request.since)

    def _join(self, reader: Reader, request: Request) -> asyncio.Task[tuple[Room, Welcome]]:
        return asyncio.create_task(
            self._hub.join(request.session, reader, request.since, request.replay)
        )
