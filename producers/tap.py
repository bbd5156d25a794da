"""What is said live in sessions, for those who can do with missing some of it."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING, Protocol

from relay.broker import keys
from relay.broker.link import Link

if TYPE_CHECKING:
    from relay.broker.broker import Broker


class Ear(Protocol):
    """Who listens to a session; no call may block or raise."""

    def heard(self, payload: bytes) -> None:
        """A message was published to the session just now."""

    def live(self) -> None:
        """Nothing is missed from here on; whatever was said before may have been."""

    def closed(self) -> None:
        """Nothing is heard any more: the tap was closed."""


class Tap:
    """One subscription for everybody in this process who listens to some session.

    It is made when the first ear comes, kept alive by a ``Link``, and dropped a while after the last
    one has gone. Nobody waits for it, and nothing that is wrong with it disturbs anybody: an ear that
    is not told ``live`` has to find out by other means.

    All methods belong to one event loop.

    Args:
        redis_url: where to subscribe.
        broker: publishes the link's probes.
        timeout_s: how long connecting may take.
        linger_s: how long the subscription outlives its last ear.
    """

    def __init__(
        self, redis_url: str, broker: Broker, *, timeout_s: float = 3.0, linger_s: float = 30.0
    ) -> None:
        self._redis_url = redis_url
        self._broker = broker
        self._timeout_s = timeout_s
        self._linger_s = linger_s
        self._ears: dict[str, set[Ear]] = {}
        self._link: Link | None = None
        self._running: asyncio.Task[None] | None = None
        self._subscribing: dict[str, asyncio.Task[None]] = {}
        # Sessions whose subscription Redis has confirmed since the link came up.
        self._live: set[str] = set()
        self._lingering: asyncio.TimerHandle | None = None
        self._is_closed = False

    def attach(self, session: str, ear: Ear) -> None:
        """Let somebody listen; every attach needs one ``detach``."""
        if self._is_closed:
            asyncio.get_running_loop().call_soon(ear.closed)
            return
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        link = self._link or self._start()
        ears = self._ears.get(session)
        if ears is not None:
            ears.add(ear)
            if session in self._live:
                asyncio.get_running_loop().call_soon(ear.live)
            return
        self._ears[session] = {ear}
        self._subscribing[session] = asyncio.create_task(
            self._subscribe(link, session), name="tap subscribes"
        )

    def detach(self, session: str, ear: Ear) -> None:
        """Let somebody go; one that has gone already is fine."""
        ears = self._ears.get(session)
        if ears is None:
            return
        ears.discard(ear)
        if ears:
            return
        del self._ears[session]
        self._live.discard(session)
        # It may not even have begun: then unsubscribing alone would leave it subscribed.
        self._subscribing.pop(session).cancel()
        if self._link is not None:
            self._link.unsubscribe(keys.channel(session))
            if not self._ears:
                self._lingering = asyncio.get_running_loop().call_later(self._linger_s, self._stop)

    async def close(self) -> None:
        """Drop the subscription, and tell all ears."""
        self._is_closed = True
        ears, self._ears = self._ears, {}
        for ear in (ear for of_session in ears.values() for ear in of_session):
            ear.closed()
        if self._lingering is not None:
            self._lingering.cancel()
        tasks = [*self._subscribing.values()]
        if self._running is not None:
            tasks.append(self._running)
        self._stop()
        await asyncio.gather(*tasks, return_exceptions=True)

    # link.LinkListener

    def link_message(self, channel: str, payload: bytes) -> None:
        """Pass it on to the session's ears."""
        for ear in tuple(self._ears.get(keys.session_of(channel), ())):
            ear.heard(payload)

    def link_drained(self) -> None:
        """Pass over it: each message was told."""

    def link_down(self) -> None:
        """Note that nothing is heard for now."""
        self._live.clear()

    def link_up(self) -> None:
        """Tell all ears."""
        for session in tuple(self._ears):
            self._now_live(session)

    # Inside

    def _start(self) -> Link:
        link = Link(
            self._redis_url,
            self._broker,
            self,
            worker=f"tap:{os.getpid()}:{secrets.token_hex(4)}",
            connect_timeout_s=self._timeout_s,
        )
        self._link = link
        self._running = asyncio.create_task(link.run(), name="tap")
        return link

    def _stop(self) -> None:
        self._lingering = None
        self._live.clear()
        for subscribing in self._subscribing.values():
            subscribing.cancel()
        self._subscribing.clear()
        if self._running is not None:
            self._running.cancel()
        self._link = self._running = None

    async def _subscribe(self, link: Link, session: str) -> None:
        await link.subscribe(keys.channel(session))
        if link is self._link:
            self._now_live(session)

    def _now_live(self, session: str) -> None:
        ears = self._ears.get(session, ())
        if ears:
            self._live.add(session)
        for ear in tuple(ears):
            ear.live()
