"""A reader with a task of its own, which sleeps until there is something to send."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from relay.identity import NOBODY
from relay.socket.reader import FeedReader

if TYPE_CHECKING:
    from relay.close_codes import CloseCode
    from relay.identity import Identity
    from relay.publication import Publication
    from relay.reader import Fresh, Welcome
    from relay.room import Room
    from relay.socket.serving import Serving

# Less than one write of a ``Connection``: what is made of it is not shared, and waits as often as once
# in the sender's hands and once in the server's.
_BATCH_BYTES = 16 * 1024


class WokenReader(FeedReader):
    """What connections have in common that are written to by a task, through a server's own ``send``.

    While it is served it belongs to the worker's ``Heartbeat``: a timer for each would cost as much as
    a delivery, with each delivery.

    Args:
        serving: shared by all connections of the worker.
        who: whose it is; nobody's when it is only to be refused.
    """

    __slots__ = ("_answers", "_room_for_answers", "_serving", "_wakeup", "slot")

    def __init__(self, serving: Serving, who: Identity = NOBODY) -> None:
        super().__init__(who)
        self._serving = serving
        self._wakeup = asyncio.Event()
        self._answers: deque[Publication] = deque()
        self._room_for_answers = asyncio.Event()
        self.slot = 0

    # reader.Reader

    def wake(self, _fresh: Fresh) -> bool:
        """Wake the sender."""
        self._wakeup.set()
        return False

    def restart(self, welcome: Welcome) -> None:
        """Begin anew with this welcome, after what is being sent."""
        self.generation = welcome.generation
        self._welcome = welcome
        self._wakeup.set()

    def end(self, code: CloseCode) -> None:
        """Close with this code, after what is being sent."""
        self.ending = self.ending or code
        self._wakeup.set()

    # reader.Facilitator

    def tell(self, message: Publication) -> None:
        """Send it behind the answers that wait; what may come here is bounded by the inbox."""
        self._answers.append(message)
        self._wakeup.set()

    def show_presence(self, presence: Publication) -> None:
        """Send it, if it is new."""
        if self.ask_presence(presence):
            self._wakeup.set()

    # heartbeat.Beating

    def beat(self) -> None:
        """Send a heartbeat behind all that is due."""
        self.ask_heartbeat()
        self._wakeup.set()

    # Inside

    async def _wait_for(
        self,
        joining: asyncio.Task[tuple[Room, Welcome]],
        receiver: asyncio.Task[object],
        *,
        timeout_s: float,
    ) -> tuple[Room, Welcome] | None:
        """Wait for a join while a task listens to the client; both tasks have ended then.

        Returns None when the listening ended first, or it took too long; the join is cancelled then,
        and left again if it was just done.
        """
        is_served = False
        try:
            await asyncio.wait(
                {joining, receiver}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            is_served = joining.done() and not joining.cancelled() and not receiver.done()
        finally:
            for task in (joining, receiver):
                task.cancel()
            await asyncio.gather(joining, receiver, return_exceptions=True)
            if not is_served and not joining.cancelled() and joining.exception() is None:
                self._serving.hub.leave(joining.result()[0], self)
        return joining.result() if is_served else None

    async def next_batch(self) -> list[Publication] | None:
        """Wait for what is to be sent next, and note it as sent; None when nothing more is.

        ``ending`` says why then.
        """
        heartbeat_s = self._serving.heartbeat_s
        while True:
            self._wakeup.clear()
            # The first message is the ``connection`` message, also when Redis kept it waiting.
            has_answer = bool(self._answers) and self._welcome is None
            if self.ending is not None and not has_answer:
                return None
            if has_answer:
                self._room_for_answers.set()
                return [self._answers.popleft()]
            sent_before = self.sent
            batch = self.take(_BATCH_BYTES, heartbeat_s)
            self._serving.records.delivered(self.sent - sent_before)
            if batch:
                return batch
            if self.ending is not None:
                continue
            await self._wakeup.wait()
