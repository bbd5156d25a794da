"""``GET /ws``: a facilitator's WebSocket."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, NamedTuple

import structlog
from starlette.websockets import WebSocketDisconnect, WebSocketState

from relay.close_codes import CloseCode
from relay.errors import RequestError
from relay.messages import Error
from relay.position import Position
from relay.session import check_session
from relay.socket.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.websockets import WebSocket

    from relay.hub import Hub
    from relay.metrics import Metrics
    from relay.settings import Settings

SUBPROTOCOL = "hints.v1"

_KNOWN_CODES = frozenset(map(int, CloseCode))


class Request(NamedTuple):
    """What a facilitator asks for; see "Endpoints" in docs/PROTOCOL.md."""

    session: str
    since: Position | None
    replay: int | None

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
        )


class WebSocketEndpoint:
    """Accepts facilitators, and gives each to its session."""

    def __init__(self, hub: Hub, settings: Settings, metrics: Metrics) -> None:
        self._hub = hub
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, websocket: WebSocket) -> None:
        """Serve one facilitator from handshake to close."""
        log = structlog.get_logger("relay.ws").bind(
            connection=secrets.token_hex(4),
            client=None if websocket.client is None else websocket.client.host,
        )
        try:
            # A browser can't read a refused handshake; it can read a close code. So all are accepted.
            await websocket.accept(
                subprotocol=SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None
            )
        except (WebSocketDisconnect, RuntimeError):
            log.info("gone during the handshake")
            return
        try:
            request = Request.parse(websocket.query_params)
        except RequestError as error:
            log.info("refused", code=int(CloseCode.BAD_REQUEST), error=str(error))
            await _send_error(websocket, error)
            await _close(websocket, CloseCode.BAD_REQUEST)
            self._metrics.disconnects.labels(int(CloseCode.BAD_REQUEST)).inc()
            return
        await self._serve(websocket, request, log.bind(session=request.session))

    async def _serve(
        self, websocket: WebSocket, request: Request, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        connection = Connection(
            websocket, heartbeat_s=self._settings.heartbeat_s, metrics=self._metrics, log=log
        )
        joining = asyncio.create_task(
            self._hub.join(request.session, connection, request.since, request.replay)
        )
        code = await connection.receive_until(joining, timeout_s=self._settings.join_timeout_s)
        if code is not None:
            log.warning("left before it was served", code=int(code))
            self._metrics.disconnects.labels(_label(code)).inc()
            if not joining.cancelled() and joining.exception() is None:
                self._hub.leave(joining.result()[0], connection)
            if isinstance(code, CloseCode):
                await _close(websocket, code)
            return
        room, welcome = joining.result()
        began_s = time.monotonic()
        code = CloseCode.INTERNAL_ERROR
        self._metrics.connects.inc()
        self._metrics.connections.inc()
        log.info(
            "connected",
            since=None if request.since is None else str(request.since),
            recovered=welcome.backlog.recovered,
            backlog=len(welcome.backlog.publications),
        )
        try:
            code = await connection.run(room, welcome)
        finally:
            self._hub.leave(room, connection)
            duration_s = time.monotonic() - began_s
            self._metrics.connections.dec()
            self._metrics.disconnects.labels(_label(code)).inc()
            self._metrics.connection_seconds.observe(duration_s)
            log.info(
                "disconnected",
                code=int(code),
                duration_s=round(duration_s, 3),
                sent=connection.sent,
                received=connection.received,
            )
            if isinstance(code, CloseCode):
                await _close(websocket, code)


def _label(code: int) -> str:
    """Return the metric's label: a client may send any code, the metric has the known ones."""
    return str(int(code)) if code in _KNOWN_CODES else "other"


async def _send_error(websocket: WebSocket, error: RequestError) -> None:
    try:
        await websocket.send_text(Error(code=error.code, text=str(error)).to_json().decode())
    except WebSocketDisconnect:
        pass


async def _close(websocket: WebSocket, code: CloseCode) -> None:
    if websocket.application_state is not WebSocketState.CONNECTED:
        return
    try:
        await websocket.close(int(code), code.reason)
    except (WebSocketDisconnect, RuntimeError):
        # Gone already: Starlette reports it in either way, depending on who noticed first.
        pass
