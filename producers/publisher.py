"""Publishing from an agent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from producers.outbox import Outbox
from relay.broker.broker import Broker
from relay.errors import InvalidMessage
from relay.messages import Error, Hint, Transcript, check_size, explain, new_id
from relay.session import check_session

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from relay.messages import Message
    from relay.position import Position

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


class Sent(NamedTuple):
    """A published message: its id, and where it stands in its session."""

    id: str
    position: Position


class HintPublisher:
    """Publishes an agent's hints and transcript.

    Usage::

        async with HintPublisher(redis_url) as publisher:
            await publisher.hint("demo", "Ask what the letter smelled like.")

    Every method checks the message first and returns when Redis has taken it: from then on it is in
    the session's log, and every facilitator gets it, live or after a reconnect. Safe to use from many
    tasks at once; messages of one task keep their order.

    While Redis is away, messages wait in a bounded buffer, in the order in which they came, each until
    ``give_up_s`` is over; a message that finds the buffer full is refused with ``BufferFull``. Tries
    are repeated under the same id, so one whose outcome nobody knows can't become a second message.

    Args:
        redis_url: redis://, rediss:// or unix://.
        max_bytes: larger messages are refused before Redis sees them.
        give_up_s: how long a message is tried before ``BrokerUnavailable`` is raised.
        timeout_s: how long one try may take.
        max_buffered: how many messages may wait while Redis is away; more are refused.
        max_buffered_bytes: the same bound in bytes.
        log_messages: how many messages of a session are kept, approximately.
        log_ttl_s: how long a session is kept after its newest message.
        dedupe_s: how long a message id is remembered.

    Raises:
        SettingsError: when ``redis_url`` is not one.
    """

    def __init__(
        self,
        redis_url: str = DEFAULT_REDIS_URL,
        *,
        max_bytes: int = 64 * 1024,
        give_up_s: float = 10.0,
        timeout_s: float = 3.0,
        max_buffered: int = 1000,
        max_buffered_bytes: int = 8 * 1024 * 1024,
        log_messages: int = 1000,
        log_ttl_s: float = 86_400,
        dedupe_s: float = 300,
    ) -> None:
        broker = Broker(
            redis_url,
            timeout_s=timeout_s,
            log_messages=log_messages,
            log_ttl_s=log_ttl_s,
            dedupe_s=dedupe_s,
        )
        self._broker = broker
        self._outbox = Outbox(
            broker, max_messages=max_buffered, max_bytes=max_buffered_bytes, give_up_s=give_up_s
        )
        self._max_bytes = max_bytes

    async def hint(self, session: str, text: str, **fields: Any) -> Sent:
        """Publish a hint.

        Args:
            session: 1 to 128 characters of ``A-Za-z0-9_.~-``.
            text: what the facilitator reads.
            fields: ``id``, ``timestamp``, ``priority`` ("low", "normal", "high"), ``category``,
                ``source``, ``reply_to``, ``expires_at``, ``meta``, and any field of your own.

        Raises:
            InvalidSession, InvalidMessage: nothing was published; the text says what to change.
            BufferFull: Redis is away and too much waits already; this message was not taken.
            BrokerUnavailable: Redis did not come back in time; publishing again under the same ``id``
                is safe.
            BrokerFull, BrokerError: Redis refused.
        """
        return await self._send(session, Hint, {"text": text, **fields})

    async def transcript(
        self, session: str, text: str, *, speaker: str | None = None, **fields: Any
    ) -> Sent:
        """Publish what was said; raises as ``hint`` does.

        Args:
            session: as for ``hint``.
            text: what was said.
            speaker: who said it.
            fields: ``id``, ``timestamp``, and ``final=False`` for an interim result, which a later
                one with the same ``id`` replaces; ``final=True`` for that later one.
        """
        return await self._send(session, Transcript, {"text": text, "speaker": speaker, **fields})

    async def error(self, session: str, text: str, *, code: str = "agent", **fields: Any) -> Sent:
        """Tell the facilitators that something went wrong; raises as ``hint`` does."""
        return await self._send(session, Error, {"text": text, "code": code, **fields})

    async def close(self) -> None:
        """Close the connections; what still waits for Redis fails with ``BrokerUnavailable``."""
        await self._outbox.close()
        await self._broker.close()

    @property
    def buffered(self) -> int:
        """How many messages wait for Redis now."""
        return len(self._outbox)

    @property
    def refused(self) -> int:
        """How many messages were refused because too many waited."""
        return self._outbox.refused

    async def __aenter__(self) -> Self:
        """Return the publisher; it connects when it first publishes."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self.close()

    async def _send(self, session: str, kind: type[Message], fields: dict[str, Any]) -> Sent:
        check_session(session)
        if "position" in fields:
            raise InvalidMessage("'position' is given by Redis; leave it out.")
        if fields.get("id") is None:
            fields["id"] = new_id()
        try:
            message = kind.model_validate(fields)
        except ValidationError as error:
            raise explain(error) from None
        payload = message.to_json()
        check_size(payload, self._max_bytes)
        message_id: str = fields["id"]
        return Sent(
            message_id,
            await self._outbox.publish(session, payload, _dedupe_id(message, message_id)),
        )


def _dedupe_id(message: Message, message_id: str) -> str:
    """Return what makes this publication the same as another one: its type and its id.

    An interim transcript, its successors and the final one share an id and are all published; the
    same text again is the same version.
    """
    if isinstance(message, Transcript) and message.final is not None:
        version = f"{message.final} {message.speaker} {message.text}".encode()
        return f"transcript:{message_id}:{hashlib.blake2b(version, digest_size=12).hexdigest()}"
    return f"{message.type}:{message_id}"
