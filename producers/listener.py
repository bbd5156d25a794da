"""Reading a session as an agent or a terminal does: with the relay's own recovery, without a relay."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

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
    from relay.room import Fresh, Room, Welcome


class Listener:
    """One reader of one session; get it from ``listening``, then iterate over it.

    Yields the JSON of each message as bytes: first a ``connection`` message, then what was asked for,
    then live publications. Another ``connection`` message says how it went on: with ``recovered`` true
    this reader was slow and misses nothing; with false the log was lost, and a snapshot follows.
    """

    def __init__(self, hub: Hub, session: str) -> None:
        self._hub = hub
        self._session = session
        self.generation = -1
        self._cursor = 0
        self._welcome: Welcome | None = None
        self._wakeup = asyncio.Event()

    # room.Reader

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

    async def messages(
        self, since: Position | None = None, replay: int | None = None
    ) -> AsyncGenerator[bytes]:
        """Yield the session's messages; see the class. Ends only when it is closed."""
        room, welcome = await self._hub.join(self._session, self, since, replay)
        self.restart(welcome)
        position = since
        try:
            while True:
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
                    room, welcome = await self._hub.join(self._session, self, position, None)
                    self.restart(welcome)
                    continue
                for publication in publications:
                    self._cursor += 1
                    position = publication.position or position
                    yield publication.payload
                    if self.generation != room.feed.generation or self._has_welcome:
                        break
                if not publications:
                    await self._wakeup.wait()
        finally:
            self._hub.leave(room, self)

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
    settings = Settings.load(redis_url=redis_url, linger_s=0.0)
    async with Broker(settings.redis_url, timeout_s=settings.redis_timeout_s) as broker:
        await broker.ping()
        hub = Hub(
            broker, settings, Metrics(), worker=f"listener:{os.getpid()}:{secrets.token_hex(4)}"
        )
        running = asyncio.create_task(hub.run())
        try:
            try:
                async with asyncio.timeout(connect_timeout_s):
                    await hub.until_link_up()
            except TimeoutError:
                raise BrokerUnavailable("Redis takes commands, but no subscription.") from None
            yield Listener(hub, session)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
