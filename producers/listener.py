"""Reading a session as an agent or a terminal does: with the relay's own recovery, without a relay."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import WeakSet

from relay.broker.broker import Broker
from relay.errors import BrokerUnavailable
from relay.hub import Hub
from relay.messages import Connection
from relay.metrics import Metrics
from relay.room import WRITE_BYTES
from relay.session import check_session
from relay.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from relay.close_codes import CloseCode
    from relay.position import Position
    from relay.publication import Publication
    from relay.reader import Fresh, Welcome
    from relay.room import Room


class Listener:
    """One reader of one session; get it from ``listening``, then iterate over it.

    Yields the JSON of each message as bytes: first a ``connection`` message, then what was asked for,
    then live publications. Another ``connection`` message says how it went on: with ``recovered`` true
    this reader was slow and misses nothing; with false the log was lost, and a snapshot follows.
    """

    # reader.Reader: not counted among those who watch.
    facilitator = None

    def __init__(self, hub: Hub, session: str) -> None:
        self._hub = hub
        self._session = session
        self.generation = -1
        self.name = ""
        self._cursor = 0
        self._welcome: Welcome | None = None
        self._wakeup = asyncio.Event()
        self._closed = asyncio.Event()

    # reader.Reader

    def wake(self, _fresh: Fresh) -> bool:
        """Wake the iteration."""
        self._wakeup.set()
        return False

    def restart(self, welcome: Welcome) -> None:
        """Begin anew after the message that is being handed out."""
        self.generation = welcome.generation
        self._welcome = welcome
        self._wakeup.set()

    def end(self, code: CloseCode) -> None:
        """Pass over it: there is no other relay to go to, and Redis may come back."""

    def close(self) -> None:
        """End the iteration."""
        self._closed.set()
        self._wakeup.set()

    async def messages(
        self, since: Position | None = None, replay: int | None = None
    ) -> AsyncGenerator[bytes]:
        """Yield the session's messages; see the class. Ends when it or the listener is closed."""
        room = await self._join(since, replay)
        position = since
        try:
            while room is not None and not self._closed.is_set():
                self._wakeup.clear()
                if (next_welcome := self._take_welcome()) is not None:
                    self._cursor = next_welcome.cursor
                    yield self._greeting(next_welcome)
                    for publication in next_welcome.backlog.publications:
                        yield publication.payload
                    position = next_welcome.position
                publications = self._unread(room)
                if publications is None:
                    # Too slow for the ring: come back as a reconnecting client would.
                    self._hub.leave(room, self)
                    room = await self._join(position, None)
                    continue
                for publication in publications:
                    self._cursor += 1
                    position = publication.position or position
                    yield publication.payload
                    if self.generation != room.feed.generation or self._has_welcome:
                        break
                if not publications and not self._closed.is_set():
                    await self._wakeup.wait()
        finally:
            if room is not None:
                self._hub.leave(room, self)

    async def _join(self, since: Position | None, replay: int | None) -> Room | None:
        """Join the session, however long Redis is away; None when the listener is closed."""
        joining = asyncio.ensure_future(self._hub.join(self._session, self, since, replay))
        closed = asyncio.ensure_future(self._closed.wait())
        joined: Room | None = None
        try:
            await asyncio.wait({joining, closed}, return_when=asyncio.FIRST_COMPLETED)
            if joining.done():
                joined, welcome = joining.result()
                self.restart(welcome)
            return joined
        finally:
            closed.cancel()
            joining.cancel()
            await asyncio.wait({joining, closed})
            if joined is None and not joining.cancelled() and joining.exception() is None:
                # It came in while this was cancelled.
                self._hub.leave(joining.result()[0], self)

    @property
    def _has_welcome(self) -> bool:
        return self._welcome is not None

    def _take_welcome(self) -> Welcome | None:
        welcome, self._welcome = self._welcome, None
        return welcome

    def _unread(self, room: Room) -> list[Publication] | None:
        if self.generation != room.feed.generation:
            # A new start is on its way.
            return []
        return room.feed.read(self._cursor, WRITE_BYTES)

    def _greeting(self, welcome: Welcome) -> bytes:
        backlog = welcome.backlog
        return Connection(
            session=self._session,
            position=None if welcome.position is None else str(welcome.position),
            recovered=backlog.recovered,
            snapshot=0 if backlog.recovered else len(backlog.publications),
            heartbeat_s=1.0,
        ).to_json()


class Listeners:
    """All listeners of a process: they share one subscription, made when the first one comes.

    All methods belong to one event loop.

    Args:
        redis_url: where to subscribe.
        broker: reads the logs.
        timeout_s: how long one command may take.
    """

    def __init__(self, redis_url: str, broker: Broker, *, timeout_s: float | None = None) -> None:
        self._redis_url = redis_url
        self._broker = broker
        self._timeout_s = timeout_s
        self._hub: Hub | None = None
        self._running: asyncio.Task[None] | None = None
        self._listeners: WeakSet[Listener] = WeakSet()

    def listener(self, session: str) -> Listener:
        """Return a new listener of a session.

        Raises:
            SettingsError: when a RELAY_* variable is wrong that bounds what a listener keeps.
        """
        listener = Listener(self._started(), session)
        self._listeners.add(listener)
        return listener

    async def until_up(self) -> None:
        """Wait until the subscription delivers."""
        await self._started().until_link_up()

    async def close(self) -> None:
        """End all iterations, and the subscription."""
        for listener in self._listeners:
            listener.close()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _started(self) -> Hub:
        if self._hub is None:
            settings = Settings.load(
                redis_url=self._redis_url, linger_s=0.0, redis_timeout_s=self._timeout_s
            )
            worker = f"listener:{os.getpid()}:{secrets.token_hex(4)}"
            self._hub = Hub(self._broker, settings, Metrics(), worker=worker)
            self._running = asyncio.create_task(self._hub.run(), name="listeners")
        return self._hub


@asynccontextmanager
async def listening(
    redis_url: str, session: str, *, connect_timeout_s: float = 5.0
) -> AsyncIterator[Listener]:
    """Connect to Redis for listening to one session.

    Raises:
        InvalidSession: for a session id that breaks the rule.
        BrokerUnavailable: when Redis is not there now. Later it may come and go: the listener waits
            for it and goes on where it was.
    """
    check_session(session)
    settings = Settings.load(redis_url=redis_url)
    async with Broker(settings.redis_url, timeout_s=settings.redis_timeout_s) as broker:
        await broker.ping()
        listeners = Listeners(settings.redis_url, broker)
        try:
            try:
                async with asyncio.timeout(connect_timeout_s):
                    await listeners.until_up()
            except TimeoutError:
                raise BrokerUnavailable("Redis takes commands, but no subscription.") from None
            yield listeners.listener(session)
        finally:
            await listeners.close()
