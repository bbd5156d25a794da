"""A facilitator for tests: a real WebSocket that reads JSON."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from websockets.asyncio.client import ClientConnection

Json = dict[str, Any]


class Client:
    """Reads a session's messages.

    Who is watching is told about a second after anybody joined, at a moment that no test can know: so
    ``presence`` is passed over unless it is asked for.
    """

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self.first: Json = {}

    async def next(
        self, timeout_s: float = 10.0, *, passing: Collection[str] = ("presence",)
    ) -> Json:
        """Return the next message of a type not in ``passing``; too long a wait fails the test."""
        async with asyncio.timeout(timeout_s):
            while True:
                text = await self.websocket.recv()
                assert isinstance(text, str), "the relay sends text frames"
                message = json.loads(text)
                assert isinstance(message, dict)
                if message["type"] not in passing:
                    return message

    async def next_of(self, kind: str, timeout_s: float = 10.0) -> Json:
        """Return the next message of a type, passing over others."""
        async with asyncio.timeout(timeout_s):
            while True:
                message = await self.next(timeout_s, passing=())
                if message["type"] == kind:
                    return message

    async def texts(self, count: int, timeout_s: float = 10.0) -> list[str]:
        """Return the ``text`` of the next ``count`` hints."""
        return [(await self.next_of("hint", timeout_s))["text"] for _ in range(count)]

    async def silent_for(self, seconds: float) -> bool:
        """Tell whether nothing arrives for this long."""
        try:
            await self.next(seconds)
        except TimeoutError:
            return True
        return False

    async def closed(self, timeout_s: float = 10.0) -> tuple[int, str, list[Json]]:
        """Read until the relay closes; returns code, reason, and what came before."""
        messages: list[Json] = []
        try:
            while True:
                messages.append(await self.next(timeout_s))
        except ConnectionClosed as error:
            assert error.rcvd is not None, "the relay closed without a close frame"
            return error.rcvd.code, error.rcvd.reason, messages

    async def send(self, message: Json) -> None:
        """Send a message."""
        await self.websocket.send(json.dumps(message))

    def reset(self) -> None:
        """Break the connection without a word, as a phone that leaves the network does."""
        self.websocket.transport.abort()


@asynccontextmanager
async def client(
    ws_url: str,
    session: str | None,
    *,
    welcome: bool = True,
    headers: Collection[tuple[str, str]] = (),
    subprotocols: Collection[str] = (),
    **query: str,
) -> AsyncIterator[Client]:
    """Connect; with ``welcome`` the first message is read and checked, and kept as ``first``.

    Args:
        ws_url: without its query.
        session: None leaves the parameter out.
        welcome: whether the relay is to say that we are connected.
        headers: more of them.
        subprotocols: those that are offered.
        query: more parameters, as they go out.
    """
    words = [f"{key}={value}" for key, value in query.items()]
    if session is not None:
        words.insert(0, f"session={session}")
    url = f"{ws_url}?{'&'.join(words)}"
    async with connect(
        url,
        proxy=None,
        max_size=None,
        # Who has stopped reading does not hear the answer to its close frame either: a second is enough.
        close_timeout=1,
        additional_headers=list(headers),
        subprotocols=[Subprotocol(one) for one in subprotocols] or None,
    ) as websocket:
        reader = Client(websocket)
        if welcome:
            first = await reader.next()
            assert first["type"] == "connection", first
            assert first["status"] == "connected", first
            reader.first = first
        yield reader
