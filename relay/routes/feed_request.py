"""What somebody who wants to read a session asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from relay.admission import Ticket
from relay.errors import RequestError
from relay.identity import identify
from relay.position import Position
from relay.session import check_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.auth.grant import Grant
    from relay.identity import Identity


class FeedRequest(NamedTuple):
    """A request that can be served; see "Connecting" in docs/PROTOCOL.md.

    Attributes:
        session: which.
        since: the position after which to go on; None: there is none.
        replay: how many kept messages first; None: all.
        who: who asks.
        ticket: what it will be counted as, and may do.
    """

    session: str
    since: Position | None
    replay: int | None
    who: Identity
    ticket: Ticket

    @classmethod
    def parse(
        cls,
        query: Mapping[str, str],
        grant: Grant,
        counted_as: str | None,
        *,
        path: str,
        last_event_id: str | None = None,
    ) -> FeedRequest:
        """Check what is asked for.

        Args:
            query: the address' parameters.
            grant: what who asks may do.
            counted_as: see ``addresses.Address``.
            path: the endpoint's, for what is said.
            last_event_id: what a reader of events had last; wins over ``since``.

        Raises:
            RequestError: saying which parameter is wrong, and how it should be.
            Forbidden: for a session that the grant is not for.
        """
        session = query.get("session")
        if session is None:
            raise RequestError(f"The address lacks the session: {path}?session=<id>.")
        grant.check_session(check_session(session))
        # Both are looked at: what is wrong is wrong, also where it does not count.
        positions = [Position.parse(one) for one in (last_event_id, query.get("since")) if one]
        replay = query.get("replay") or None
        if replay is not None and not (replay.isascii() and replay.isdigit() and len(replay) <= 9):
            raise RequestError("'replay' is a whole number: how many kept messages to send first.")
        return cls(
            session=session,
            since=positions[0] if positions else None,
            replay=None if replay is None else int(replay),
            who=identify(query.get("guest"), grant.subject, is_watching=grant.is_watching),
            ticket=Ticket(session, grant, counted_as),
        )
