"""One long streaming hint, watched by facilitators who come late, come back, and lose their relay."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from producers import HintPublisher
from relay.broker.streaming import utf16_length
from relay.position import Position
from tests.faults.checker import Violation
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.client import ClientConnection


# What a hint that is not long may cost beside that; see producers/pacing.py.
_FREE_BYTES = 12 * 1024
_LONG_BYTES = 40_000


class Seen(NamedTuple):
    """What one facilitator got."""

    name: str
    connections: int
    frames: int
    bytes_per_text_byte: float


class Watcher:
    """A facilitator that follows one hint by the simplest rules: a hint replaces, an append adds.

    Attributes:
        text: the hint's text so far.
        status: how it stands.
        received_bytes: of everything that came, over all connections.
        frames: how many of those were about the hint.
        caught_up_in: for each connection, how many messages brought what had been published before.
    """

    def __init__(self, name: str, session: str, pick_url: Callable[[], str]) -> None:
        self.name = name
        self.text = ""
        self.status: str | None = None
        self.received_bytes = 0
        self.frames = 0
        self.connections = 0
        self.caught_up_in: dict[int, int] = {}
        self._session = session
        self._pick_url = pick_url
        self._position: str | None = None
        self._websocket: ClientConnection | None = None

    async def run(self) -> None:
        """Follow the hint to its end, over as many connections as it takes."""
        while self.status in (None, "streaming"):
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                await self._connect_once()
            await asyncio.sleep(0.2)

    def reset(self) -> None:
        """Break the connection; it comes back by itself."""
        if self._websocket is not None:
            self._websocket.transport.abort()

    async def _connect_once(self) -> None:
        since = "" if self._position is None else f"&since={self._position}"
        url = f"{self._pick_url()}?session={self._session}&guest={self.name}{since}"
        async with connect(url, proxy=None, max_size=None, close_timeout=0.1) as websocket:
            self._websocket = websocket
            self.connections += 1
            head: Position | None = None
            caught_up_in = 0
            while self.status in (None, "streaming"):
                async with asyncio.timeout(5):
                    text = await websocket.recv()
                self.received_bytes += len(str(text).encode())
                message = json.loads(text)
                if message["type"] == "connection":
                    if self._position is not None and message["recovered"] is not True:
                        raise Violation(f"{self.name} was told of a loss: {message}")
                    head = message["position"] and Position.parse(message["position"])
                elif message["type"] in ("hint", "append"):
                    self._take(message)
                    # What had been published before it came.
                    caught_up_in += head is not None and Position.parse(message["position"]) <= head
                    self.caught_up_in[self.connections] = caught_up_in

    def _take(self, message: dict[str, Any]) -> None:
        self.frames += 1
        self._position = message["position"]
        if message["type"] == "hint":
            self.text = message["text"]
            self.status = message["status"]
            return
        if message["at"] != utf16_length(self.text):
            raise Violation(f"{self.name} got a piece at {message['at']} of {len(self.text)}")
        self.text += message["text"]
        self.status = message.get("status", self.status)


async def run_long_hint(tokens: int, per_s: float) -> list[Seen]:
    """Stream a hint over three relays, one of which is killed; return what each facilitator got.

    One facilitator is there all the time, and on the relay that is killed; one comes in the middle; one
    is cut off three times.

    Raises:
        Violation: somebody has another text in the end, got it piece by piece after an absence, or got
            more than three bytes for each byte of a long text.
    """
    session = f"long-{secrets.token_hex(4)}"
    words = [f"{('wörd', 'and', 'the', 'ligh', '🎭')[n % 5]} " for n in range(tokens)]
    with ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        relays = [stack.enter_context(RelayProcess(redis.url)) for _ in range(3)]
        turn = iter(range(10**9))
        steady = Watcher("steady", session, lambda: relays[0].ws_url)
        flapping = Watcher("flapping", session, lambda: relays[1 + next(turn) % 2].ws_url)
        late = Watcher("late", session, lambda: relays[2].ws_url)
        running = [asyncio.create_task(one.run()) for one in (steady, flapping)]
        try:
            async with (
                HintPublisher(redis.url) as publisher,
                publisher.stream_hint(session, priority="high") as hint,
            ):
                loop = asyncio.get_running_loop()
                began_s = loop.time()
                for n, word in enumerate(words):
                    await asyncio.sleep(max(0.0, began_s + n / per_s - loop.time()))
                    await hint.append(word)
                    if n in (tokens // 4, tokens * 2 // 5, tokens * 4 // 5):
                        flapping.reset()
                    if n == tokens // 2:
                        running.append(asyncio.create_task(late.run()))
                    if n == tokens * 3 // 5:
                        relays[0].kill()
                        relays[0].start()
            async with asyncio.timeout(15):
                await asyncio.gather(*running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
    text = "".join(words)
    return [_checked(one, text) for one in (steady, flapping, late)]


def _checked(watcher: Watcher, text: str) -> Seen:
    size = len(text.encode())
    seen = Seen(watcher.name, watcher.connections, watcher.frames, watcher.received_bytes / size)
    if watcher.text != text or watcher.status != "complete":
        raise Violation(f"{seen}: has {len(watcher.text)} characters of {len(text)}")
    if any(count > 1 for count in watcher.caught_up_in.values()):
        raise Violation(f"{seen}: caught up in {watcher.caught_up_in} messages")
    if watcher.received_bytes > 3 * size + (_FREE_BYTES if size < _LONG_BYTES else 0):
        raise Violation(f"{seen}: more than three bytes for each byte of text")
    return seen
