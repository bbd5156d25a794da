"""One facilitator's connection on a transport of its own: no task, no queue, no ASGI."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import TYPE_CHECKING, Any, cast

from websockets.frames import Frame, Opcode

from relay.close_codes import CloseCode, code_of_refusal
from relay.errors import LimitReached
from relay.identity import NOBODY
from relay.inbox import error_answer
from relay.socket.inbound import Ended
from relay.socket.reader import FeedReader

if TYPE_CHECKING:
    from relay.errors import Refusal
    from relay.identity import Identity
    from relay.position import Position
    from relay.publication import Publication
    from relay.reader import Fresh, Welcome
    from relay.room import Room
    from relay.socket.inbound import Inbound
    from relay.socket.serving import Serving

# What the kernel does not take at once stays in the transport; with more than this it asks for a pause.
# So a slow reader costs this and one write at most.
_HIGH_WATER_BYTES = 4 * 1024
# How long a peer may take to answer our close frame (RFC 6455 section 7.1.1).
_CLOSE_TIMEOUT_S = 10.0
# The same for a peer that has already shown that it does not answer, or does not read.
_FAREWELL_S = 1.0
# What is sent while the session is being opened waits; with more of it the socket is not read.
_MAX_WAITING = 16

# What reading a frame costs beside its bytes, in bytes.
FRAME_COST = 128
# What is read at a time: the smallest frames are 6 bytes and take some 10 µs each.
_SLICE_BYTES = 2048
# What is dropped of somebody who goes on after he was told to stop.
_MAX_DROPPED_BYTES = 1024 * 1024
FLOODED = "You send more than a connection may: come back, and send less."

_PING = Frame(Opcode.PING, b"").serialize(mask=False)


class Connection(FeedReader, asyncio.Protocol):
    """A facilitator after the handshake: an asyncio protocol on the server's own transport.

    A room wakes it with frames that are ready for everybody; if it stands where they begin, that is
    one ``transport.write``. Otherwise, and when its peer reads slower than it is written to, it goes
    on from its cursor at its own pace. Between two messages of its client it holds no parser.

    All methods belong to the event loop. The order of calls is ``connection_made`` (from the
    hand-over), then ``refuse``, or ``begin``, or ``wait_for`` and ``begin``.

    Args:
        serving: shared by all connections of the worker.
        client: the peer's address, for the log.
        response: the answer to the handshake; goes out with the first message, in one write.
        open_connections: the server's set of what it shuts down with itself.
        who: whose it is; nobody's when it is only to be refused.
    """

    __slots__ = (
        "_began_s", "_client", "_close_timer", "_heard", "_inbound", "_is_closing", "_is_deaf",
        "_is_held", "_is_lost", "_is_paused", "_is_reading_on", "_is_ready", "_joining",
        "_open_connections", "_pong_is_due", "_received", "_serving", "_stuck_at", "_transport",
        "_unread", "_unsent", "_visit", "_waiting", "code", "slot",
    )  # fmt: skip

    _transport: asyncio.Transport

    def __init__(
        self,
        serving: Serving,
        client: str | None,
        response: bytes,
        open_connections: set[Any],
        who: Identity = NOBODY,
    ) -> None:
        super().__init__(who)
        self._unsent = response
        self._serving = serving
        # Offices and load balancers are many at one address.
        self._client = None if client is None else sys.intern(client)
        self._open_connections = open_connections
        self._visit = random.getrandbits(32)
        self._joining: asyncio.Task[Any] | None = None
        # Its own only while it is in the middle of a message, or closing.
        self._inbound: Inbound | None = None
        self._waiting: list[str | bytes] | None = None
        self._close_timer: asyncio.TimerHandle | None = None
        self._began_s = 0.0
        self._received = 0
        # What has come since the last beat, in bytes and what a frame costs.
        self._heard = 0
        self._stuck_at = -1
        # Whether fresh frames may be written as they come: nothing else is due, and no pause.
        self._is_ready = False
        self._is_paused = False
        self._is_closing = False
        self._is_lost = False
        self._pong_is_due = False
        self._is_deaf = False
        # Whether reading is put off: too much waits, or the peer does not read the answers.
        self._is_held = False
        # What has come and was not looked at yet, and whether that is about to happen.
        self._unread = b""
        self._is_reading_on = False
        self.slot = 0
        self.code: int = CloseCode.ABNORMAL
        """How it ended, or will end; the peer's own code when it was the peer who closed."""

    # The endpoint's side

    def refuse(self, error: Refusal) -> None:
        """Say what is wrong with the request, and close."""
        self._serving.records.refused(self._visit, self._client, error)
        if not self._is_closing:
            # A hasty client may have closed already, and nothing may follow a close frame.
            self._write(error_answer(error).frame)
        self.end(code_of_refusal(error))

    async def wait_for(
        self, joining: asyncio.Task[tuple[Room, Welcome]], session: str, *, timeout_s: float
    ) -> tuple[Room, Welcome] | None:
        """Wait for a join that takes Redis; None when the client left or it took too long.

        The join is cancelled then, and left again if it was just done.
        """
        self._joining = joining
        self._write(b"")
        is_served = False
        try:
            await asyncio.wait({joining}, timeout=timeout_s)
            is_served = joining.done() and not joining.cancelled() and not self._is_closing
        finally:
            self._joining = None
            if not is_served:
                joining.cancel()
                await asyncio.gather(joining, return_exceptions=True)
                if not joining.cancelled() and joining.exception() is None:
                    self._serving.hub.leave(joining.result()[0], self)
        if is_served:
            return joining.result()
        self.end(CloseCode.BROKER_LOST)
        self._serving.records.left_early(self._visit, self._client, session, self.code)
        return None

    def begin(self, room: Room, welcome: Welcome, since: Position | None) -> None:
        """Serve from now on; its end is noticed, and the room left, by itself."""
        self.start(room, welcome)
        self._began_s = self._serving.records.connected(
            self._visit, self._client, room.session, since, welcome
        )
        self._pump()
        if self._waiting:
            # More than a few that wait had stopped it.
            self._go_on_reading()
            self._handle_waiting()

    # reader.Reader

    def wake(self, fresh: Fresh) -> bool:
        """Write what is fresh, or look what is due."""
        if self._is_ready and self.cursor == fresh.begin:
            self.cursor = fresh.end
            self._transport.write(fresh.frames)
            return True
        self._pump()
        return False

    def restart(self, welcome: Welcome) -> None:
        """Begin anew with this welcome."""
        self.generation = welcome.generation
        self._welcome = welcome
        self._pump()

    def end(self, code: CloseCode) -> None:
        """Close with this code."""
        if self.ending is None:
            self.ending = code
            self._pump()

    # reader.Facilitator

    def tell(self, message: Publication) -> None:
        """Write it now, also to a peer that has been slow: it is little, and bounded by the inbox."""
        if self.room is not None and not self._is_closing:
            self._write(message.frame)

    def show_presence(self, presence: Publication) -> None:
        """Write it, if it is new."""
        if not self.ask_presence(presence):
            return
        if self._is_ready:
            self._presence_is_due = False
            self._transport.write(presence.frame)
        else:
            self._pump()

    # heartbeat.Beating

    def beat(self) -> None:
        """Send a ping and a heartbeat; give up a peer that has not answered the last one."""
        self._heard = 0
        if self._is_closing or self.room is None:
            return
        if self._is_paused:
            # A peer that reads nothing at all is gone, or as good as gone.
            buffered = self._transport.get_write_buffer_size()
            if buffered == self._stuck_at:
                self._close(CloseCode.TOO_SLOW, _FAREWELL_S)
            self._stuck_at = buffered
            return
        self._stuck_at = -1
        if self._pong_is_due:
            self._close(CloseCode.NO_PONG, _FAREWELL_S)
            return
        self._pong_is_due = True
        self.ask_heartbeat()
        self._pump(_PING)

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport over."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_HIGH_WATER_BYTES)
        self._open_connections.add(self)
        self._serving.heartbeat.add(self)

    def data_received(self, data: bytes) -> None:
        """Read what the client sends, a little at a time: others have their turns in between."""
        if self._is_deaf:
            self._heard += len(data)
            if self._heard > _MAX_DROPPED_BYTES:
                self._transport.abort()
        elif self._unread:
            # It came before the pause took effect.
            self._unread += data
        elif len(data) <= _SLICE_BYTES:
            self._read(data)
        else:
            self._unread = data
            self._transport.pause_reading()
            self._read_on()

    def _read_on(self) -> None:
        """Read the next slice of what has come."""
        self._is_reading_on = False
        if self._is_lost:
            return
        data, self._unread = self._unread[:_SLICE_BYTES], self._unread[_SLICE_BYTES:]
        self._read(data)
        if self._is_deaf:
            self._unread = b""
        if not self._is_held:
            self._go_on_reading()

    def _hold_reading(self) -> None:
        """Read no further for now: the kernel keeps what comes, and then the peer has to wait."""
        self._is_held = True
        self._transport.pause_reading()

    def _go_on_reading(self) -> None:
        self._is_held = False
        if self._transport.is_closing():
            return
        if not self._unread:
            self._transport.resume_reading()
        elif not self._is_reading_on:
            self._is_reading_on = True
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read(self, data: bytes) -> None:
        self._pong_is_due = False
        inbound = self._inbound or self._serving.inbound
        inbound.frames = 0
        ended = None
        for message in inbound.receive(data):
            if isinstance(message, Ended):
                ended = message
            elif not self._is_closing:
                self._waiting = self._waiting or []
                self._waiting.append(message)
        self._heard += len(data) + inbound.frames * FRAME_COST
        self._keep_parser(inbound)
        output = inbound.output()
        if self._waiting:
            self._handle_waiting()
        if output:
            # Behind the answers: no message may follow a close frame (RFC 6455 section 5.5.1).
            self._write(output)
        if ended is not None:
            self._ended(inbound, ended)
        elif self._heard > self._serving.inbound_bytes and not self._is_closing:
            self._send_away()
        elif output and self._is_paused:
            # It makes us answer and does not read the answers.
            self._hold_reading()

    def pause_writing(self) -> None:
        """Stop writing; the cursor keeps the place."""
        self._is_paused = True
        self._is_ready = False

    def resume_writing(self) -> None:
        """Go on from the cursor."""
        self._is_paused = False
        self._stuck_at = -1
        self._pump()
        if not self._transport.is_closing():
            self._go_on_reading()
            if self._waiting:
                self._handle_waiting()

    def eof_received(self) -> None:
        """Close as well: a WebSocket has no half that goes on alone."""
        self._is_closing = True
        self._is_ready = False
        self._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave the room, whatever ended the connection."""
        self._is_lost = self._is_closing = True
        self._is_ready = False
        self._waiting = None
        self._unread = b""
        if self._inbound is not None:
            self._inbound.release()
            self._inbound = None
        self._open_connections.discard(self)
        self._serving.heartbeat.discard(self)
        if self._close_timer is not None:
            self._close_timer.cancel()
        if self._joining is not None:
            self._joining.cancel()
        if self.room is not None:
            self._serving.hub.leave(self.room, self)
            self._serving.records.disconnected(
                self._visit,
                self._client,
                self.room.session,
                code=self.code,
                began_s=self._began_s,
                sent=self.sent,
                received=self._received,
            )
        self._serving.let_out(self)

    # uvicorn's side

    def shutdown(self) -> None:
        """Close because the server stops."""
        if not self._is_closing:
            self._close(CloseCode.RESTART, _CLOSE_TIMEOUT_S)
        self._transport.close()

    # Inside

    def _pump(self, tail: bytes = b"") -> None:
        """Write what is due, as far as the peer takes it, and ``tail`` behind the first write."""
        self._is_ready = False
        if self._is_closing:
            return
        serving, sent_before = self._serving, self.sent
        while self.ending is None and not self._is_paused:
            frames = self.take_frames(serving.heartbeat_s)
            if frames or tail:
                self._write(frames + tail)
                tail = b""
            elif self.ending is None:
                self._is_ready = self.room is not None
                break
        if self.sent > sent_before:
            serving.records.delivered(self.sent - sent_before)
        if self.ending is not None:
            self._close(self.ending, _CLOSE_TIMEOUT_S)

    def _handle_waiting(self) -> None:
        """Act on what the client has sent, as long as it reads the answers."""
        waiting, self._waiting = self._waiting or [], None
        done = 0
        if self.room is not None:
            for message in waiting:
                if self._is_paused or self._is_closing:
                    break
                done += 1
                self._received += 1
                answer = self._serving.handle(self, message, visit=self._visit, client=self._client)
                if answer is not None:
                    self._write(answer.frame)
            self._pump()
        if self._is_closing or done == len(waiting):
            return
        self._waiting = waiting[done:]
        if self._is_paused or len(self._waiting) > _MAX_WAITING:
            self._hold_reading()

    def _send_away(self) -> None:
        """Close, because more comes than may."""
        self._serving.records.flooded(self._visit, self._client, "inbound_bytes_per_s")
        error = LimitReached("inbound_bytes_per_s", FLOODED)
        self._write(error_answer(error).frame)
        self._waiting = None
        self._close(CloseCode.LIMIT_REACHED, _FAREWELL_S)
        self._turn_deaf()

    def _turn_deaf(self) -> None:
        """Read nothing any more: what still comes is dropped, and too much of it ends the connection."""
        self._is_deaf = True
        self._heard = 0
        self._unread = b""
        self._go_on_reading()

    def _keep_parser(self, inbound: Inbound) -> None:
        if inbound.is_at_rest:
            self._inbound = None
        elif self._inbound is None:
            self._inbound = inbound
            self._serving.inbound = self._serving.new_inbound()

    def _ended(self, inbound: Inbound, ended: Ended) -> None:
        """Finish after the peer's close frame, or after it broke the protocol."""
        was_closing, self._is_closing = self._is_closing, True
        self._is_ready = False
        if ended is Ended.CLOSED:
            if not was_closing:
                self.code = inbound.close_code
            self._drop()
        elif not was_closing:
            self.code = inbound.failure_code
            if self.code == CloseCode.TOO_BIG:
                self._serving.records.flooded(self._visit, self._client, "max_inbound_bytes")
            # Closing a socket with something unread in it would reset the connection, and the close
            # frame that says what was wrong might never be read: so what comes is dropped for a while.
            self._turn_deaf()
            self._close_timer = asyncio.get_running_loop().call_later(_FAREWELL_S, self._drop)

    def _drop(self) -> None:
        """Close the transport, for a peer that does not read what is written with force."""
        self._transport.close()
        if self._close_timer is not None:
            self._close_timer.cancel()
        self._close_timer = asyncio.get_running_loop().call_later(
            _FAREWELL_S, self._transport.abort
        )

    def _close(self, code: CloseCode, timeout_s: float) -> None:
        """Begin the closing handshake; the transport is dropped when the peer does not answer."""
        self._is_closing = True
        self._is_ready = False
        self.code = code
        if self._inbound is None:
            self._inbound = self._serving.new_inbound()
        self._write(self._inbound.close(code, code.reason))
        # For the peer's answer.
        self._go_on_reading()
        self._close_timer = asyncio.get_running_loop().call_later(timeout_s, self._transport.abort)

    def _write(self, frames: bytes) -> None:
        if self._unsent:
            frames = self._unsent + frames
            self._unsent = b""
        if not self._transport.is_closing():
            self._transport.write(frames)
