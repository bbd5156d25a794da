"""The composition root: the one place where the parts are put together."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from relay.attendance import Attendance
from relay.audience import Audience
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard
from relay.broker.receipts import ReceiptBook
from relay.broker.streaming import StreamingHints
from relay.broker.wire import Wire
from relay.hub import Hub
from relay.inbox import Inbox
from relay.lease_watch import LeaseWatch
from relay.logs import get_logger
from relay.metrics import Metrics
from relay.receipts import Receipts
from relay.routes.health import HealthEndpoints
from relay.routes.page import PageFiles
from relay.routes.ws import WebSocketEndpoint
from relay.settings import Settings
from relay.socket.serving import Serving

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
    attendance = Attendance(PresenceBoard(broker), metrics, worker=worker)
    hub = Hub(
        broker,
        settings,
        metrics,
        worker=worker,
        observer=Audience(attendance, receipts),
        connect_wire=connect_wire,
    )
    inbox = Inbox(broker, streaming, receipts, settings, metrics)
    serving = Serving(hub, inbox, settings, metrics)
    leases = LeaseWatch(streaming, metrics)
    ws = WebSocketEndpoint(hub, serving, join_timeout_s=settings.join_timeout_s)
    health = HealthEndpoints(hub, broker, metrics)
    log = get_logger("relay.app")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
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
        ]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(inbox.close(), *running, return_exceptions=True)
            await broker.close()
            log.info("worker stopped", worker=worker)

    routes: list[BaseRoute] = [
        WebSocketRoute("/ws", ws.__call__),
        Route("/health/live", health.live),
        Route("/health/ready", health.ready),
        Route("/metrics", health.metrics),
    ]
    if settings.page_dir is not None:
        routes.append(Mount("/", PageFiles(directory=settings.page_dir, html=True), name="page"))
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.hub = hub
    app.state.serving = serving
    app.state.metrics = metrics
    return app
