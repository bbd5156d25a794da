"""Who is watching: reported for this worker's sessions, and told to those who come."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from relay.errors import BrokerError
from relay.logs import get_logger
from relay.roll import Roll

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.broker.presence import PresenceBoard
    from relay.metrics import Metrics
    from relay.room import Room

# How often it is looked who is due.
_TICK_S = 0.1
# Sessions in one round trip: enough that a thousand cost little, few enough not to hold Redis up.
_BATCH = 50
# How long going may take when the worker stops.
_FAREWELL_S = 1.0


class Attendance:
    """Reports who is watching on this worker: after a change, and again before a report expires.

    All methods belong to one event loop. Redis tells everybody when the whole has changed; who came
    and changed nothing (a second window, a reload) is shown it here, alone. What was told while this
    worker's subscription was broken is shown to all with the next report.

    Args:
        board: where all workers report.
        metrics: is told what happens.
        worker: this worker's unique name.
        clock_s: a clock that does not step back.
    """

    def __init__(
        self,
        board: PresenceBoard,
        metrics: Metrics,
        *,
        worker: str,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._metrics = metrics
        self._worker = worker
        self._clock_s = clock_s
        self._roll = Roll()
        self._is_failing = False
        self._log = get_logger("relay.attendance")

    @property
    def sessions(self) -> int:
        """How many sessions have facilitators here, or have to be reported as left."""
        return len(self._roll)

    def came(self, room: Room) -> None:
        """Note that somebody has come."""
        self._roll.came(room, self._clock_s())

    def went(self, room: Room) -> None:
        """Note that somebody has gone."""
        self._roll.went(room, self._clock_s())

    def report_all(self) -> None:
        """Report everything again soon: Redis was away, and may have lost it."""
        self._roll.all_are_due(self._clock_s())

    async def run(self) -> None:
        """Report until cancelled; then say, within a second, that nobody is here any more."""
        try:
            while True:
                await asyncio.sleep(_TICK_S)
                try:
                    await self.report_due()
                except Exception:  # noqa: BLE001 - whatever it is
                    # A loop that outlives what it did not foresee; the next change tells.
                    self._log.exception("reporting who is watching failed unexpectedly")
                    await asyncio.sleep(1.0)
        finally:
            await self._leave()

    async def report_due(self) -> None:
        """Report what is due now."""
        while turns := self._roll.take_due(self._clock_s(), _BATCH):
            before = [turn.room.presence for turn in turns]
            try:
                answers = await self._board.report_all(
                    self._worker, [(turn.session, turn.names) for turn in turns]
                )
            except BaseException as error:
                now_s = self._clock_s()
                for turn in turns:
                    self._roll.failed(turn, now_s)
                if not isinstance(error, BrokerError):
                    raise
                if not self._is_failing:
                    self._is_failing = True
                    self._log.warning("can't report who is watching", error=str(error))
                return
            self._is_failing = False
            now_s = self._clock_s()
            for turn, watching, shown in zip(turns, answers, before, strict=True):
                self._roll.done(turn, now_s)
                if watching.told:
                    # It comes back to everybody, here too, on the session's channel.
                    self._metrics.presence_told.add()
                elif turn.room.presence is not shown:
                    # All were shown what was told meanwhile, which may be newer than this answer.
                    pass
                elif turn.has_newcomers or shown is None or shown.payload != watching.message:
                    turn.room.show_presence(watching.message)

    async def _leave(self) -> None:
        sessions = self._roll.sessions
        try:
            async with asyncio.timeout(_FAREWELL_S):
                for begin in range(0, len(sessions), _BATCH):
                    batch = sessions[begin : begin + _BATCH]
                    await self._board.report_all(self._worker, [(one, ()) for one in batch])
        except (BrokerError, TimeoutError) as error:
            # What was reported expires by itself.
            self._log.info("can't report that nobody is left", error=str(error))
