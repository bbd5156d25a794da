"""One facilitator's connection as Server-Sent Events (HTML Living Standard section 9.2)."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import orjson

from relay.close_codes import CloseCode
from relay.frames import server_sent_event
from relay.socket.woken_reader import WokenReader

if TYPE_CHECKING:
    from starlette.types import Receive, Send

    from relay.identity import Identity
    from relay.position import Position
    from relay.publication import Publication
    from relay.reader import Welcome
    from relay.room import Room
    from relay.socket.protocol import Control
    from relay.socket.serving import Serving

HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    # nginx, and others that took it over, would collect the stream.
    (b"x-accel-buffering", b"no"),
]
# When browsers come back by themselves, who all lose a relay at once; our page decides itself.
_RETRY_FROM_MS, _RETRY_SPREAD_MS = 1000, 4000
_MAX_BEATS_STUCK = 2
# How long a peer may take to read what is on its way to it when the server stops; as in connection.py.
_FAREWELL_S = 1.0
# With more that its peer has not read a stream waits, as in connection.py.
_HIGH_WATER_BYTES = 4 * 1024


class EventStream(WokenReader):
    """Says the same as a ``Connection``, in the same order; nothing can be said to it.

    Each event's id is a position from which resuming is right. So it keeps the rules by which a client
    keeps its position (docs/PROTOCOL.md) for those that do not: until a snapshot is complete there is
    none.

    Args:
        serving: shared by all connections of the worker.
        client: the peer's address, for the log.
        who: whose it is.
    """

    __slots__ = (
        "_beats_stuck", "_client", "_control", "_farewell", "_head", "_joining", "_sender", "_snapshot_left",
        "_visit",
    )  # fmt: skip

    def __init__(self, serving: Serving, client: str | None, who: Identity) -> None:
        super().__init__(serving, who)
        self._client = client
        self._control: Control | None = None
        self._visit = random.getrandbits(32)
        self._joining: asyncio.Task[tuple[Room, Welcome]] | None = None
        self._sender: asyncio.Task[int] | None = None
        self._farewell: asyncio.TimerHandle | None = None
        # Since the server has been given what it has not taken yet; negative: it has taken all.
        self._beats_stuck = -1
        # How many messages of a snapshot are still to come, and what is reached with the last.
        self._snapshot_left = 0
        self._head: Position | None = None

    # reader.Reader

    def end(self, code: CloseCode) -> None:
        """Close with this code, after what is being sent; a join under way is given up."""
        super().end(code)
        if self._joining is not None:
            self._joining.cancel()

    # heartbeat.Beating

    def beat(self) -> None:
        """Send a heartbeat; give up a peer that has taken nothing since the last but one."""
        if self._beats_stuck < 0:
            super().beat()
            return
        self._beats_stuck += 1
        if self._beats_stuck == _MAX_BEATS_STUCK:
            # A peer that reads nothing at all is gone, or as good as gone.
            self._give_up()

    # The endpoint's side

    def attach(self, control: Control | None) -> None:
        """Take the server's connection; None under a server that does not show it.

        Call ``detach`` in the end.
        """
        self._control = control
        if control is not None:
            control.buffer_at_most(_HIGH_WATER_BYTES)
            control.on_shutdown = self._shut_down
            if control.is_shut_down:
                # While its token was looked at.
                self._shut_down()

    async def wait_for(
        self,
        joining: asyncio.Task[tuple[Room, Welcome]],
        session: str,
        receive: Receive,
        *,
        timeout_s: float,
    ) -> tuple[Room, Welcome] | None:
        """Wait for a join that may take Redis.

        Returns None when the client left, it took too long, or ``end`` was called; the join is
        cancelled then, and left again if it was just done.
        """
        self._joining = joining
        if self.ending is not None:
            joining.cancel()
        receiver = asyncio.create_task(_until_gone(receive))
        try:
            joined = await self._wait_for(joining, receiver, timeout_s=timeout_s)
        finally:
            self._joining = None
        if joined is None:
            is_gone = not receiver.cancelled()
            code = CloseCode.ABNORMAL if is_gone else self.ending or CloseCode.BROKER_LOST
            self._serving.records.left_early(self._visit, self._client, session, code)
        return joined

    async def serve(
        self, room: Room, welcome: Welcome, since: Position | None, receive: Receive, send: Send
    ) -> None:
        """Serve until either side ends it; then the room is left. Cancelling is safe."""
        self.start(room, welcome)
        serving = self._serving
        began_s = serving.records.connected(self._visit, self._client, room.session, since, welcome)
        code: int = CloseCode.INTERNAL_ERROR
        serving.heartbeat.add(self)
        try:
            code = await self._run(receive, send)
        finally:
            serving.heartbeat.discard(self)
            serving.hub.leave(room, self)
            serving.records.disconnected(
                self._visit,
                self._client,
                room.session,
                code=code,
                began_s=began_s,
                sent=self.sent,
                received=0,
            )

    def detach(self) -> None:
        """Let go of the server's connection.

        What refers to one another waits for the garbage collector, which runs rarely here.
        """
        self._sender = None
        if self._farewell is not None:
            self._farewell.cancel()
            self._farewell = None
        if self._control is not None:
            self._control.on_shutdown = None
            self._control = None

    # Inside

    async def _run(self, receive: Receive, send: Send) -> int:
        sender = self._sender = asyncio.create_task(self._send_all(send), name="send")
        receiver = asyncio.create_task(_until_gone(receive), name="receive")
        try:
            await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
            if not sender.done():
                return CloseCode.ABNORMAL
            if not sender.cancelled():
                return sender.result()
            if self._control is not None:
                self._control.abort()
            return CloseCode.TOO_SLOW
        finally:
            for task in (sender, receiver):
                task.cancel()
            await asyncio.gather(sender, receiver, return_exceptions=True)

    async def _send_all(self, send: Send) -> int:
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            retry_ms = _RETRY_FROM_MS + self._visit % _RETRY_SPREAD_MS
            await self._send_body(send, b"retry: %d\n\n" % retry_ms)
            while (batch := await self.next_batch()) is not None:
                await self._send_body(send, b"".join(map(self._event, batch)))
            code = self.ending or CloseCode.INTERNAL_ERROR
            await self._send_body(send, _close_event(code))
            await send({"type": "http.response.body", "body": b""})
        except OSError:
            # Some servers say so when the client has gone; ours just tells the receiver.
            return CloseCode.ABNORMAL
        return code

    async def _send_body(self, send: Send, body: bytes) -> None:
        self._beats_stuck = 0
        await send({"type": "http.response.body", "body": body, "more_body": True})
        self._beats_stuck = -1

    def _begin(self, room: Room, welcome: Welcome, heartbeat_s: float) -> Publication:
        backlog = welcome.backlog
        self._snapshot_left = 0 if backlog.recovered else len(backlog.publications)
        self._head = None if backlog.recovered else welcome.position
        return super()._begin(room, welcome, heartbeat_s)

    def _event(self, message: Publication) -> bytes:
        """Return a message as an event."""
        if self._head is None and not self._snapshot_left:
            # Nearly all.
            return message.event
        if message.position is not None:
            self._snapshot_left -= 1
        if self._snapshot_left or self._head is None:
            return server_sent_event(None, message.utf8)
        # The connection message when no snapshot follows it, else the snapshot's last.
        position, self._head = self._head, None
        return server_sent_event(str(position), message.utf8)

    def _give_up(self) -> None:
        if self._sender is not None:
            self._sender.cancel()

    def _shut_down(self) -> None:
        self.end(CloseCode.RESTART)
        # The server would wait for it, and then say that the app has failed.
        self._farewell = asyncio.get_running_loop().call_later(_FAREWELL_S, self._give_up)


def _close_event(code: CloseCode) -> bytes:
    said = orjson.dumps({"code": int(code), "reason": code.reason})
    return b"event: close\ndata: " + said + b"\n\n"


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
