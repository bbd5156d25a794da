"""Ends streaming hints whose producers died."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING

from relay.broker.streaming import LEASE_S
from relay.errors import BrokerError, BrokerUnavailable
from relay.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.broker.streaming import StreamingHints
    from relay.metrics import Metrics

_EVERY_S = 2.0


class LeaseWatch:
    """Looks for abandoned streaming hints every two seconds.

    Every worker does; Redis sees to it that each hint is ended once. After Redis was away for this
    worker, or the worker for Redis, nothing is ended for the time of a lease: producers that live may
    not have reached Redis either, and need time to say that they live.

    Args:
        hints: the streaming hints of all sessions.
        metrics: is told what was ended.
        draw: a number from 0 to 1, so that workers that started together don't stay together.
        clock_s: a clock that does not step back.
    """

    def __init__(
        self,
        hints: StreamingHints,
        metrics: Metrics,
        *,
        draw: Callable[[], float] = random.random,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hints = hints
        self._metrics = metrics
        self._draw = draw
        self._clock_s = clock_s
        # Since when Redis has answered each time; None when it has not the last time.
        self._answers_since_s: float | None = None
        self._is_failing = False
        self._log = get_logger("relay.leases")

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S * (0.75 + self._draw() / 2))
            await self.look()

    async def look(self) -> None:
        """End what is abandoned now; never raises."""
        try:
            interrupted = await self._interrupt_abandoned()
        except BrokerError as error:
            if isinstance(error, BrokerUnavailable):
                self._answers_since_s = None
            if not self._is_failing:
                self._is_failing = True
                self._log.warning("can't look for abandoned hints", error=str(error))
            return
        except Exception:  # noqa: BLE001 - whatever it is
            # A loop that outlives what it did not foresee.
            self._log.exception("looking for abandoned hints failed unexpectedly")
            return
        self._is_failing = False
        self._metrics.interrupted_hints.add(len(interrupted))
        for session, hint_id in interrupted:
            self._log.info(
                "hint interrupted: its producer is silent", session=session, hint=hint_id
            )

    async def _interrupt_abandoned(self) -> list[tuple[str, str]]:
        since_s = self._answers_since_s
        if since_s is not None and self._clock_s() >= since_s + LEASE_S:
            return await self._hints.interrupt_abandoned()
        await self._hints.ping()
        if since_s is None:
            self._answers_since_s = self._clock_s()
        return []
