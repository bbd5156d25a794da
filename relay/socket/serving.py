"""What all connections of a worker share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.errors import InvalidMessage
from relay.messages import Error, Ping, parse_inbound
from relay.publication import Publication
from relay.socket.heartbeat import Heartbeat
from relay.socket.inbound import Inbound
from relay.socket.records import Records

if TYPE_CHECKING:
    from relay.hub import Hub
    from relay.metrics import Metrics
    from relay.settings import Settings
    from relay.socket.reader import FeedReader


class Serving:
    """The hub, the records, the heartbeat and the parser; one for each worker.

    Attributes:
        inbound: an ``Inbound`` at rest, for whoever receives something.
    """

    __slots__ = ("_max_inbound_bytes", "heartbeat", "heartbeat_s", "hub", "inbound", "records")

    def __init__(self, hub: Hub, settings: Settings, metrics: Metrics) -> None:
        self.hub = hub
        self.records = Records(metrics)
        self.heartbeat_s = settings.heartbeat_s
        self.heartbeat = Heartbeat(settings.heartbeat_s)
        self._max_inbound_bytes = settings.max_inbound_bytes
        self.inbound = self.new_inbound()

    def new_inbound(self) -> Inbound:
        """Return a parser for one connection alone."""
        return Inbound(self._max_inbound_bytes)

    def handle(
        self, reader: FeedReader, message: str | bytes, *, visit: int, client: str | None
    ) -> Publication | None:
        """Act on what a facilitator sent; returns the answer, None when there is none.

        Args:
            reader: the facilitator's.
            message: a text message, or a binary one.
            visit: ties the log's lines together; see ``Records``.
            client: the peer's address, for the log.
        """
        try:
            parsed = parse_inbound(_text_of(message))
        except InvalidMessage as error:
            self.records.bad_inbound(visit, client, error)
            return Publication(None, Error(code=error.code, text=str(error)).to_json())
        self.records.inbound()
        if isinstance(parsed, Ping):
            reader.ask_heartbeat()
        return None


def _text_of(message: str | bytes) -> str:
    if isinstance(message, bytes):
        raise InvalidMessage("Send text frames with JSON, not binary frames.")
    return message
