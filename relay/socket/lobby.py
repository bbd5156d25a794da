"""Where connections wait until their request has arrived, and not for ever."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from relay.logs import get_logger
from relay.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.auth.addresses import Addresses
    from relay.metrics import Metrics
    from relay.settings import Settings

LOBBY = "hint_relay.lobby"
"""The name under which a worker's lobby is in the app's state."""

_EVERY_S = 0.5
# Connections are cheaper than requests, and one of them may carry many: so there may be more.
_CONNECTIONS_FOR_A_REQUEST = 4


class Waiting(Protocol):
    """A connection whose request is on its way. No call may raise."""

    def give_up(self) -> None:
        """Close: it has taken too long, or there are too many."""


class Lobby:
    """Bounds how many connections wait for how long; one for each worker.

    Somebody who opens thousands and sends a byte now and then (slowloris) displaces the oldest of
    them, which are his own: those of others are here for milliseconds.

    Args:
        settings: the bounds.
        addresses: knows whom not to count.
        metrics: is told of those who were given up.
        clock_s: a clock that does not step back.
    """

    def __init__(
        self,
        settings: Settings,
        addresses: Addresses,
        metrics: Metrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_header_bytes = settings.max_header_bytes
        self.timeout_s = settings.handshake_timeout_s
        self._max_waiting = settings.max_pending
        self._addresses = addresses
        self._metrics = metrics
        self._clock_s = clock_s
        self._rates = Rates(
            _CONNECTIONS_FOR_A_REQUEST * settings.handshakes_per_address_per_s,
            _CONNECTIONS_FOR_A_REQUEST * settings.handshake_burst_per_address,
        )
        # In the order in which they began to wait.
        self._waiting: dict[Waiting, float] = {}
        self._log = get_logger("relay.socket")

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._waiting)

    def admits(self, peer: str | None) -> bool:
        """Count a new connection; tells whether it may stay."""
        address = self._addresses.of(peer, ())
        if address.counted_as is None or not self._rates.take(address.counted_as, self._clock_s()):
            return True
        self._metrics.limits.labels("handshakes_per_address_per_s").inc()
        return False

    def enter(self, waiting: Waiting) -> None:
        """Let one wait from now on, also one that waits already."""
        self._waiting.pop(waiting, None)
        self._waiting[waiting] = self._clock_s()
        if len(self._waiting) > self._max_waiting:
            self._metrics.limits.labels("max_pending").inc()
            self._give_up(next(iter(self._waiting)))

    def stay(self, waiting: Waiting) -> None:
        """Let one wait from now on; one that waits already goes on waiting since then."""
        if waiting not in self._waiting:
            self.enter(waiting)

    def refused(self, limit: str) -> None:
        """Count somebody who was refused for a limit of requests."""
        self._metrics.limits.labels(limit).inc()

    def leave(self, waiting: Waiting) -> None:
        """Let one wait no more; one that does not is fine."""
        self._waiting.pop(waiting, None)

    async def run(self) -> None:
        """Look after those who wait, until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            self.give_up_late()

    def give_up_late(self) -> None:
        """Give up those who have waited for too long."""
        too_old_s = self._clock_s() - self.timeout_s
        for waiting, since_s in list(self._waiting.items()):
            if since_s > too_old_s:
                return
            self._metrics.limits.labels("handshake_timeout_s").inc()
            self._give_up(waiting)

    def _give_up(self, waiting: Waiting) -> None:
        del self._waiting[waiting]
        try:
            waiting.give_up()
        except Exception:  # noqa: BLE001 - whatever it is, the others still have to be looked after
            self._log.exception("giving up a connection failed")
