"""The composition root: the one place where the parts are put together."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute, Route, WebSocketRoute

from relay.admission import Admission
from relay.attendance import Attendance
from relay.audience import Audience
from relay.auth.addresses import Addresses
from relay.auth.jwks import Jwks
from relay.auth.origins import LOOPBACK_ORIGIN, Origins
from relay.auth.revocations import Revocations
from relay.auth.tokens import Tokens
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard
from relay.broker.receipts import ReceiptBook
from relay.broker.revocations import RevocationLog
from relay.broker.streaming import StreamingHints
from relay.broker.wire import Wire
from relay.gate import Gate
from relay.hub import Hub
from relay.inbox import Inbox
from relay.lease_watch import LeaseWatch
from relay.logs import get_logger
from relay.metrics import Metrics
from relay.receipts import Receipts
from relay.routes.errors import answer_http_exception, answer_unexpected
from relay.routes.events import EventsEndpoint
from relay.routes.health import HealthEndpoints
from relay.routes.messages import SessionEndpoints
from relay.routes.openapi import OpenApiEndpoint
from relay.routes.page import PageFiles, PageMount
from relay.routes.ws import WebSocketEndpoint
from relay.settings import Settings
from relay.socket.lobby import LOBBY, Lobby
from relay.socket.serving import Serving
from relay.token_watch import TokenWatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.broker.wire import ConnectWire


def create_app(
    settings: Settings | None = None, *, connect_wire: ConnectWire = Wire.connect
) -> Starlette:
    """Build one worker's app: ``uvicorn --factory relay.app:create_app`` works too.

    Nothing is connected before the app's lifespan begins. ``hub``, ``serving`` and ``metrics`` of
    ``app.state`` are there to look at.

    Args:
        settings: read from the environment when None.
        connect_wire: makes the subscription's connection to Redis.
    """
    if settings is None:
        settings = Settings.load()
    worker = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
    metrics = Metrics()
    broker = Broker(
        settings.redis_url,
        timeout_s=settings.redis_timeout_s,
        log_messages=settings.log_messages,
        log_ttl_s=settings.log_ttl_s,
        dedupe_s=settings.dedupe_s,
    )
    streaming = StreamingHints(broker)
    receipts = Receipts(ReceiptBook(broker))
    presence = PresenceBoard(broker)
    attendance = Attendance(presence, metrics, worker=worker)
    hub = Hub(
        broker,
        settings,
        metrics,
        worker=worker,
        observer=Audience(attendance, receipts),
        connect_wire=connect_wire,
    )
    inbox = Inbox(broker, streaming, receipts, settings, metrics)
    revocations = Revocations()
    token_watch = TokenWatch(
        RevocationLog(broker), revocations, metrics, leeway_s=settings.jwt_leeway_s
    )
    jwks = None if settings.jwks_url is None else Jwks(settings.jwks_url)
    gate = _build_gate(settings, metrics, jwks, revocations)
    lobby = Lobby(settings, gate.addresses, metrics)
    serving = Serving(hub, inbox, gate, token_watch, settings, metrics)
    leases = LeaseWatch(streaming, metrics)
    ws = WebSocketEndpoint(hub, serving, gate, join_timeout_s=settings.join_timeout_s)
    events = EventsEndpoint(hub, serving, gate, join_timeout_s=settings.join_timeout_s)
    sessions = SessionEndpoints(
        broker, presence, hub, inbox, gate, serving.records, settings, metrics
    )
    health = HealthEndpoints(hub, broker, metrics, gate)
    log = get_logger("relay.app")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, object]]:
        log.info("worker started", worker=worker)
        unknown = Settings.unknown_names()
        if unknown:
            log.warning("unknown settings ignored", names=unknown)
        running = [
            asyncio.create_task(hub.run(), name="hub"),
            asyncio.create_task(serving.heartbeat.run(), name="heartbeat"),
            asyncio.create_task(attendance.run(), name="attendance"),
            asyncio.create_task(receipts.run(), name="receipts"),
            asyncio.create_task(leases.run(), name="leases"),
            asyncio.create_task(lobby.run(), name="lobby"),
        ]
        if settings.asks_for_tokens:
            running.append(asyncio.create_task(token_watch.run(), name="tokens"))
        if jwks is not None:
            running.append(asyncio.create_task(jwks.run(), name="jwks"))
        try:
            yield {LOBBY: lobby}
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(inbox.close(), *running, return_exceptions=True)
            await broker.close()
            log.info("worker stopped", worker=worker)

    routes: list[BaseRoute] = [
        WebSocketRoute("/ws", ws.__call__),
        Route("/events", events, methods=["GET"]),
        # One for both methods: so a wrong one is told both.
        Route("/sessions/{session}/messages", sessions.messages, methods=["GET", "POST"]),
        Route("/sessions/{session}/presence", sessions.look, methods=["GET"]),
        Route("/sessions/{session}/disconnect", sessions.disconnect, methods=["POST"]),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route("/metrics", health.metrics),
        Route("/openapi.json", OpenApiEndpoint(settings).answer),
    ]
    if settings.page_dir is not None:
        routes.append(PageMount(PageFiles(directory=settings.page_dir, html=True), tuple(routes)))
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=_cross_origin(settings),
        exception_handlers={HTTPException: answer_http_exception, Exception: answer_unexpected},
    )
    # An address is right or wrong. A redirect would go past the gate, and behind a load balancer that ends
    # TLS it would lead to http, with the token that stands in the address.
    app.router.redirect_slashes = False
    app.state.hub = hub
    app.state.serving = serving
    app.state.metrics = metrics
    return app


def _cross_origin(settings: Settings) -> list[Middleware]:
    """Let pages of other origins read the answers, where there are such; the gate lets them ask."""
    if not settings.allowed_origins and not settings.is_local:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.allowed_origins,
            allow_origin_regex=LOOPBACK_ORIGIN if settings.is_local else None,
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type", "idempotency-key", "last-event-id"),
            expose_headers=("retry-after",),
            max_age=3600,
        )
    ]


def _build_gate(
    settings: Settings, metrics: Metrics, jwks: Jwks | None, revocations: Revocations
) -> Gate:
    tokens = None
    if settings.asks_for_tokens:
        tokens = Tokens(
            settings.keys,
            jwks,
            audience=settings.jwt_audience,
            issuer=settings.jwt_issuer,
            leeway_s=settings.jwt_leeway_s,
            revoked=revocations,
        )
    return Gate(
        settings,
        tokens,
        Origins(settings.allowed_origins, is_local=settings.is_local),
        Addresses(settings.trusted_proxies),
        Admission(settings),
        metrics,
    )
