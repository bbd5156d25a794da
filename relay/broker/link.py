"""A worker's supervised subscription: kept alive, proved to deliver, made anew when it does not."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from relay.backoff import full_jitter_s
from relay.broker import keys
from relay.broker.wire import Address, Wire
from relay.errors import BrokerError, BrokerUnavailable
from relay.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.broker.broker import Broker
    from relay.broker.wire import ConnectWire, Subscriber


class LinkState(Enum):
    """Where a link is on its way; ``UP`` is the only state in which nothing is missed."""

    DOWN = "down"
    RESUBSCRIBING = "resubscribing"
    UP = "up"


class LinkListener(Protocol):
    """What a link tells its owner; all calls come from the event loop."""

    def link_message(self, channel: str, payload: bytes) -> None:
        """A message arrived on a subscribed channel."""

    def link_drained(self) -> None:
        """All messages that arrived at once have been told."""

    def link_down(self) -> None:
        """From here on, messages may be missed on every channel."""

    def link_up(self) -> None:
        """All channels are subscribed again; what was missed meanwhile must be read from the logs."""


class Link:
    """The one subscription of a worker.

    A TCP connection to Redis can be open and deliver nothing: after a failover that sent no FIN, on a
    network that swallows packets, behind a proxy that lost its other side. So the link publishes a
    probe to itself, on the way that all publications take, and believes only what it hears back.

    Args:
        url: where Redis is.
        broker: publishes the probes.
        listener: is told of messages and of the link's ups and downs.
        worker: this worker's unique name.
        probe_interval_s: time between two probes.
        probe_timeout_s: without an echo for this long the connection is given up.
        connect_timeout_s: how long connecting may take.
        draw: the random source of the backoff's jitter.
        connect_wire: makes the connection.
    """

    def __init__(
        self,
        url: str,
        broker: Broker,
        listener: LinkListener,
        *,
        worker: str,
        probe_interval_s: float = 2.0,
        probe_timeout_s: float = 5.0,
        connect_timeout_s: float = 3.0,
        draw: Callable[[], float] = random.random,
        connect_wire: ConnectWire = Wire.connect,
    ) -> None:
        self._address = Address.of_url(url)
        self._broker = broker
        self._listener = listener
        self._probe_channel = keys.probe(worker)
        self._probe_interval_s = probe_interval_s
        self._probe_timeout_s = probe_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._draw = draw
        self._connect_wire = connect_wire
        self._log = get_logger("relay.link").bind(redis=str(self._address))

        self.state = LinkState.DOWN
        self._wire: Subscriber | None = None
        self._wire_gone = asyncio.Event()
        self._wire_error: Exception | None = None
        self._heard_at: float | None = None
        self._attempts = 0

        # Channels that shall be subscribed, each with those who wait for Redis to confirm it.
        self._wanted: dict[str, list[asyncio.Future[None]]] = {}
        # SUBSCRIBEs of a channel that were sent on this wire and are not confirmed yet.
        self._unconfirmed: Counter[str] = Counter()
        self._all_confirmed = asyncio.Event()
        # Changes of this loop tick, sent together: a thousand joins are two commands, not a thousand.
        self._to_subscribe: dict[str, None] = {}
        self._to_unsubscribe: dict[str, None] = {}
        self._flush_scheduled = False

    @property
    def probe_age_s(self) -> float | None:
        """Seconds since the link last proved that it delivers; None when it has not yet."""
        if self._heard_at is None:
            return None
        return asyncio.get_running_loop().time() - self._heard_at

    @property
    def is_healthy(self) -> bool:
        """Tell whether the link is up and its newest proof is fresh."""
        age_s = self.probe_age_s
        return self.state is LinkState.UP and age_s is not None and age_s < self._probe_timeout_s

    async def subscribe(self, channel: str) -> None:
        """Subscribe, and return when Redis has confirmed: nothing from here on is missed.

        While the link is down this waits for it to come back; bound the wait with a timeout. A
        cancelled wait leaves the channel subscribed; call ``unsubscribe`` when it is not wanted.
        """
        confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted.setdefault(channel, []).append(confirmed)
        self._to_unsubscribe.pop(channel, None)
        self._to_subscribe[channel] = None
        self._schedule_flush()
        await confirmed

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel; who still waits for it is cancelled."""
        for waiter in self._wanted.pop(channel, ()):
            waiter.cancel()
        self._to_subscribe.pop(channel, None)
        self._to_unsubscribe[channel] = None
        self._schedule_flush()

    async def run(self) -> None:
        """Keep the subscription alive until cancelled."""
        try:
            while True:
                try:
                    await self._live_once()
                except BrokerError as error:
                    self._log.warning("link failed", error=str(error), attempt=self._attempts)
                except Exception:  # noqa: BLE001 - a supervisor outlives what it did not foresee
                    self._log.exception("link failed unexpectedly", attempt=self._attempts)
                finally:
                    self._drop()
                await asyncio.sleep(full_jitter_s(self._attempts, random=self._draw))
                self._attempts += 1
        finally:
            for waiters in self._wanted.values():
                for waiter in waiters:
                    waiter.cancel()

    async def _live_once(self) -> None:
        """Connect, resubscribe, and watch until the connection is lost or found deaf."""
        self._wire_gone.clear()
        self._wire_error = None
        self._wire = await self._connect_wire(
            self._address, self, timeout_s=self._connect_timeout_s
        )
        self.state = LinkState.RESUBSCRIBING
        self._heard_at = None
        self._to_subscribe.clear()
        self._to_unsubscribe.clear()
        self._send_subscribe([self._probe_channel, *self._wanted])
        await self._await_confirmations()
        self.state = LinkState.UP
        self._log.info("link up", channels=len(self._wanted))
        self._listener.link_up()
        await self._probe_until_lost()

    async def _await_confirmations(self) -> None:
        waits = [
            asyncio.ensure_future(self._all_confirmed.wait()),
            asyncio.ensure_future(self._wire_gone.wait()),
        ]
        try:
            # Each confirmation is progress; a Redis that is busy with many of them is not deaf.
            while True:
                before = self._unconfirmed.total()
                done, _ = await asyncio.wait(
                    waits, timeout=self._probe_timeout_s, return_when=asyncio.FIRST_COMPLETED
                )
                if self._wire_gone.is_set():
                    raise self._lost()
                if done:
                    return
                if self._unconfirmed.total() == before:
                    raise BrokerUnavailable("Redis does not confirm the subscription")
        finally:
            for wait in waits:
                wait.cancel()

    async def _probe_until_lost(self) -> None:
        loop = asyncio.get_running_loop()
        heard_or_began = loop.time()
        number = 0
        while True:
            number += 1
            try:
                receivers = await self._broker.publish_live(
                    self._probe_channel, str(number).encode()
                )
                failure = "" if receivers else "Redis knows nothing of the subscription"
            except BrokerError as error:
                receivers, failure = None, str(error)
            try:
                # Not wait_for(): before Python 3.12 it can swallow a cancellation.
                async with asyncio.timeout(self._probe_interval_s):
                    await self._wire_gone.wait()
            except TimeoutError:
                pass
            else:
                raise self._lost()
            heard_or_began = max(heard_or_began, self._heard_at or heard_or_began)
            if self._heard_at is not None:
                # Only a link that has proved itself resets the backoff.
                self._attempts = 0
            silence_s = loop.time() - heard_or_began
            if receivers == 0 or silence_s > self._probe_timeout_s:
                raise BrokerUnavailable(
                    f"the subscription is deaf: no probe heard for {silence_s:.1f} s"
                    + (f"; {failure}" if failure else "")
                )

    def _lost(self) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"connection lost: {self._wire_error or 'closed by Redis or the network'}"
        )

    def _drop(self) -> None:
        if self._wire is not None:
            self._wire.abort()
            self._wire = None
        self._unconfirmed.clear()
        self._all_confirmed.clear()
        if self.state is LinkState.UP:
            self.state = LinkState.DOWN
            self._listener.link_down()
        self.state = LinkState.DOWN

    def _send_subscribe(self, channels: list[str]) -> None:
        if self._wire is None:
            return
        self._all_confirmed.clear()
        self._unconfirmed.update(channels)
        self._wire.subscribe(channels)

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        if self._wire is None:
            # The next connection subscribes to all that is wanted then.
            self._to_subscribe.clear()
            self._to_unsubscribe.clear()
            return
        if self._to_unsubscribe:
            self._wire.unsubscribe(self._to_unsubscribe)
            self._to_unsubscribe.clear()
        if self._to_subscribe:
            self._send_subscribe(list(self._to_subscribe))
            self._to_subscribe.clear()

    # WireListener

    def wire_message(self, channel: str, payload: bytes) -> None:
        """Hand a message on; only a probe is a proof, others may come from a demoted master."""
        if channel == self._probe_channel:
            self._heard_at = asyncio.get_running_loop().time()
        else:
            self._listener.link_message(channel, payload)

    def wire_drained(self) -> None:
        """Pass it on."""
        self._listener.link_drained()

    def wire_subscribed(self, channel: str) -> None:
        """Release those who wait for the channel, once its last SUBSCRIBE is confirmed."""
        self._unconfirmed[channel] -= 1
        if self._unconfirmed[channel] <= 0:
            del self._unconfirmed[channel]
            waiters = self._wanted.get(channel)
            if waiters:
                for waiter in waiters:
                    if not waiter.done():
                        waiter.set_result(None)
                waiters.clear()
        if not self._unconfirmed:
            self._all_confirmed.set()

    def wire_lost(self, error: Exception | None) -> None:
        """Wake the supervisor."""
        self._wire_error = error
        self._wire_gone.set()
