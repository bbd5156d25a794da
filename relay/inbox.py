"""What facilitators send, on its way into their sessions."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from relay.contribution import Contribution, Sighting
from relay.errors import (
    BrokerError,
    BrokerUnavailable,
    LimitReached,
    RateLimited,
    RequestError,
    UnknownHint,
)
from relay.logs import get_logger
from relay.messages import Ack, Error
from relay.publication import Publication
from relay.reader import Facilitator
from relay.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.broker.broker import Broker, Published
    from relay.broker.streaming import StreamingHints
    from relay.errors import Refusal
    from relay.identity import Identity
    from relay.metrics import Metrics
    from relay.receipts import Receipts
    from relay.room import Room
    from relay.settings import Settings

# Messages of one connection that wait for Redis.
_MAX_WAITING = 16
# The same for all connections of a worker, in messages and in bytes.
_MAX_WAITING_IN_ALL = 4096
_MAX_BYTES_IN_ALL = 16 * 1024 * 1024
# Fewer than the broker's connections: log reads need some, too.
_MAX_TASKS = 6
# Who waits longer is told to try again, instead of keeping the line waiting for Redis.
_MAX_WAIT_S = 5.0
_RETRY_AFTER_MS = 1000
# How long the rest may take when the worker stops.
_FAREWELL_S = 1.0


class Sending:
    """What a worker remembers of somebody who has sent something.

    Made with the first message: most facilitators only read.
    """

    __slots__ = ("bucket", "waiting")

    def __init__(self, bucket: TokenBucket) -> None:
        self.bucket = bucket
        self.waiting: deque[tuple[float, Contribution | Sighting]] = deque()
        """With the time that each came; the first of them is being worked on, or stands in line."""


class Sender(Facilitator, Protocol):
    """What the inbox asks of a connection."""

    sending: Sending | None
    room: Room | None

    @property
    def who(self) -> Identity:
        """Who it is."""


class Inbox:
    """Publishes what facilitators send, and answers them; one for each worker.

    All methods belong to one event loop. Messages of one connection are published in their order, one
    at a time; connections take turns. Few tasks do it, and only while there is something to do.

    Args:
        broker: publishes.
        hints: is told of those that are to stop.
        receipts: is told what was seen.
        settings: bounds and rates.
        metrics: is told what happens.
        clock_s: a clock that does not step back.
    """

    def __init__(
        self,
        broker: Broker,
        hints: StreamingHints,
        receipts: Receipts,
        settings: Settings,
        metrics: Metrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._broker = broker
        self._hints = hints
        self._receipts = receipts
        self._settings = settings
        self._metrics = metrics
        self._clock_s = clock_s
        # Those whose first message waits; who is being worked for is not in it.
        self._line: deque[Sender] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        # Those of them that still look at the line; one that has just ended stays a task for a moment.
        self._working = 0
        self._waiting = 0
        self._bytes = 0
        self._log = get_logger("relay.inbox")

    def __len__(self) -> int:
        """Return how many messages wait for Redis, or are on their way."""
        return self._waiting

    def admit(self, sender: Sender) -> RateLimited | None:
        """Count a message, whatever it is; returns why it can't be taken now."""
        now_s = self._clock_s()
        sending = sender.sending
        if sending is None:
            settings = self._settings
            bucket = TokenBucket(settings.inbound_per_s, settings.inbound_burst, now_s)
            sending = sender.sending = Sending(bucket)
        retry_after_ms = sending.bucket.take(now_s)
        return RateLimited(retry_after_ms) if retry_after_ms else None

    def submit(self, sender: Sender, item: Contribution | Sighting) -> None:
        """Take a message that was admitted; its sender is told later what became of it.

        Raises:
            RateLimited: when too many wait already.
        """
        sending = sender.sending
        if sending is None or sender.room is None:
            raise ValueError("only who is served, and was admitted, can send")
        size = _size(item)
        if (
            len(sending.waiting) >= _MAX_WAITING
            or self._waiting >= _MAX_WAITING_IN_ALL
            or self._bytes + size > _MAX_BYTES_IN_ALL
        ):
            raise RateLimited(_RETRY_AFTER_MS)
        sending.waiting.append((self._clock_s(), item))
        self._waiting += 1
        self._bytes += size
        if len(sending.waiting) == 1:
            self._line.append(sender)
            if self._working < _MAX_TASKS:
                self._working += 1
                task = asyncio.create_task(self._work(), name="inbox")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finish what was taken, within a second."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_FAREWELL_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _work(self) -> None:
        try:
            while self._line:
                await self._serve(self._line.popleft())
        finally:
            self._working -= 1

    async def _serve(self, sender: Sender) -> None:
        """Settle the first message of somebody, and put it behind the others with the next."""
        sending = sender.sending
        if sending is None or sender.room is None:
            return
        came_s, item = sending.waiting[0]
        try:
            answer = await self._settle(sender, sender.room, item, came_s)
        finally:
            sending.waiting.popleft()
            self._waiting -= 1
            self._bytes -= _size(item)
        if sending.waiting:
            self._line.append(sender)
        if answer is not None:
            # Who has gone meanwhile is not told.
            sender.tell(answer)

    async def _settle(
        self, sender: Sender, room: Room, item: Contribution | Sighting, came_s: float
    ) -> Publication | None:
        """Do what a message asks for; returns the answer."""
        try:
            self._check_wait(came_s)
            if isinstance(item, Sighting):
                await self.note_seen(room, sender.name, item)
                answer = None
            else:
                position = str((await self.publish(room, item)).position)
                answer = Publication(None, Ack(ref=item.ref, position=position).to_json())
        except RequestError as error:
            self._metrics.inbound.labels(error.code).inc()
            return error_answer(error, item.ref)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sender has to know
            self._metrics.inbound.labels("unavailable").inc()
            if isinstance(error, BrokerError):
                self._log.warning(
                    "message not published", session=room.session, by=sender.name, error=str(error)
                )
            else:
                self._log.exception("message not published", session=room.session, by=sender.name)
            return Publication(None, _unavailable(item).to_json())
        self._metrics.inbound.labels("ok").inc()
        return answer

    def _check_wait(self, came_s: float) -> None:
        if self._clock_s() - came_s > _MAX_WAIT_S:
            raise BrokerUnavailable("it has waited too long")

    async def publish(self, room: Room, item: Contribution) -> Published:
        """Publish a contribution now, whoever waits.

        Args:
            room: its session's.
            item: what is published.

        Raises:
            UnknownHint: for a hint that the session does not have.
            BrokerError: Redis could not.
        """
        if item.hint is not None:
            if not await room.known_hints({item.hint}):
                raise UnknownHint(room.session)
            if item.cancels:
                # First: so the agent learns of it with its next step, also when it does not listen.
                await self._hints.request_cancel(room.session, item.hint)
        published = await self._broker.publish(
            room.session, item.payload, item.dedupe_id, dedupe_s=self._settings.log_ttl_s
        )
        self._metrics.acked.labels(item.kind).inc()
        return published

    async def note_seen(self, room: Room, name: str, item: Sighting) -> None:
        """Note what somebody has seen.

        Args:
            room: its session's.
            name: whose receipts they are.
            item: the hints.

        Raises:
            UnknownHint: when the session has none of the hints.
            BrokerError: Redis could not.
        """
        known = await room.known_hints(item.hints)
        if not known:
            raise UnknownHint(room.session)
        self._receipts.note_seen(room.session, known, name)


def error_answer(error: Refusal, ref: str | None = None) -> Publication:
    """Return what is said to somebody whose request or message was refused."""
    retry_after_ms = (
        error.retry_after_ms if isinstance(error, (RateLimited, LimitReached)) else None
    )
    message = Error(code=error.code, text=str(error), ref=ref, retry_after_ms=retry_after_ms)
    return Publication(None, message.to_json())


def _unavailable(item: Contribution | Sighting) -> Error:
    text = (
        "Redis is away: this may or may not have been published. Send it again under its id."
        if isinstance(item, Contribution)
        else "Redis is away: this was not noted. Send it again."
    )
    return Error(code="unavailable", text=text, ref=item.ref)


def _size(item: Contribution | Sighting) -> int:
    if isinstance(item, Contribution):
        return len(item.payload)
    return sum(map(len, item.hints))
