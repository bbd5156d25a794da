"""Ends connections whose token is not good any more."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from relay.close_codes import CloseCode
from relay.errors import BrokerError, Unauthorized
from relay.logs import get_logger
from relay.messages import Error
from relay.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.admission import Ticket
    from relay.auth.revocations import Revocations
    from relay.broker.revocations import RevocationLog
    from relay.metrics import Metrics

# Twice in the two seconds within which a revocation is to be everywhere.
_EVERY_S = 1.0


class Holder(Protocol):
    """A connection with a token. No call may block or raise."""

    ticket: Ticket | None

    def tell(self, message: Publication) -> None:
        """Send something to this one alone."""

    def end(self, code: CloseCode) -> None:
        """Close with this code."""


class TokenWatch:
    """Looks every second for tokens that have expired, and for those that were revoked.

    All methods belong to one event loop.

    Args:
        log: where revocations are written.
        revocations: those that are known; kept up to date here.
        metrics: is told how many connections were ended.
        leeway_s: how long after its ``exp`` a token is still taken.
        clock_s: seconds since the epoch.
    """

    def __init__(
        self,
        log: RevocationLog,
        revocations: Revocations,
        metrics: Metrics,
        *,
        leeway_s: float,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._log = log
        self._revocations = revocations
        self._metrics = metrics
        self._leeway_s = leeway_s
        self._clock_s = clock_s
        # By the second in which they expire: a look costs what it finds.
        self._holders: dict[int, set[Holder]] = {}
        self._read_until: str | None = None
        self._is_failing = False
        self._logger = get_logger("relay.tokens")

    def __len__(self) -> int:
        """Return how many connections are watched."""
        return sum(map(len, self._holders.values()))

    def add(self, holder: Holder) -> None:
        """Watch a connection with a ticket; one whose grant never expires needs no watching."""
        due = self._due(holder)
        if due is not None:
            self._holders.setdefault(due, set()).add(holder)

    def discard(self, holder: Holder) -> None:
        """Watch it no more; one that is not watched is fine. Call it before its ticket changes."""
        due = self._due(holder)
        holders = None if due is None else self._holders.get(due)
        if due is None or holders is None:
            return
        holders.discard(holder)
        if not holders:
            del self._holders[due]

    async def run(self) -> None:
        """Look until cancelled."""
        # Apart: while Redis does not answer, tokens expire all the same.
        await asyncio.gather(self._watch_expiry(), self._follow_revocations())

    async def _watch_expiry(self) -> None:
        while True:
            try:
                self.end_expired()
            except Exception:
                self._logger.exception("ending connections failed unexpectedly")
            await asyncio.sleep(_EVERY_S)

    async def _follow_revocations(self) -> None:
        while True:
            try:
                await self.read_revocations()
            except Exception:
                self._logger.exception("following revocations failed unexpectedly")
            await asyncio.sleep(_EVERY_S)

    def end_expired(self) -> None:
        """End the connections whose tokens have expired by now."""
        now_s = self._clock_s()
        for due in [second for second in self._holders if second <= now_s]:
            for holder in tuple(self._holders.pop(due)):
                self._metrics.expired.add()
                holder.end(CloseCode.TOKEN_EXPIRED)

    async def read_revocations(self) -> None:
        """Learn what has been revoked, and end the connections that it concerns; never raises."""
        try:
            self._read_until, found = await self._log.read(self._read_until)
        except BrokerError as error:
            if not self._is_failing:
                self._is_failing = True
                self._logger.warning("can't read revocations", error=str(error))
            return
        self._is_failing = False
        self._revocations.forget_until(self._clock_s())
        if found:
            self._revocations.add(found)
            self._end_revoked()
        self._metrics.revocations.set(len(self._revocations))

    def _end_revoked(self) -> None:
        error = Unauthorized("The token has been revoked.")
        message = Publication(None, Error(code=error.code, text=str(error)).to_json())
        for holders in list(self._holders.values()):
            for holder in tuple(holders):
                if holder.ticket is not None and self._revocations.covers(holder.ticket.grant):
                    self._metrics.expired.add()
                    holder.tell(message)
                    holder.end(CloseCode.UNAUTHORIZED)

    def _due(self, holder: Holder) -> int | None:
        if holder.ticket is None or holder.ticket.grant.expires_at_s is None:
            return None
        # The next whole second: never before its time.
        return int(holder.ticket.grant.expires_at_s + self._leeway_s) + 1
