"""What all connections of a worker share."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from relay.contribution import Contribution, Sighting, ref_of, refuse_what_the_relay_sets
from relay.errors import Forbidden, InvalidMessage, KeysUnavailable, RateLimited, RequestError
from relay.inbox import error_answer
from relay.messages import Ping, Refresh, Refreshed, Seen, check_inbound, parse_object
from relay.publication import Publication
from relay.socket.heartbeat import Heartbeat
from relay.socket.inbound import Inbound
from relay.socket.records import Records

if TYPE_CHECKING:
    from relay.admission import Ticket
    from relay.gate import Gate
    from relay.hub import Hub
    from relay.inbox import Inbox
    from relay.metrics import Metrics
    from relay.settings import Settings
    from relay.socket.reader import FeedReader
    from relay.token_watch import TokenWatch

# Newer tokens that wait for their issuer's keys.
_MAX_REFRESHING = 100
_RETRY_AFTER_MS = 1000


class Serving:
    """The hub, the inbox, the records, the heartbeat and the parser; one for each worker.

    Attributes:
        inbound: an ``Inbound`` at rest, for whoever receives something.
    """

    __slots__ = (
        "_gate", "_max_inbound_bytes", "_max_publication_bytes", "_refreshing", "_token_watch",
        "heartbeat", "heartbeat_s", "hub", "inbound", "inbound_bytes", "inbox", "records",
    )  # fmt: skip

    def __init__(
        self,
        hub: Hub,
        inbox: Inbox,
        gate: Gate,
        token_watch: TokenWatch,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self.hub = hub
        self.inbox = inbox
        self._gate = gate
        self._token_watch = token_watch
        self._refreshing: set[asyncio.Task[None]] = set()
        self.records = Records(metrics)
        # With short heartbeats, too, the largest message is no flood.
        self.inbound_bytes = max(
            int(settings.inbound_bytes_per_s * settings.heartbeat_s), 2 * settings.max_inbound_bytes
        )
        """What one facilitator may send within a heartbeat."""
        self.heartbeat_s = settings.heartbeat_s
        self.heartbeat = Heartbeat(settings.heartbeat_s)
        self._max_inbound_bytes = settings.max_inbound_bytes
        self._max_publication_bytes = settings.max_publication_bytes
        self.inbound = self.new_inbound()

    def let_in(self, reader: FeedReader, ticket: Ticket) -> None:
        """Count a connection in; ``let_out`` counts it out again.

        Raises:
            LimitReached: when there are too many; then there is nothing to count out.
        """
        self._gate.admission.enter(ticket)
        reader.ticket = ticket
        self._token_watch.add(reader)

    def let_out(self, reader: FeedReader) -> None:
        """Count a connection out; one that is out, or never was in, is fine."""
        if reader.ticket is not None:
            self._token_watch.discard(reader)
            self._gate.admission.leave(reader.ticket)
            reader.ticket = None

    def new_inbound(self) -> Inbound:
        """Return a parser for one connection alone."""
        return Inbound(self._max_inbound_bytes)

    def handle(
        self, reader: FeedReader, message: str | bytes, *, visit: int, client: str | None
    ) -> Publication | None:
        """Act on what a facilitator sent; returns the answer, None when there is none now.

        What needs Redis is answered later, by ``reader.tell``.

        Args:
            reader: the facilitator's.
            message: a text message, or a binary one.
            visit: ties the log's lines together; see ``Records``.
            client: the peer's address, for the log.
        """
        too_many = self.inbox.admit(reader)
        ref = None
        try:
            fields = parse_object(_text_of(message))
            ref = ref_of(fields)
            if too_many is None:
                self._take(reader, fields)
                return None
        except RequestError as error:
            # Not kept in a name: its traceback refers to this frame, and the two to one another.
            return self._refused(too_many or error, ref, visit, client)
        return self._refused(too_many, ref, visit, client)

    def _refused(
        self, error: RequestError, ref: str | None, visit: int, client: str | None
    ) -> Publication:
        self.records.refused_inbound(visit, client, error)
        return error_answer(error, ref)

    def _take(self, reader: FeedReader, fields: dict[str, Any]) -> None:
        message = check_inbound(fields)
        if isinstance(message, Ping):
            reader.ask_heartbeat()
            self.records.inbound()
        elif isinstance(message, Refresh):
            self._start_refresh(reader, message.token)
        elif not reader.grant.may_contribute:
            raise Forbidden("Your token lets you read here, and not send.")
        elif isinstance(message, Seen):
            refuse_what_the_relay_sets(fields)
            self.inbox.submit(reader, Sighting(ref_of(fields), frozenset(message.hints)))
        else:
            contribution = Contribution.of(
                fields,
                message,
                reader.who,
                now_s=time.time(),
                max_bytes=self._max_publication_bytes,
            )
            self.inbox.submit(reader, contribution)

    def _start_refresh(self, reader: FeedReader, token: str) -> None:
        if len(self._refreshing) >= _MAX_REFRESHING:
            raise RateLimited(_RETRY_AFTER_MS)
        # A task, because a key that is not known yet has to be fetched.
        task = asyncio.create_task(self._refresh(reader, token), name="refresh")
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def _refresh(self, reader: FeedReader, token: str) -> None:
        try:
            answer = await self._refreshed(reader, token)
        except (RequestError, KeysUnavailable) as error:
            reader.tell(error_answer(error))
        else:
            if answer is not None:
                reader.tell(Publication(None, answer.to_json()))

    async def _refreshed(self, reader: FeedReader, token: str) -> Refreshed | None:
        """Give a connection what a newer token allows; None when it has gone meanwhile."""
        if self._gate.tokens is None:
            raise InvalidMessage("This relay asks for no tokens: there is nothing to refresh.")
        grant = await self._gate.tokens.verify(token)
        old = reader.ticket
        if old is None:
            return None
        if grant.subject != old.grant.subject:
            raise Forbidden("The new token is somebody else's ('sub'): connect anew with it.")
        if grant.is_watching != old.grant.is_watching:
            raise Forbidden("The new token has another role: connect anew with it.")
        grant.check_session(old.session)
        new = old._replace(grant=grant)
        self._token_watch.discard(reader)
        self._gate.admission.exchange(old, new)
        reader.ticket = new
        self._token_watch.add(reader)
        return Refreshed(expires_at=grant.expires_at_s or 0.0, role=str(grant.role))


def _text_of(message: str | bytes) -> str:
    if isinstance(message, bytes):
        raise InvalidMessage("Send text frames with JSON, not binary frames.")
    return message
