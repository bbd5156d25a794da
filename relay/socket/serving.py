"""What all connections of a worker share."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from relay.contribution import Contribution, Sighting, ref_of, refuse_what_the_relay_sets
from relay.errors import InvalidMessage, RequestError
from relay.inbox import error_answer
from relay.messages import Ping, Seen, check_inbound, parse_object
from relay.socket.heartbeat import Heartbeat
from relay.socket.inbound import Inbound
from relay.socket.records import Records

if TYPE_CHECKING:
    from relay.hub import Hub
    from relay.inbox import Inbox
    from relay.metrics import Metrics
    from relay.publication import Publication
    from relay.settings import Settings
    from relay.socket.reader import FeedReader


class Serving:
    """The hub, the inbox, the records, the heartbeat and the parser; one for each worker.

    Attributes:
        inbound: an ``Inbound`` at rest, for whoever receives something.
    """

    __slots__ = (
        "_max_inbound_bytes", "_max_publication_bytes", "heartbeat", "heartbeat_s", "hub", "inbound",
        "inbox", "records",
    )  # fmt: skip

    def __init__(self, hub: Hub, inbox: Inbox, settings: Settings, metrics: Metrics) -> None:
        self.hub = hub
        self.inbox = inbox
        self.records = Records(metrics)
        self.heartbeat_s = settings.heartbeat_s
        self.heartbeat = Heartbeat(settings.heartbeat_s)
        self._max_inbound_bytes = settings.max_inbound_bytes
        self._max_publication_bytes = settings.max_publication_bytes
        self.inbound = self.new_inbound()

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
            refusal = too_many or error
        else:
            refusal = too_many
        self.records.refused_inbound(visit, client, refusal)
        return error_answer(refusal, ref)

    def _take(self, reader: FeedReader, fields: dict[str, Any]) -> None:
        message = check_inbound(fields)
        if isinstance(message, Ping):
            reader.ask_heartbeat()
            self.records.inbound()
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


def _text_of(message: str | bytes) -> str:
    if isinstance(message, bytes):
        raise InvalidMessage("Send text frames with JSON, not binary frames.")
    return message
