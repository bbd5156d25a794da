"""What waits to be published while Redis is away: bounded, in order, each message once."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from relay.backoff import full_jitter_s
from relay.errors import BrokerError, BrokerUnavailable, BufferFull
from relay.logs import get_logger

if TYPE_CHECKING:
    from relay.broker.broker import Broker
    from relay.position import Position


@dataclass(slots=True)
class _Waiting:
    session: str
    payload: bytes
    dedupe_id: str
    deadline_s: float
    published: asyncio.Future[Position]


class Outbox:
    """Publishes at once while Redis is there, and in order from a bounded buffer while it is not.

    While anything waits, everything waits behind it: so the order in which messages were handed in
    is kept. A try whose outcome nobody knows is repeated under the same id, which can't become a
    second message.

    Args:
        broker: publishes.
        max_messages: how many messages may wait.
        max_bytes: how many bytes of them may wait.
        give_up_s: how long one message waits.
    """

    def __init__(
        self, broker: Broker, *, max_messages: int, max_bytes: int, give_up_s: float
    ) -> None:
        self._broker = broker
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._give_up_s = give_up_s
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._flushing: asyncio.Task[None] | None = None
        self._log = get_logger("producers.outbox")
        self.refused = 0
        """How many messages were refused because the buffer was full."""
        self.expired = 0
        """How many messages waited in vain."""

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._waiting)

    async def publish(self, session: str, payload: bytes, dedupe_id: str) -> Position:
        """Publish one message; returns when Redis has it.

        Raises:
            BufferFull: too much waits already; nothing was published.
            BrokerUnavailable: it waited ``give_up_s`` in vain. It may have been published, if an
                answer was lost; publishing it again under its id is safe.
            BrokerError: Redis refused it.
        """
        deadline_s = asyncio.get_running_loop().time() + self._give_up_s
        if not self._waiting:
            try:
                return (await self._broker.publish(session, payload, dedupe_id)).position
            except BrokerUnavailable as error:
                if self._give_up_s <= 0:
                    raise
                if not self._waiting:
                    self._log.warning("redis away, messages wait", error=str(error))
        return await self._wait(session, payload, dedupe_id, deadline_s)

    async def close(self) -> None:
        """Stop; what still waits fails with ``BrokerUnavailable``."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        while self._waiting:
            self._fail(self._take(), BrokerUnavailable("The publisher was closed meanwhile."))

    async def _wait(
        self, session: str, payload: bytes, dedupe_id: str, deadline_s: float
    ) -> Position:
        if len(self._waiting) >= self._max_messages or self._bytes + len(payload) > self._max_bytes:
            self.refused += 1
            raise BufferFull(len(self._waiting), self._bytes)
        published: asyncio.Future[Position] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(session, payload, dedupe_id, deadline_s, published))
        self._bytes += len(payload)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush(), name="outbox")
        return await published

    async def _flush(self) -> None:
        """Publish what waits, the oldest first, until nothing waits."""
        loop = asyncio.get_running_loop()
        failures = 0
        flushed = 0
        while self._waiting:
            oldest = self._waiting[0]
            if oldest.published.cancelled():
                # Its caller has gone. It may have been published by a try before; no more tries.
                self._take()
                continue
            try:
                published = await self._broker.publish(
                    oldest.session, oldest.payload, oldest.dedupe_id
                )
            except BrokerUnavailable as error:
                pause_s = full_jitter_s(failures, random=random.random, base_s=0.1, cap_s=1.0)
                failures += 1
                self._expire(loop.time() + pause_s, error)
                await asyncio.sleep(pause_s)
            except BrokerError as error:
                self._fail(self._take(), error)
            else:
                failures = 0
                flushed += 1
                self._succeed(self._take(), published.position)
        self._log.info("redis back", published=flushed, expired=self.expired, refused=self.refused)

    def _take(self) -> _Waiting:
        oldest = self._waiting.popleft()
        self._bytes -= len(oldest.payload)
        return oldest

    def _expire(self, now_s: float, error: BrokerUnavailable) -> None:
        """Fail those whose time is over; they wait in the order of their deadlines."""
        while self._waiting and self._waiting[0].deadline_s <= now_s:
            self.expired += 1
            self._fail(self._take(), error)

    @staticmethod
    def _succeed(waiting: _Waiting, position: Position) -> None:
        if not waiting.published.done():
            waiting.published.set_result(position)

    @staticmethod
    def _fail(waiting: _Waiting, error: BrokerError) -> None:
        if not waiting.published.done():
            waiting.published.set_exception(error)
