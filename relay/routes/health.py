"""``GET /health/live``, ``GET /health/ready``, ``GET /metrics``."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from relay.errors import BrokerError

if TYPE_CHECKING:
    from starlette.requests import Request

    from relay.broker.broker import Broker
    from relay.gate import Gate
    from relay.hub import Hub
    from relay.metrics import Metrics

_NO_STORE = {"cache-control": "no-store"}


class HealthEndpoints:
    """Says how this worker is."""

    def __init__(self, hub: Hub, broker: Broker, metrics: Metrics, gate: Gate) -> None:
        self._hub = hub
        self._gate = gate
        self._broker = broker
        self._metrics = metrics

    async def live(self, request: Request) -> Response:
        """Answer 200 while the event loop runs: restarting helps only when it does not."""
        del request
        return JSONResponse({"status": "live"}, headers=_NO_STORE)

    async def ready(self, request: Request) -> Response:
        """Answer 200 when a facilitator would be served well here, else 503 and why not.

        Both ways to Redis count: a command's round trip, made now, and the subscription's newest
        proof that it delivers.
        """
        problems: dict[str, str] = {}
        try:
            await self._broker.ping()
        except BrokerError as error:
            # To strangers without what it says of the network.
            problems["redis"] = str(error) if self._is_near(request) else "away"
        link = self._hub.link
        if not link.is_healthy:
            problems["subscription"] = f"{link.state.value}, no fresh proof that it delivers"
        age_s = link.probe_age_s
        body = {
            "status": "unready" if problems else "ready",
            "probe_age_s": None if age_s is None else round(age_s, 3),
            **({"problems": problems} if problems else {}),
        }
        return JSONResponse(body, 503 if problems else 200, headers=_NO_STORE)

    async def metrics(self, request: Request) -> Response:
        """Answer this worker's metrics in Prometheus' text format, to private addresses only."""
        if not self._is_near(request):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        self._metrics.sessions.set(self._hub.rooms)
        self._metrics.tasks.set(len(asyncio.all_tasks()))
        return Response(
            self._metrics.exposition(), media_type=CONTENT_TYPE_LATEST, headers=_NO_STORE
        )

    def _is_near(self, request: Request) -> bool:
        peer = request.client.host if request.client else None
        return self._gate.is_near(peer, request.scope["headers"])
