"""Somebody innocent: reads a paced session while others misbehave beside it."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from producers import HintPublisher
    from tests.support.client import Client

SESSION = "innocent"
_HINTS_PER_S = 50
# How long the last hints may take; the rest is lost.
_PATIENCE_S = 30.0


class Noticed(NamedTuple):
    """What came of it.

    Attributes:
        latencies_ms: from publishing to arrival.
        lost: hints that did not arrive.
        twice: those that arrived again, or that nobody had published.
    """

    latencies_ms: list[float]
    lost: int
    twice: int

    @property
    def p99_ms(self) -> float:
        """What 99 of 100 hints did not take longer than."""
        return sorted(self.latencies_ms)[int(len(self.latencies_ms) * 0.99)]

    @property
    def max_ms(self) -> float:
        """The slowest."""
        return max(self.latencies_ms)


async def follow(
    publisher: HintPublisher, facilitator: Client, meanwhile: Awaitable[object]
) -> Noticed:
    """Publish to ``SESSION`` at a steady pace, and read it, until something else is done."""
    sent: dict[str, float] = {}
    arrived: list[float] = []
    twice = 0

    async def read() -> None:
        nonlocal twice
        while True:
            text = (await facilitator.next_of("hint", 2 * _PATIENCE_S))["text"]
            if (sent_s := sent.pop(text, None)) is None:
                twice += 1
            else:
                arrived.append((time.monotonic() - sent_s) * 1000)

    reading = asyncio.create_task(read())
    busy = asyncio.ensure_future(meanwhile)
    began_s = time.monotonic()
    number = 0
    try:
        while not busy.done():
            await asyncio.sleep(max(0.0, began_s + number / _HINTS_PER_S - time.monotonic()))
            number += 1
            text = f"{began_s}-{number}"
            sent[text] = time.monotonic()
            await publisher.hint(SESSION, text)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while sent and not reading.done():
                    await asyncio.sleep(0.005)
        if reading.done():
            # It lost its connection, or something else that it must not.
            reading.result()
        busy.result()
    finally:
        reading.cancel()
        busy.cancel()
        await asyncio.gather(reading, busy, return_exceptions=True)
    return Noticed(arrived, len(sent), twice)
