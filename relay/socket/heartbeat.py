"""One timer that visits every connection of a worker once in an interval."""

from __future__ import annotations

import asyncio
from typing import Protocol

from relay.logs import get_logger

# Parts of an interval: few visits at a time, so that thousands of connections never wait for it.
_SLOTS = 100


class Beating(Protocol):
    """What is visited."""

    slot: int
    """Which part of the interval it belongs to; set by ``add``."""

    def beat(self) -> None:
        """Look whether the peer still answers, and tell it that we do."""


class Heartbeat:
    """Visits everybody once in ``interval_s``; a new one after a whole interval.

    A timer for each connection would cost more memory than the connection, and a heap of thousands.
    """

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self._slots: list[set[Beating]] = [set() for _ in range(_SLOTS)]
        self._next = 0

    def add(self, beating: Beating) -> None:
        """Visit it from now on."""
        beating.slot = (self._next - 1) % _SLOTS
        self._slots[beating.slot].add(beating)

    def discard(self, beating: Beating) -> None:
        """Visit it no more; one that was never added is fine."""
        self._slots[beating.slot].discard(beating)

    def tick(self) -> None:
        """Visit the next part; call it ``ticks_per_interval`` times in an interval."""
        number, self._next = self._next, (self._next + 1) % _SLOTS
        # A visit may end a connection, and so change the set.
        slot = self._slots[number]
        for beating in tuple(slot):
            if beating not in slot:
                continue
            try:
                beating.beat()
            except Exception:  # noqa: BLE001 - whatever it is
                # One that fails must not end the heartbeat of all others.
                get_logger("relay.socket").exception("a heartbeat failed")

    async def run(self) -> None:
        """Tick until cancelled; a loop that was held up makes up for what it missed."""
        loop = asyncio.get_running_loop()
        pause_s = self.interval_s / _SLOTS
        due_s = loop.time()
        while True:
            due_s += pause_s
            await asyncio.sleep(max(pause_s / 4, due_s - loop.time()))
            if loop.time() - due_s > pause_s:
                # Held up (a burst, SIGSTOP): what peers have answered meanwhile is still unread.
                await asyncio.sleep(pause_s / 4)
                due_s = max(due_s, loop.time() - self.interval_s / 4)
            self.tick()
