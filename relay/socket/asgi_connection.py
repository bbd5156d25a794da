"""One facilitator's connection over plain ASGI: runs under any server, and in test clients."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocketDisconnect

from relay.close_codes import CloseCode, code_of_refusal
from relay.errors import LimitReached
from relay.identity import NOBODY
from relay.inbox import error_answer
from relay.socket.connection import FLOODED, FRAME_COST
from relay.socket.woken_reader import WokenReader
from relay.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from starlette.websockets import WebSocket

    from relay.errors import Refusal
    from relay.identity import Identity
    from relay.position import Position
    from relay.reader import Welcome
    from relay.room import Room
    from relay.socket.serving import Serving

# Answers that wait for a slow peer; with more than these its messages are no longer read.
_MAX_ANSWERS = 16


class AsgiConnection(WokenReader):
    """Says the same as a ``Connection``, in the same order; the server does the rest.

    Pings, and closing a peer that answers none, are the server's: give it ping times.

    Args:
        websocket: accepted.
        serving: shared by all connections of the worker.
        client: the peer's address, for the log.
        who: whose it is; nobody's when it is only to be refused.
    """

    __slots__ = ("_bytes", "_client", "_early", "_received", "_visit", "_websocket")

    def __init__(
        self,
        websocket: WebSocket,
        serving: Serving,
        client: str | None,
        who: Identity = NOBODY,
    ) -> None:
        super().__init__(serving, who)
        self._websocket = websocket
        self._client = client
        self._visit = random.getrandbits(32)
        self._received = 0
        # What came before the session was there to be spoken to.
        self._early: deque[MutableMapping[str, Any]] = deque()
        burst = serving.inbound_bytes
        self._bytes = TokenBucket(burst / serving.heartbeat_s, burst, time.monotonic())

    # The endpoint's side

    async def refuse(self, error: Refusal) -> None:
        """Say what is wrong with the request, and close."""
        self._serving.records.refused(self._visit, self._client, error)
        try:
            await self._websocket.send_text(error_answer(error).text)
        except (WebSocketDisconnect, RuntimeError):
            # The peer was faster, or the server has closed it for what came early.
            return
        await self._close(code_of_refusal(error))

    async def wait_for(
        self, joining: asyncio.Task[tuple[Room, Welcome]], session: str, *, timeout_s: float
    ) -> tuple[Room, Welcome] | None:
        """Read what the client sends while its join is under way; ``serve`` acts on it.

        Returns None when the client left or it took too long; the join is cancelled then, and left
        again if it was just done.
        """
        receiver = asyncio.create_task(self._receive_early())
        joined = await self._wait_for(joining, receiver, timeout_s=timeout_s)
        if joined is not None:
            return joined
        code = CloseCode.BROKER_LOST if receiver.cancelled() else receiver.result()
        self._serving.records.left_early(self._visit, self._client, session, code)
        if isinstance(code, CloseCode):
            await self._close(code)
        return None

    async def serve(self, room: Room, welcome: Welcome, since: Position | None) -> None:
        """Serve until either side ends it; then the room is left. Cancelling is safe."""
        self.start(room, welcome)
        serving = self._serving
        began_s = serving.records.connected(self._visit, self._client, room.session, since, welcome)
        ended: CloseCode | int = CloseCode.INTERNAL_ERROR
        serving.heartbeat.add(self)
        try:
            ended = await self._run()
        finally:
            serving.heartbeat.discard(self)
            serving.hub.leave(room, self)
            serving.records.disconnected(
                self._visit,
                self._client,
                room.session,
                code=ended,
                began_s=began_s,
                sent=self.sent,
                received=self._received,
            )
            if isinstance(ended, CloseCode):
                await self._close(ended)

    # Inside

    async def _run(self) -> CloseCode | int:
        sender = asyncio.create_task(self._send_all(), name="send")
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

    async def _send_all(self) -> CloseCode:
        send = self._websocket.send_text
        try:
            while (batch := await self.next_batch()) is not None:
                for message in batch:
                    await send(message.text)
        except (WebSocketDisconnect, RuntimeError):
            # The server found out before the receiver did, or has closed it itself.
            return CloseCode.ABNORMAL
        return self.ending or CloseCode.ABNORMAL

    async def _receive_early(self) -> CloseCode | int:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return self._close_code(message)
            self._early.append(message)
            if len(self._early) >= _MAX_ANSWERS:
                # The rest waits in the kernel, until this is cancelled.
                await asyncio.Event().wait()

    async def _receive_all(self) -> CloseCode | int:
        while True:
            message = self._early.popleft() if self._early else await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return self._close_code(message)
            self._received += 1
            text: Any = message.get("text")
            size = len(message["bytes"] if text is None else text) + FRAME_COST
            if self._bytes.take(time.monotonic(), size):
                self._serving.records.flooded(self._visit, self._client, "inbound_bytes_per_s")
                self._answers.append(error_answer(LimitReached("inbound_bytes_per_s", FLOODED)))
                self.end(CloseCode.LIMIT_REACHED)
                # The sender goes on from here.
                await asyncio.Event().wait()
            answer = self._serving.handle(
                self, message["bytes"] if text is None else text, visit=self._visit,
                client=self._client,
            )  # fmt: skip
            if answer is not None:
                self._answers.append(answer)
            self._wakeup.set()
            while len(self._answers) >= _MAX_ANSWERS:
                self._room_for_answers.clear()
                await self._room_for_answers.wait()

    async def _close(self, code: CloseCode) -> None:
        try:
            await self._websocket.close(int(code), code.reason)
        except (WebSocketDisconnect, RuntimeError):
            # The peer was faster, or the server has already said it.
            pass

    def _close_code(self, message: MutableMapping[str, Any]) -> int:
        code = int(message.get("code") or CloseCode.ABNORMAL)
        if code == CloseCode.TOO_BIG:
            # The server's doing, which has no other way of telling.
            self._serving.records.flooded(self._visit, self._client, "max_inbound_bytes")
        return code
