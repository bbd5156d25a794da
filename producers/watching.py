"""How many facilitators are watching a session, now and as it changes."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from producers.patience import patiently
from relay.backoff import full_jitter_s
from relay.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from producers.tap import Tap
    from relay.broker.presence import PresenceBoard
    from relay.broker.presence import Watching as Look

# If all relays died nobody would tell; asking strikes out what they had said.
_LOOK_EVERY_S = 3.0


class Watching:
    """The number of facilitators, to be awaited or iterated over.

    ``await`` gives the present number, and raises ``BrokerUnavailable`` when Redis does not come back
    in time. ``async for`` gives the present number, then each new one within a second or two of the
    change; while Redis is away it waits. Both may be done any number of times.
    """

    def __init__(self, tap: Tap, board: PresenceBoard, session: str, *, give_up_s: float) -> None:
        self._tap = tap
        self._board = board
        self._session = session
        self._give_up_s = give_up_s

    def __await__(self) -> Generator[object, None, int]:
        """Return how many are watching now."""
        return self._now().__await__()

    def __aiter__(self) -> AsyncGenerator[int]:
        """Yield how many are watching, at first and after each change."""
        return self._changes()

    async def _now(self) -> int:
        return (await patiently(self._look, self._give_up_s)).facilitators

    async def _look(self) -> Look:
        return await self._board.look(self._session)

    async def _changes(self) -> AsyncGenerator[int]:
        ear = _PresenceEar()
        self._tap.attach(self._session, ear)
        last: int | None = None
        failures = 0
        try:
            while not ear.is_closed:
                # What is told from here on may be newer than what is read.
                ear.told.clear()
                try:
                    facilitators = (await self._look()).facilitators
                except BrokerUnavailable:
                    await asyncio.sleep(full_jitter_s(failures, random=random.random))
                    failures += 1
                    continue
                failures = 0
                if facilitators != last:
                    last = facilitators
                    yield facilitators
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await ear.told.wait()
                except TimeoutError:
                    pass
        finally:
            self._tap.detach(self._session, ear)


class _PresenceEar:
    """Notes that somebody came or went. Who is there is read: the message may come late."""

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self.is_closed = False

    def heard(self, payload: bytes) -> None:
        if b'"presence"' in payload:
            self.told.set()

    def live(self) -> None:
        self.told.set()

    def closed(self) -> None:
        self.is_closed = True
        self.told.set()
