"""Clients that come and go, and publishers that go on."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException

from producers import HintPublisher
from relay.errors import BrokerError, HintEnded
from relay.position import Position
from tests.faults.checker import Text, Violation, Witness

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from websockets.asyncio.client import ClientConnection

    from tests.faults.checker import Ledger, Truth


# How long a client of ours waits before it sends again what it was told to send again.
_AGAIN_S = 0.3


class FlappingClient(ABC):
    """A facilitator on a bad line: connects anywhere, is cut off, comes back with its position.

    Where hints stream it also says what it does with hints, and says it again under the same id after
    each reconnect until it is acknowledged.

    Args:
        witness: checks each message as it comes.
        ledger: is told what was acknowledged.
        pick_port: says where to connect this time; any relay will do.
        draw: the run's random source.
        stays_s: bounds of how long a connection lasts before it is reset.
    """

    def __init__(
        self,
        witness: Witness,
        ledger: Ledger,
        pick_port: Callable[[], int],
        draw: random.Random,
        *,
        stays_s: tuple[float, float],
    ) -> None:
        self.witness = witness
        self.connects = 0
        self.resets = 0
        self.said = 0
        self.unacknowledged: dict[str, str] = {}
        self.refused: set[str] = set()
        self.violation: Violation | None = None
        self._ledger = ledger
        self._pick_port = pick_port
        self._draw = draw
        self._stays_s = stays_s
        self._stays = False

    async def run(self) -> None:
        """Flap until cancelled; the first violation ends it."""
        try:
            while True:
                with contextlib.suppress(OSError, EOFError, *self._breaks):
                    await self._connect_once()
                await asyncio.sleep(self._draw.uniform(0.05, 0.4))
        except Violation as violation:
            self.violation = violation

    def settle(self) -> None:
        """Stop flapping: the present or the next connection stays."""
        self._stays = True

    def final_check(self, truth: Truth | None) -> None:
        """Check that it has everything, and that all it said was acknowledged."""
        if self.unacknowledged:
            raise Violation(f"{self.witness}: no answer to {sorted(self.unacknowledged)}")
        self.witness.final_check(self._ledger, truth)

    # What every kind of client has of its own

    _breaks: tuple[type[Exception], ...] = ()
    """How a connection can end, beside the system's errors."""

    @abstractmethod
    async def _open(self) -> Line:
        """Connect to any relay, with what it has."""

    def _took(self, message: dict[str, Any]) -> None:
        """Look at a message that the witness has taken; most have nothing to add."""
        return

    def _begin_anew(self) -> None:
        """Ask for everything when it connects next."""
        self.witness.forget_position()

    # Inside

    async def _connect_once(self) -> None:
        line = await self._open()
        self.connects += 1
        reset = asyncio.get_running_loop().call_later(
            self._draw.uniform(*self._stays_s), self._reset, line
        )
        speaking = None
        try:
            while True:
                # Longer than two heartbeats: the relay or the network is dead.
                async with asyncio.timeout(4):
                    message = await line.receive()
                self.witness.take(message)
                self._took(message)
                if message["type"] == "connection" and speaking is None and self.witness.streams:
                    speaking = asyncio.create_task(self._speak(line))
                self._heed(message)
                if self.witness.begin_anew:
                    self._begin_anew()
                    return
        finally:
            reset.cancel()
            line.abort()
            if speaking is not None:
                speaking.cancel()
                await asyncio.gather(speaking, return_exceptions=True)

    def _heed(self, message: dict[str, Any]) -> None:
        """Note what became of what was said."""
        match message:
            case {"type": "ack", "ref": str(ref), "position": str(at)}:
                if self.unacknowledged.pop(ref, None) is not None:
                    self._ledger.acknowledge(self.witness.session, ref, Position.parse(at))
            case {"type": "error", "ref": str(ref), "code": str(code)}:
                if code not in ("unavailable", "rate_limited"):
                    self.unacknowledged.pop(ref, None)
                    self.refused.add(code)

    async def _speak(self, line: Line) -> None:
        """Say again what is not acknowledged, and something new now and then."""
        while True:
            for message_id, text in list(self.unacknowledged.items()):
                answer = await line.send(message_id, text)
                if answer is not None:
                    self._heed(answer)
            await asyncio.sleep(_AGAIN_S + self._draw.uniform(0, 0.5))
            if self.witness.hints and not self._stays and len(self.unacknowledged) < 3:
                number, self.said = self.said, self.said + 1
                message_id = f"{self.witness.name}-{number}"
                self.unacknowledged[message_id] = json.dumps(
                    {
                        "type": "feedback",
                        "id": message_id,
                        "hint": self._draw.choice(self.witness.hints),
                        "action": self._draw.choice(["used", "helpful", "pinned"]),
                    }
                )

    def _reset(self, line: Line) -> None:
        if not self._stays:
            self.resets += 1
            line.abort()


class Line(Protocol):
    """One connection, of whatever kind."""

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""

    async def send(self, message_id: str, text: str) -> dict[str, Any] | None:
        """Say something; returns the ``ack`` or ``error``, None when that will be received."""

    def abort(self) -> None:
        """Break it without a word."""


class SocketClient(FlappingClient):
    """One that reads and says everything over a WebSocket."""

    _breaks = (WebSocketException, InvalidHandshake)

    async def _open(self) -> Line:
        witness = self.witness
        since = "" if witness.position is None else f"&since={witness.position}"
        return _Socket(
            await connect(
                f"ws://127.0.0.1:{self._pick_port()}/ws"
                f"?session={witness.session}&guest={witness.name}{since}",
                proxy=None, ping_interval=None, open_timeout=5, close_timeout=0.1, max_size=None,
                compression=None,
            )
        )  # fmt: skip


class _Socket:
    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def receive(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(await self._websocket.recv())
        return message

    async def send(self, message_id: str, text: str) -> None:
        await self._websocket.send(text)

    def abort(self) -> None:
        self._websocket.transport.abort()


class StreamingAgent:
    """An agent whose hints grow, one after another, and that writes down what they became.

    Args:
        redis_url: where to publish.
        session: to which session.
        ledger: is told each hint that has ended.
        draw: the run's random source.
    """

    def __init__(self, redis_url: str, session: str, ledger: Ledger, draw: random.Random) -> None:
        self._redis_url = redis_url
        self._session = session
        self._ledger = ledger
        self._draw = draw
        self._stopping = asyncio.Event()
        self.completed = 0
        self.broken_off = 0

    def stop(self) -> None:
        """End the hint that grows, and stop."""
        self._stopping.set()

    async def run(self) -> None:
        """Stream until stopped."""
        number = 0
        async with HintPublisher(self._redis_url, give_up_s=5.0, timeout_s=1.0) as publisher:
            while not self._stopping.is_set():
                number += 1
                try:
                    await self._stream(publisher, f"stream-{self._session}-{number}")
                except (BrokerError, HintEnded):
                    # Redis was away for longer than an agent waits, or than its lease holds.
                    self.broken_off += 1

    async def _stream(self, publisher: HintPublisher, hint_id: str) -> None:
        tokens = self._draw.randrange(20, 200)
        async with publisher.stream_hint(self._session, id=hint_id) as hint:
            for token in range(tokens):
                if self._stopping.is_set():
                    break
                await hint.append(f"tökén{token} " if token % 7 else "🎭 ")
                await asyncio.sleep(self._draw.expovariate(100))
        self._ledger.finish(self._session, hint_id, Text(hint.text, hint.status))
        self.completed += 1


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
