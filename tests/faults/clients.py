"""Clients that come and go, and publishers that go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from producers import HintPublisher
from relay.errors import BrokerError
from tests.faults.checker import Violation, Witness

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from websockets.asyncio.client import ClientConnection

    from tests.faults.checker import Ledger


class FlappingClient:
    """A facilitator on a bad line: connects anywhere, is cut off, comes back with its position.

    Args:
        witness: checks each message as it comes.
        pick_url: says where to connect this time; any relay will do.
        draw: the run's random source.
        stays_s: bounds of how long a connection lasts before it is reset.
    """

    def __init__(
        self,
        witness: Witness,
        pick_url: Callable[[], str],
        draw: random.Random,
        *,
        stays_s: tuple[float, float],
    ) -> None:
        self.witness = witness
        self.connects = 0
        self.resets = 0
        self._pick_url = pick_url
        self._draw = draw
        self._stays_s = stays_s
        self._stays = False
        self._websocket: ClientConnection | None = None
        self.violation: Violation | None = None

    async def run(self) -> None:
        """Flap until cancelled; the first violation ends it."""
        try:
            while True:
                with contextlib.suppress(
                    OSError, TimeoutError, WebSocketException, InvalidHandshake, EOFError
                ):
                    await self._connect_once()
                await asyncio.sleep(self._draw.uniform(0.05, 0.4))
        except Violation as violation:
            self.violation = violation

    def settle(self) -> None:
        """Stop flapping: the present or the next connection stays."""
        self._stays = True

    async def _connect_once(self) -> None:
        since = "" if self.witness.position is None else f"&since={self.witness.position}"
        url = f"{self._pick_url()}?session={self.witness.session}{since}"
        websocket = await connect(
            url, proxy=None, ping_interval=None, open_timeout=5, close_timeout=0.1, max_size=None,
            compression=None,
        )  # fmt: skip
        self.connects += 1
        reset = asyncio.get_running_loop().call_later(
            self._draw.uniform(*self._stays_s), self._reset, websocket
        )
        try:
            while True:
                # Longer than two heartbeats: the relay or the network is dead.
                async with asyncio.timeout(4):
                    text = await websocket.recv()
                self.witness.take(json.loads(text))
        finally:
            reset.cancel()
            websocket.transport.abort()

    def _reset(self, websocket: ClientConnection) -> None:
        if not self._stays:
            self.resets += 1
            websocket.transport.abort()


class SteadyPublisher:
    """An agent that publishes to many sessions and writes down what was acknowledged.

    A message that was refused or whose outcome is unknown is tried again under its id until it is
    acknowledged, as an agent would: so what is in the ledger is all there is.
    """

    def __init__(
        self, redis_url: str, sessions: list[str], ledger: Ledger, *, per_s: float, name: str
    ) -> None:
        self._redis_url = redis_url
        self._sessions = sessions
        self._ledger = ledger
        self._per_s = per_s
        self._name = name
        self._stopping = asyncio.Event()
        self.errors: list[BrokerError] = []

    def stop(self) -> None:
        """Publish what is under way, and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Publish until stopped."""
        loop = asyncio.get_running_loop()
        async with HintPublisher(self._redis_url, give_up_s=2.0, timeout_s=1.0) as publisher:
            number = 0
            next_s = loop.time()
            while not self._stopping.is_set():
                session = self._sessions[number % len(self._sessions)]
                await self._publish(publisher, session, f"{self._name}-{number}")
                number += 1
                next_s = max(next_s + 1 / self._per_s, loop.time() - 0.2)
                await asyncio.sleep(max(0.0, next_s - loop.time()))

    async def _publish(self, publisher: HintPublisher, session: str, message_id: str) -> None:
        while True:
            try:
                sent = await publisher.hint(session, f"This is {message_id}.", id=message_id)
            except BrokerError as error:
                self.errors.append(error)
                await asyncio.sleep(0.1)
            else:
                self._ledger.acknowledge(session, message_id, sent.position)
                return
