"""Receipts on their way to Redis: who was served how far, and who has seen what."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from relay.errors import BrokerError
from relay.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.broker.receipts import ReceiptBook
    from relay.position import Position
    from relay.reader import Facilitator
    from relay.room import Room

_WRITE_EVERY_S = 1.0
# Names under hints, and positions, that wait for Redis together.
_MAX_WAITING = 20_000
# How long the rest may take when the worker stops.
_FAREWELL_S = 1.0


class Receipts:
    """Collects what is worth a receipt and writes it once a second, off everybody's way.

    All methods belong to one event loop. Receipts are a courtesy: when Redis is away for so long that
    too many wait, further ones are dropped, and that is logged once.
    """

    def __init__(self, book: ReceiptBook) -> None:
        self._book = book
        self._seen: dict[str, dict[str, set[str]]] = {}
        self._delivered: dict[str, dict[str, Position]] = {}
        # Rooms of which an agent wants to know now.
        self._asked: dict[str, Room] = {}
        self._asked_now = asyncio.Event()
        self._waiting = 0
        self._is_failing = False
        self._is_dropping = False
        self._log = get_logger("relay.receipts")

    def __len__(self) -> int:
        """Return how many receipts wait to be written."""
        return self._waiting

    def note_seen(self, session: str, hint_ids: Iterable[str], name: str) -> None:
        """Note that somebody has seen hints."""
        for hint_id in hint_ids:
            if not self._has_room():
                return
            names = self._seen.setdefault(session, {}).setdefault(hint_id, set())
            self._waiting += name not in names
            names.add(name)

    def note_served(self, room: Room, facilitator: Facilitator) -> None:
        """Note how far somebody was served until now."""
        position = facilitator.delivered()
        if position is not None:
            self._note_delivered(room.session, facilitator.name, position)

    def ask(self, room: Room) -> None:
        """Write down soon how far everybody in a room has been served."""
        self._asked[room.session] = room
        self._asked_now.set()

    async def run(self) -> None:
        """Write until cancelled; then write the rest, within a second."""
        try:
            while True:
                try:
                    async with asyncio.timeout(_WRITE_EVERY_S):
                        await self._asked_now.wait()
                except TimeoutError:
                    pass
                try:
                    await self.write()
                except Exception:  # noqa: BLE001 - whatever it is
                    # A loop that outlives what it did not foresee.
                    self._log.exception("writing receipts failed unexpectedly")
                if self._is_failing:
                    # Else somebody who asks again and again would make it try without a pause.
                    await asyncio.sleep(_WRITE_EVERY_S)
        finally:
            try:
                async with asyncio.timeout(_FAREWELL_S):
                    await self.write()
            except TimeoutError:
                self._log.info("receipts lost", count=self._waiting)

    async def write(self) -> None:
        """Write what waits; what Redis does not take waits on."""
        self._asked_now.clear()
        asked, self._asked = self._asked, {}
        for room in asked.values():
            for facilitator in room.facilitators():
                self.note_served(room, facilitator)
        try:
            for session in list(self._delivered):
                await self._write_delivered(session)
            for session in list(self._seen):
                await self._write_seen(session)
        except BrokerError as error:
            if not self._is_failing:
                self._is_failing = True
                self._log.warning("can't write receipts", error=str(error))
        else:
            self._is_failing = self._is_dropping = False

    async def _write_delivered(self, session: str) -> None:
        positions = self._delivered.pop(session)
        self._waiting -= len(positions)
        try:
            await self._book.note_delivered(session, positions)
        except BaseException:
            for name, position in positions.items():
                self._note_delivered(session, name, position)
            raise

    async def _write_seen(self, session: str) -> None:
        hints = self._seen.pop(session)
        self._waiting -= sum(map(len, hints.values()))
        try:
            await self._book.note_seen(session, hints)
        except BaseException:
            for hint_id, names in hints.items():
                for name in names:
                    self.note_seen(session, [hint_id], name)
            raise

    def _note_delivered(self, session: str, name: str, position: Position) -> None:
        if not self._has_room():
            return
        positions = self._delivered.setdefault(session, {})
        known = positions.get(name)
        self._waiting += known is None
        # One person may have several windows.
        positions[name] = position if known is None else max(known, position)

    def _has_room(self) -> bool:
        if self._waiting < _MAX_WAITING:
            return True
        if not self._is_dropping:
            self._is_dropping = True
            self._log.warning("receipts dropped: too many wait", limit=_MAX_WAITING)
        return False
