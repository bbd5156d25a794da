"""What of all that a listener gets is news to an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError

from relay.errors import InvalidMessage
from relay.messages import Connection, Hint, Message, Transcript, parse_message
from relay.position import Position

if TYPE_CHECKING:
    from typing import Final

# What relays, clients and publishers say to one another about the connection, or about who is there.
_NO_NEWS: Final = frozenset(
    {"connection", "heartbeat", "presence", "report", "ack", "drain", "ping", "seen"}
)


class News:
    """Picks the messages that are new to an agent, each once.

    Pure: it is told what came, in the order in which it came.

    Args:
        since: the newest position that the agent has; None when it wants what comes from now on.
    """

    def __init__(self, since: Position | None) -> None:
        self._newest = since

    def take(self, payload: bytes) -> Message | None:
        """Return what came, read; None when it is no news.

        A ``Connection`` is returned only when history is gone; what is kept follows it.
        """
        message = read_message(payload)
        if isinstance(message, Connection):
            return self._connected(message)
        if message is None or message.type in _NO_NEWS:
            return None
        position = Position.of_payload(payload)
        if position is None:
            return message
        if self._newest is not None and position <= self._newest:
            # In a snapshot, a final transcript line stands where its first interim version stood, and a
            # hint that grows where it began: who has it may lack its newest text.
            has_versions = (isinstance(message, Transcript) and message.final is not None) or (
                isinstance(message, Hint) and message.status is not None
            )
            return message if has_versions else None
        self._newest = position
        return message

    def _connected(self, connection: Connection) -> Connection | None:
        head = None if connection.position is None else Position.parse(connection.position)
        if connection.recovered is None and connection.snapshot == 0:
            self._newest = head
        if connection.recovered is not False:
            return None
        if self._newest is not None and (head is None or head.epoch < self._newest.epoch):
            # Another log, which knows nothing of what was before: all of it is new.
            self._newest = None
        return connection


def read_message(payload: bytes) -> Message | None:
    """Return a message as its own type's model, as a plain ``Message`` when none fits.

    None for what is no message at all: no JSON object, or one without a ``type``.
    """
    try:
        return parse_message(payload)
    except InvalidMessage:
        pass
    try:
        # Of a later version, or of a producer that does not keep to the protocol: shown as it is.
        return Message.model_validate(orjson.loads(payload))
    except (orjson.JSONDecodeError, ValidationError):
        return None
