"""How many may be connected to a worker, and in which company."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from relay.errors import LimitReached

if TYPE_CHECKING:
    from relay.auth.grant import Grant
    from relay.settings import Settings


class Ticket(NamedTuple):
    """What a connection is counted as, from its ``enter`` to its ``leave``.

    Attributes:
        session: which it is in.
        grant: what it may do.
        counted_as: see ``addresses.Address``.
    """

    session: str
    grant: Grant
    counted_as: str | None


class Admission:
    """Counts a worker's connections; pure.

    A relay knows of its own worker's connections only: limits are for each worker, and with n of them
    somebody may have n times as many.

    Args:
        settings: the limits.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._count = 0
        self._in_session: Counter[str] = Counter()
        self._at_address: Counter[str] = Counter()
        self._sessions_of: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        """Return how many are connected."""
        return self._count

    @property
    def is_full(self) -> bool:
        """Whether this worker can take nobody."""
        return self._count >= self._settings.max_connections

    @property
    def traces(self) -> int:
        """How many names are remembered; 0 when nobody is connected."""
        return len(self._in_session) + len(self._at_address) + len(self._sessions_of)

    def enter(self, ticket: Ticket) -> None:
        """Count somebody in; each needs one ``leave``.

        Raises:
            LimitReached: saying which limit; then nothing was counted.
        """
        self._check(ticket)
        self._add(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Count somebody out."""
        self._count -= 1
        _decrement(self._in_session, ticket.session)
        if ticket.counted_as is not None:
            _decrement(self._at_address, ticket.counted_as)
        if (holder := ticket.grant.holder) is not None:
            sessions = self._sessions_of[holder]
            _decrement(sessions, ticket.session)
            if not sessions:
                del self._sessions_of[holder]

    def exchange(self, old: Ticket, new: Ticket) -> None:
        """Count somebody who stays connected as something else."""
        self.leave(old)
        self._add(new)

    def _add(self, ticket: Ticket) -> None:
        self._count += 1
        self._in_session[ticket.session] += 1
        if ticket.counted_as is not None:
            self._at_address[ticket.counted_as] += 1
        if (holder := ticket.grant.holder) is not None:
            self._sessions_of.setdefault(holder, Counter())[ticket.session] += 1

    def _check(self, ticket: Ticket) -> None:
        settings = self._settings
        if self.is_full:
            raise LimitReached("max_connections", "This relay is full: come back to another one.")
        most = settings.max_connections_per_session
        if self._in_session[ticket.session] >= most:
            raise LimitReached(
                "max_connections_per_session",
                f"This session has all the connections to this relay that it may have ({most:,}).",
            )
        most = settings.max_connections_per_address
        if ticket.counted_as is not None and self._at_address[ticket.counted_as] >= most:
            raise LimitReached(
                "max_connections_per_address",
                f"Your address has all the connections to this relay that it may have ({most:,}).",
            )
        sessions = self._sessions_of.get(ticket.grant.holder or "")
        if sessions is None:
            return
        most = settings.max_connections_per_subject
        if sessions.total() >= most:
            raise LimitReached(
                "max_connections_per_subject",
                f"You have all the connections that you may have ({most:,}): close one.",
            )
        most = settings.max_sessions_per_token
        if ticket.session not in sessions and len(sessions) >= most:
            raise LimitReached(
                "max_sessions_per_token",
                f"You are in all the sessions that you may be in at once ({most:,}): leave one.",
            )


def _decrement(counts: Counter[str], name: str) -> None:
    """Take one away, and forget a name that has none: names are as many as strangers want."""
    counts[name] -= 1
    if counts[name] <= 0:
        del counts[name]
