"""What is counted and logged when a facilitator comes and goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from relay.close_codes import CloseCode, code_of_refusal
from relay.errors import LimitReached, MessageTooLarge, RateLimited
from relay.logs import get_logger

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from relay.errors import BrokerError, Refusal, RequestError
    from relay.metrics import Metrics
    from relay.position import Position
    from relay.reader import Welcome

_KNOWN_CODES = frozenset(map(int, CloseCode))


class Records:
    """Keeps a worker's metrics, and its log, of connections.

    ``visit`` is a number that ties the lines of one connection together; ``client`` its address.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._log: FilteringBoundLogger = get_logger("relay.ws")

    def gone_during_handshake(self, client: str | None) -> None:
        """Note somebody who left before the WebSocket was open."""
        self._log.info("gone during the handshake", client=client)

    def refused(self, visit: int, client: str | None, error: Refusal) -> None:
        """Note a request that is turned away."""
        code = code_of_refusal(error)
        self._log.info(
            "refused", connection=_name(visit), client=client, code=int(code), error=str(error)
        )
        if isinstance(error, LimitReached):
            self._metrics.limits.labels(error.limit).inc()
        self._metrics.refused.labels(error.code).inc()
        self._metrics.disconnects.labels(int(code)).inc()

    def refused_request(self, client: str | None, error: Refusal) -> None:
        """Note a plain request that is turned away."""
        self._metrics.refused.labels(error.code).inc()
        self._count_size(error)
        if not isinstance(error, (RateLimited, LimitReached)):
            # Of those there are too many already.
            self._log.info("request refused", client=client, code=error.code, error=str(error))

    def failed_request(self, client: str | None, session: str, error: BrokerError) -> None:
        """Note a plain request that Redis could not serve."""
        self._log.warning("request failed", client=client, session=session, error=str(error))

    def flooded(self, visit: int, client: str | None, limit: str) -> None:
        """Note somebody who sends too much and is sent away for it."""
        self._log.warning("sends too much", connection=_name(visit), client=client, limit=limit)
        self._metrics.limits.labels(limit).inc()

    def left_early(self, visit: int, client: str | None, session: str, code: int) -> None:
        """Note somebody who left, or was sent away, before the session could be served."""
        write = self._log.warning if code == CloseCode.BROKER_LOST else self._log.info
        write(
            "left before it was served",
            connection=_name(visit),
            client=client,
            session=session,
            code=int(code),
        )
        self._metrics.disconnects.labels(_label(code)).inc()

    def connected(
        self, visit: int, client: str | None, session: str, since: Position | None, welcome: Welcome
    ) -> float:
        """Note a facilitator who is served; returns the time for ``disconnected``."""
        self._metrics.connects.add()
        self._metrics.connections.inc()
        self._log.info(
            "connected",
            connection=_name(visit),
            client=client,
            session=session,
            since=None if since is None else str(since),
            recovered=welcome.backlog.recovered,
            backlog=len(welcome.backlog.publications),
        )
        return time.monotonic()

    def disconnected(
        self,
        visit: int,
        client: str | None,
        session: str,
        *,
        code: int,
        began_s: float,
        sent: int,
        received: int,
    ) -> None:
        """Note that a facilitator who was served has gone."""
        duration_s = time.monotonic() - began_s
        self._metrics.connections.dec()
        self._metrics.disconnects.labels(_label(code)).inc()
        self._metrics.connection_seconds.observe(duration_s)
        self._log.info(
            "disconnected",
            connection=_name(visit),
            client=client,
            session=session,
            code=int(code),
            duration_s=round(duration_s, 3),
            sent=sent,
            received=received,
        )

    def inbound(self) -> None:
        """Count a message that was taken; those that are to be published are the inbox's to count."""
        self._metrics.inbound.labels("ok").inc()

    def refused_inbound(self, visit: int, client: str | None, error: RequestError) -> None:
        """Note a message that was not."""
        self._metrics.inbound.labels(error.code).inc()
        self._count_size(error)
        if isinstance(error, RateLimited):
            self._metrics.limits.labels("inbound_per_s").inc()
            # There are too many of them already.
            return
        self._log.info("bad message", connection=_name(visit), client=client, error=str(error))

    def delivered(self, count: int) -> None:
        """Count publications that one reader took at its own pace."""
        self._metrics.deliveries.add(count)

    def _count_size(self, error: Refusal) -> None:
        if isinstance(error, MessageTooLarge):
            self._metrics.limits.labels("max_publication_bytes").inc()


def _name(visit: int) -> str:
    return f"{visit:08x}"


def _label(code: int) -> str:
    """Return the metric's label: a client may send any code, the metric has the known ones."""
    return str(int(code)) if code in _KNOWN_CODES else "other"
