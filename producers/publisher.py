"""Publishing from an agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from weakref import WeakSet

from pydantic import ValidationError

from producers.listener import Listeners
from producers.news import News
from producers.outbox import Outbox
from producers.patience import patiently
from producers.receipts import read_receipt
from producers.streaming import DEFAULT_WINDOW_MS, StreamingHint
from producers.tap import Tap
from producers.watching import Watching
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard
from relay.broker.streaming import StreamingHints
from relay.errors import InvalidMessage, PublisherClosed
from relay.messages import Error, Hint, Transcript, check_size, dedupe_id, explain, new_id
from relay.position import Position
from relay.session import check_session

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable
    from types import TracebackType
    from typing import Self

    from producers.listener import Listener
    from producers.receipts import Receipt
    from relay.messages import Message

_M = TypeVar("_M", bound="Message")

DEFAULT_REDIS_URL = "redis://127.0.0.1:6379/0"


class Sent(NamedTuple):
    """A published message: its id, and where it stands in its session."""

    id: str
    position: Position


class HintPublisher:
    """Publishes an agent's hints and transcript, and tells it what its facilitators do.

    Usage::

        async with HintPublisher(redis_url) as publisher:
            await publisher.hint("demo", "Ask what the letter smelled like.")
            async with publisher.stream_hint("demo") as hint:
                async for token in model:
                    await hint.append(token)

    ``hint``, ``transcript`` and ``error`` publish whole messages, ``stream_hint`` and ``stream`` one
    that grows; ``listen`` gives what facilitators say, ``watching`` and ``wait_for_facilitator``
    whether any are there, ``receipt`` what became of a hint.

    Every method that publishes checks the message first and returns when Redis has taken it: from then
    on it is in the session's log, and every facilitator gets it, live or after a reconnect. Safe to use
    from many tasks at once; messages of one task keep their order.

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
        self._give_up_s = give_up_s
        self._hints = StreamingHints(broker)
        self._presence = PresenceBoard(broker)
        self._tap = Tap(redis_url, broker, timeout_s=timeout_s)
        self._listeners = Listeners(redis_url, broker, timeout_s=timeout_s)
        self._streaming: WeakSet[StreamingHint] = WeakSet()
        self._is_closed = False
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

    def stream_hint(
        self, session: str, *, window_ms: int = DEFAULT_WINDOW_MS, **fields: Any
    ) -> StreamingHint:
        """Return a hint that grows while its block runs; see ``StreamingHint``.

        Usage::

            async with publisher.stream_hint("demo", priority="high") as hint:
                async for token in model:
                    await hint.append(token)

        Args:
            session: as for ``hint``.
            window_ms: tokens are sent together, at most one message in this time; 0 to 500. Long hints
                are sent in larger pieces. 0 sends every token by itself.
            fields: as for ``hint``. An ``id`` that a producer which died has left growing is taken
                over, and begins anew.

        Raises:
            InvalidSession, InvalidMessage, RequestError: the text says what to change.
            PublisherClosed: the publisher was closed.
        """
        self._check_session(session)
        for name in ("text", "status"):
            if name in fields:
                raise InvalidMessage(f"'{name}' is what streaming makes; leave it out.")
        hint = StreamingHint(
            self._hints,
            self._tap,
            session,
            _message(Hint, {"text": "", "status": "streaming", **fields}),
            max_bytes=self._max_bytes,
            give_up_s=self._give_up_s,
            window_ms=window_ms,
        )
        self._streaming.add(hint)
        return hint

    async def stream(
        self,
        session: str,
        tokens: AsyncIterable[str] | Iterable[str],
        *,
        window_ms: int = DEFAULT_WINDOW_MS,
        **fields: Any,
    ) -> StreamingHint:
        """Publish a hint that grows by what an iterator yields; returns it when it is over.

        The hint's ``status`` tells whether it is ``complete``, or ``cancelled`` by a facilitator: then
        the iterator is stopped where it waits. It is closed in any case, if it can be.

        Args:
            session: as for ``hint``.
            tokens: texts; an asynchronous iterator, or a plain one that does not block.
            window_ms: as for ``stream_hint``.
            fields: as for ``hint``.

        Raises:
            What ``stream_hint`` and ``StreamingHint`` raise, and what the iterator does.
        """
        hint = self.stream_hint(session, window_ms=window_ms, **fields)
        source = _iterated(tokens)
        try:
            async with hint:
                if isinstance(source, AsyncIterable):
                    async for token in source:
                        await hint.append(token)
                else:
                    for token in source:
                        await hint.append(token)
        finally:
            if hasattr(source, "aclose"):
                await source.aclose()
            elif hasattr(source, "close"):
                source.close()
        return hint

    def listen(self, session: str, since: Position | str | None = None) -> AsyncGenerator[Message]:
        """Yield what is published to a session: by facilitators, by this agent, and by others.

        Usage::

            async for message in publisher.listen("demo"):
                match message:
                    case Feedback(hint=hint, action=action, by=by): ...
                    case Command(name="steer", text=text): ...

        Each message comes once, in order, over any restart of Redis, until the iteration or the
        publisher is closed; while Redis is away this waits. Bound it with ``asyncio.timeout``.
        Messages are ``relay.messages`` models: ``Feedback``, ``Command``, ``Hint``, ``Append``,
        ``Transcript``, ``Error``, and ``Message`` for types of later versions. ``message.position``
        is where it stands; one that is not kept has none.

        Args:
            session: as for ``hint``.
            since: everything after this position; without it, from the first step of the iteration on.
                When that can't be had because history is gone, the first message is a ``Connection``
                with ``recovered`` False, and what is kept after ``since`` follows; it can come later,
                too.

        Raises:
            InvalidSession, InvalidPosition: before anything is asked.
            PublisherClosed: the publisher was closed.
        """
        self._check_session(session)
        position = Position.parse(since) if isinstance(since, str) else since
        return self._news(self._listeners.listener(session), position)

    def watching(self, session: str) -> Watching:
        """Return how many facilitators are watching: ``await`` it, or iterate over it as it changes.

        Usage::

            if await publisher.watching("demo"): ...
            async for facilitators in publisher.watching("demo"): ...

        Raises:
            InvalidSession: at once.
            PublisherClosed: the publisher was closed.
        """
        self._check_session(session)
        return Watching(self._tap, self._presence, session, give_up_s=self._give_up_s)

    async def wait_for_facilitator(self, session: str, timeout_s: float | None = None) -> int:
        """Return how many facilitators are watching as soon as there is one; waits for Redis, too.

        Raises:
            TimeoutError: nobody came within ``timeout_s``.
        """
        async with (
            asyncio.timeout(timeout_s),
            aclosing(aiter(self.watching(session))) as changes,
        ):
            async for facilitators in changes:
                if facilitators:
                    return facilitators
        raise PublisherClosed("The publisher was closed meanwhile.")

    async def receipt(self, session: str, hint_id: str) -> Receipt:
        """Return what became of a hint so far: how many got it, who saw it, and what they did.

        It asks the relays, which takes up to 0.2 s; safe to repeat.

        Raises:
            UnknownHint: the session has no such hint, or does not keep it any more.
            BrokerUnavailable: Redis did not come back within ``give_up_s``.
            BrokerError: Redis refused.
        """
        self._check_session(session)
        return await patiently(
            lambda: read_receipt(self._broker, session, hint_id), self._give_up_s
        )

    async def close(self) -> None:
        """Close the connections, and end all iterations; closing again is fine.

        What still waits for Redis fails with ``BrokerUnavailable``; hints that stream are interrupted.
        """
        self._is_closed = True
        await asyncio.gather(*(hint.interrupt() for hint in self._streaming))
        await self._tap.close()
        await self._listeners.close()
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
        self._check_session(session)
        message = _message(kind, fields)
        payload = message.to_json()
        check_size(payload, self._max_bytes)
        message_id: str = fields["id"]
        return Sent(
            message_id,
            await self._outbox.publish(session, payload, dedupe_id(message, message_id)),
        )

    async def _news(self, listener: Listener, since: Position | None) -> AsyncGenerator[Message]:
        news = News(since)
        replay = 0 if since is None else None
        async with aclosing(listener.messages(since, replay)) as payloads:
            async for payload in payloads:
                message = news.take(payload)
                if message is not None:
                    yield message

    def _check_session(self, session: str) -> None:
        if self._is_closed:
            raise PublisherClosed("The publisher is closed; make another one.")
        check_session(session)


def _message(kind: type[_M], fields: dict[str, Any]) -> _M:
    """Return the message with these fields, which get an id if they have none.

    Raises:
        InvalidMessage: naming the field that breaks its rule.
    """
    if "position" in fields:
        raise InvalidMessage("'position' is given by Redis; leave it out.")
    if fields.get("id") is None:
        fields["id"] = new_id()
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise explain(error) from None


def _iterated(tokens: AsyncIterable[str] | Iterable[str]) -> Any:
    """Return the iterator: it, and not what made it, can be closed."""
    if isinstance(tokens, str):
        return iter((tokens,))
    return aiter(tokens) if isinstance(tokens, AsyncIterable) else iter(tokens)
