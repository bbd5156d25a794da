"""``GET /events``: what a facilitator's WebSocket brings, as Server-Sent Events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.requests import Request

from relay.errors import BrokerUnavailable, KeysUnavailable, LimitReached, RequestError
from relay.gate import Credentials
from relay.routes.feed_request import FeedRequest
from relay.routes.problem import problem
from relay.socket.event_stream import HEADERS, EventStream
from relay.socket.protocol import CONTROL

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from relay.auth.addresses import Address
    from relay.gate import Gate
    from relay.hub import Hub
    from relay.socket.serving import Serving

_BUSY = "Redis is away, and this session is not here without it"
_ENDED = "The relay stops, or your token does not hold any more: come back"


class EventsEndpoint:
    """Gives each reader its session, for as long as it reads; an ASGI app."""

    def __init__(self, hub: Hub, serving: Serving, gate: Gate, *, join_timeout_s: float) -> None:
        self._hub = hub
        self._serving = serving
        self._gate = gate
        self._join_timeout_s = join_timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one reader."""
        request = Request(scope, receive)
        peer = request.client.host if request.client else None
        try:
            address = self._gate.knock(peer, scope["headers"])
            self._gate.check_room()
        except LimitReached as error:
            self._serving.records.refused_request(peer, error)
            await problem(error)(scope, receive, send)
            return
        try:
            asked = await self._checked(request, address)
            if scope["method"] == "HEAD":
                # Without a length: the answer to GET has none either (RFC 9110 section 8.6).
                await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
                await send({"type": "http.response.body", "body": b""})
                return
            stream = EventStream(self._serving, address.client, asked.who)
            self._serving.let_in(stream, asked.ticket)
        except (RequestError, KeysUnavailable) as error:
            self._serving.records.refused(0, address.client, error)
            await problem(error)(scope, receive, send)
            return
        stream.attach((scope.get("extensions") or {}).get(CONTROL))
        try:
            await self._serve(stream, asked, scope, receive, send)
        finally:
            self._serving.let_out(stream)
            stream.detach()

    async def _checked(self, request: Request, address: Address) -> FeedRequest:
        query = request.query_params
        grant = await self._gate.check(Credentials(request.scope["headers"], query.get("token")))
        return FeedRequest.parse(
            query,
            grant,
            address.counted_as,
            path="/events",
            last_event_id=request.headers.get("last-event-id"),
        )

    async def _serve(
        self, stream: EventStream, asked: FeedRequest, scope: Scope, receive: Receive, send: Send
    ) -> None:
        joined = self._hub.join_now(asked.session, stream, asked.since, asked.replay)
        if joined is None:
            joining = asyncio.create_task(
                self._hub.join(asked.session, stream, asked.since, asked.replay)
            )
            joined = await stream.wait_for(
                joining, asked.session, receive, timeout_s=self._join_timeout_s
            )
        if joined is None:
            text = _BUSY if stream.ending is None else _ENDED
            await problem(BrokerUnavailable(text))(scope, receive, send)
            return
        await stream.serve(*joined, asked.since, receive, send)
