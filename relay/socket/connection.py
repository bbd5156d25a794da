"""One facilitator's connection over plain ASGI: runs under any server."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

from relay.close_codes import CloseCode
from relay.errors import InvalidMessage
from relay.messages import Connection as ConnectionMessage
from relay.messages import Error, Heartbeat, Ping, parse_inbound

if TYPE_CHECKING:
    from starlette.websockets import WebSocket
    from structlog.typing import FilteringBoundLogger

    from relay.metrics import Metrics
    from relay.publication import Publication
    from relay.room import Room, Welcome

# Answers that wait for a slow peer; with more than these its messages are no longer read.
_MAX_ANSWERS = 16


class Connection:
    """Sends a facilitator what lies between its cursor and the feed's end, and answers it.

    It owns no queue of publications: a slow reader keeps only its cursor, and when the ring has moved
    past that, the connection is closed (4002) and its client resumes from the log.

    Args:
        websocket: accepted.
        room: joined; ``run`` leaves nothing to do but ``Hub.leave``.
        welcome: what ``join`` returned.
        heartbeat_s: how long nothing may be sent before a heartbeat is.
    """

    def __init__(
        self,
        websocket: WebSocket,
        *,
        heartbeat_s: float,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._websocket = websocket
        self._heartbeat_s = heartbeat_s
        self._metrics = metrics
        self._log = log
        self.sent = 0
        self.received = 0

        self.generation = -1
        self._cursor = 0
        # A client asked for a heartbeat; several pings get one.
        self._answer_heartbeat = False
        self._wakeup = asyncio.Event()
        self._welcome: Welcome | None = None
        self._end: CloseCode | None = None
        self._answers: deque[str] = deque()
        self._room_for_answers = asyncio.Event()

    # room.Reader

    def wake(self) -> None:
        """Wake the sender."""
        self._wakeup.set()

    def restart(self, welcome: Welcome) -> None:
        """Begin anew with this welcome, after the message that is being sent."""
        self.generation = welcome.generation
        self._welcome = welcome
        self._wakeup.set()

    def end(self, code: CloseCode) -> None:
        """Close with this code after the message that is being sent."""
        self._end = code
        self._wakeup.set()

    # The endpoint's side

    async def receive_until(
        self, joining: asyncio.Task[Any], *, timeout_s: float
    ) -> CloseCode | int | None:
        """Read what the client sends while its join is under way; answers wait for ``run``.

        Returns None when the join is done, else the close code: the client's own when it has gone,
        ``BROKER_LOST`` after ``timeout_s``. The join is cancelled then, unless it was done as well.
        """
        receiver = asyncio.create_task(self._receive_all())
        try:
            done, _ = await asyncio.wait(
                {joining, receiver}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if receiver in done:
                return receiver.result()
            return None if joining in done else CloseCode.BROKER_LOST
        finally:
            for task in (joining, receiver):
                task.cancel()
            await asyncio.gather(joining, receiver, return_exceptions=True)

    async def run(self, room: Room, welcome: Welcome) -> CloseCode | int:
        """Serve until either side ends it; returns the close code.

        Cancelling is safe. The caller closes the socket when the code is ours to send.
        """
        self.restart(welcome)
        sender = asyncio.create_task(self._send_all(room), name="send")
        receiver = asyncio.create_task(self._receive_all(), name="receive")
        tasks = (sender, receiver)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # Both at once: what the peer said counts.
            return (receiver if receiver in done else sender).result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send_all(self, room: Room) -> CloseCode:
        feed = room.feed
        send = self._websocket.send_text
        try:
            while True:
                self._wakeup.clear()
                if self._end is not None:
                    return self._end
                if self._welcome is not None:
                    welcome, self._welcome = self._welcome, None
                    await self._send_welcome(room, welcome)
                    continue
                if self._answers:
                    await send(self._answers.popleft())
                    self._room_for_answers.set()
                    self._wakeup.set()
                    continue
                if self.generation == feed.generation:
                    publications = feed.read(self._cursor)
                    if publications is None:
                        return CloseCode.TOO_SLOW
                    if publications:
                        await self._send(publications)
                        continue
                if self._answer_heartbeat:
                    # After all publications: a heartbeat tells what the client must have by now.
                    self._answer_heartbeat = False
                    await send(self._heartbeat(room))
                    continue
                try:
                    async with asyncio.timeout(self._heartbeat_s):
                        await self._wakeup.wait()
                except TimeoutError:
                    # Something may have come at this very moment: look again first.
                    self._answer_heartbeat = True
        except WebSocketDisconnect:
            # The server found out before the receiver did.
            return CloseCode.ABNORMAL

    async def _send_welcome(self, room: Room, welcome: Welcome) -> None:
        backlog = welcome.backlog
        self._cursor = welcome.cursor
        message = ConnectionMessage(
            session=room.session,
            position=None if welcome.position is None else str(welcome.position),
            recovered=backlog.recovered,
            snapshot=0 if backlog.recovered else len(backlog.publications),
            heartbeat_s=self._heartbeat_s,
        )
        await self._websocket.send_text(message.to_json().decode())
        for publication in backlog.publications:
            if self._welcome is not None:
                # The log was lost while this was on its way: the next welcome replaces it.
                return
            await self._send_one(publication)

    async def _send(self, publications: list[Publication]) -> None:
        for publication in publications:
            if self._welcome is not None:
                return
            # Before the await: a cancelled send may have gone out.
            self._cursor += 1
            await self._send_one(publication)

    async def _send_one(self, publication: Publication) -> None:
        await self._websocket.send_text(publication.text)
        self.sent += 1
        self._metrics.deliveries.inc()

    def _heartbeat(self, room: Room) -> str:
        # While a new start is on its way, the feed's head is not what this client should have.
        head = room.feed.head if self.generation == room.feed.generation else None
        return Heartbeat(position=None if head is None else str(head)).to_json().decode()

    async def _receive_all(self) -> CloseCode | int:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return int(message.get("code") or CloseCode.ABNORMAL)
            self.received += 1
            text = message.get("text")
            if text is None:
                self._answer_error(InvalidMessage("Send text frames with JSON, not binary frames."))
            else:
                self._handle(text)
            while len(self._answers) >= _MAX_ANSWERS:
                self._room_for_answers.clear()
                await self._room_for_answers.wait()

    def _handle(self, text: str) -> None:
        try:
            message = parse_inbound(text)
        except InvalidMessage as error:
            self._answer_error(error)
            return
        self._metrics.inbound.labels("ok").inc()
        if isinstance(message, Ping):
            self._answer_heartbeat = True
            self._wakeup.set()

    def _answer_error(self, error: InvalidMessage) -> None:
        self._metrics.inbound.labels(error.code).inc()
        self._log.info("bad message", error=str(error))
        self._answer(Error(code=error.code, text=str(error)).to_json().decode())

    def _answer(self, text: str) -> None:
        self._answers.append(text)
        self._wakeup.set()
