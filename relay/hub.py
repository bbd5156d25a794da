"""All sessions of one worker: opened when somebody wants them, closed when nobody has for a while."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from relay.broker import keys
from relay.broker.link import Link, LinkState
from relay.broker.wire import Wire
from relay.close_codes import CloseCode
from relay.feed import Feed
from relay.logs import get_logger
from relay.publication import Publication
from relay.room import Room

if TYPE_CHECKING:
    from collections.abc import Iterator

    from relay.broker.broker import Broker
    from relay.broker.wire import ConnectWire
    from relay.log_slice import LogSlice
    from relay.metrics import Metrics
    from relay.position import Position
    from relay.reader import Facilitator, Reader, Welcome
    from relay.settings import Settings


class Observer(Protocol):
    """Who wants to know of facilitators. No call may block or raise."""

    def came(self, room: Room, facilitator: Facilitator) -> None:
        """Somebody has joined."""

    def went(self, room: Room, facilitator: Facilitator) -> None:
        """Somebody has left."""

    def report_wanted(self, room: Room) -> None:
        """An agent wants to know how far everybody has been served."""

    def link_up(self) -> None:
        """Redis was away, and is back."""


# Log reads under way at once; fewer than the broker's connections, so that publishing finds one.
_MAX_READS = 8


class Hub:
    """The sessions that have readers on this worker, and the one subscription that feeds them.

    All methods belong to one event loop. Nothing here is needed by any other worker, and nothing is
    lost with it: another worker rebuilds a session from Redis when its readers come.

    Args:
        broker: reads the logs and publishes the link's probes.
        settings: bounds and times.
        metrics: is told what happens.
        worker: this worker's unique name.
        observer: is told of facilitators.
        connect_wire: makes the subscription's connection to Redis.
    """

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        metrics: Metrics,
        *,
        worker: str,
        observer: Observer | None = None,
        connect_wire: ConnectWire = Wire.connect,
    ) -> None:
        self._observer = observer
        self._broker = broker
        self._settings = settings
        self._metrics = metrics
        self._log = get_logger("relay.hub")
        self.link = Link(
            settings.redis_url,
            broker,
            self,
            worker=worker,
            probe_interval_s=settings.probe_interval_s,
            probe_timeout_s=settings.probe_timeout_s,
            connect_timeout_s=settings.redis_timeout_s,
            connect_wire=connect_wire,
        )
        self._rooms: dict[str, Room] = {}
        self._lingering: dict[str, asyncio.TimerHandle] = {}
        self._link_up = asyncio.Event()
        self._link_downs = 0
        self._giving_up: asyncio.TimerHandle | None = None
        self._read_slots = asyncio.Semaphore(_MAX_READS)
        # Rooms with something new: their readers are woken once for all that came at once.
        self._to_flush: set[Room] = set()
        self._flush_is_scheduled = False

    @property
    def rooms(self) -> int:
        """How many sessions are open, lingering ones included."""
        return len(self._rooms)

    @property
    def readers(self) -> int:
        """How many readers all sessions have together."""
        return sum(len(room.readers) for room in self._rooms.values())

    async def run(self) -> None:
        """Keep the subscription alive until cancelled; then close all sessions."""
        try:
            await self.link.run()
        finally:
            if self._giving_up is not None:
                self._giving_up.cancel()
            for session in list(self._rooms):
                self._close(session)

    async def join(
        self, session: str, reader: Reader, since: Position | None, replay: int | None
    ) -> tuple[Room, Welcome]:
        """Let a reader into a session; see ``Room.join``. Every join needs one ``leave``.

        While Redis is away this waits; bound it with a timeout.
        """
        room = self._kept_open(session)
        try:
            welcome = await room.join(reader, since, replay)
        finally:
            self._linger_if_idle(room)
        self._note_came(room, reader)
        return room, welcome

    def join_now(
        self, session: str, reader: Reader, since: Position | None, replay: int | None
    ) -> tuple[Room, Welcome] | None:
        """Do what ``join`` does if the session is warm enough for it; else return None.

        Most of those who come back after a break are served so: no task, no wait, no Redis.
        """
        room = self._rooms.get(session)
        welcome = None if room is None else room.join_now(reader, since, replay)
        if room is None or welcome is None:
            return None
        if self._lingering and (timer := self._lingering.pop(session, None)) is not None:
            timer.cancel()
        self._note_came(room, reader)
        return room, welcome

    def leave(self, room: Room, reader: Reader) -> None:
        """Let a reader go; one that has left already is fine."""
        if self._observer is not None and reader in room.readers:
            facilitator = reader.facilitator
            room.leave(reader)
            if facilitator is not None:
                self._observer.went(room, facilitator)
        else:
            room.leave(reader)
        self._linger_if_idle(room)

    @contextmanager
    def visit(self, session: str) -> Iterator[Room]:
        """Keep a session open without reading it; what is done inside may wait for Redis."""
        room = self._kept_open(session)
        room.joining += 1
        try:
            yield room
        finally:
            room.joining -= 1
            self._linger_if_idle(room)

    # link.LinkListener

    def link_message(self, channel: str, payload: bytes) -> None:
        """Give a publication to its session's feed."""
        room = self._rooms.get(keys.session_of(channel))
        if room is None:
            return
        publication = Publication.of_payload(payload)
        self._metrics.publications.add()
        if publication.position is None and not self._is_to_be_forwarded(room, payload):
            return
        if room.receive(publication):
            self._to_flush.add(room)

    def link_drained(self) -> None:
        """Wake readers once for all that came at once, and without waiting for the next loop tick."""
        if self._to_flush:
            self._flush()

    def link_down(self) -> None:
        """Trust no feed from here on; when it lasts, send the facilitators to other relays."""
        self._link_up.clear()
        self._link_downs += 1
        self._giving_up = asyncio.get_running_loop().call_later(
            self._settings.broker_lost_s, self._give_up
        )
        for room in self._rooms.values():
            room.doubt()

    def link_up(self) -> None:
        """Read what each feed may have missed."""
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None
        self._link_up.set()
        for room in self._rooms.values():
            room.mend()
        if self._observer is not None:
            self._observer.link_up()

    # room.Source

    async def subscribe(self, session: str) -> None:
        """Subscribe to the session's channel."""
        await self.link.subscribe(keys.channel(session))

    async def read(self, session: str, after: Position | None) -> LogSlice:
        """Read the session's log, a few at a time over all sessions."""
        async with self._read_slots:
            self._metrics.log_reads.add()
            return await self._broker.read(session, after)

    async def until_link_up(self) -> int:
        """Wait until the subscription delivers."""
        await self._link_up.wait()
        return self._link_downs

    @property
    def link_generation(self) -> int | None:
        """Return a number that changes each time the subscription breaks; None while it is broken."""
        return self._link_downs if self.link.state is LinkState.UP else None

    # Inside

    def _kept_open(self, session: str) -> Room:
        """Return a session's room, opened where it is not open, and about to close no more."""
        room = self._rooms.get(session)
        if room is None:
            room = self._open(session)
        if (timer := self._lingering.pop(session, None)) is not None:
            # It would close under who is here, whatever they wait for.
            timer.cancel()
        return room

    def _open(self, session: str) -> Room:
        feed = Feed(max_messages=self._settings.ring_messages, max_bytes=self._settings.ring_bytes)
        room = Room(session, feed, self, self._request_flush)
        self._rooms[session] = room
        room.open()
        self._log.debug("session opened", session=session)
        return room

    def _close(self, session: str) -> None:
        room = self._rooms.pop(session)
        if (timer := self._lingering.pop(session, None)) is not None:
            timer.cancel()
        self._to_flush.discard(room)
        room.close()
        self.link.unsubscribe(keys.channel(session))
        self._log.debug("session closed", session=session)

    def _give_up(self) -> None:
        """Send everybody away: this worker may be alone in having lost Redis."""
        self._giving_up = None
        self._log.error("broker lost for too long", readers=self.readers)
        for room in self._rooms.values():
            room.end(CloseCode.BROKER_LOST)

    def _linger_if_idle(self, room: Room) -> None:
        """Keep a session warm for a while: most of those who leave come back at once."""
        session = room.session
        if room.is_idle and self._rooms.get(session) is room and session not in self._lingering:
            self._lingering[session] = asyncio.get_running_loop().call_later(
                self._settings.linger_s, self._close, session
            )

    def _request_flush(self, room: Room) -> None:
        self._to_flush.add(room)
        if not self._flush_is_scheduled:
            self._flush_is_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush_scheduled)

    def _flush_scheduled(self) -> None:
        self._flush_is_scheduled = False
        self._flush()

    def _flush(self) -> None:
        rooms, self._to_flush = self._to_flush, set()
        deliveries = 0
        for room in rooms:
            deliveries += room.flush()
        self._metrics.deliveries.add(deliveries)

    def _note_came(self, room: Room, reader: Reader) -> None:
        if self._observer is not None and (facilitator := reader.facilitator) is not None:
            self._observer.came(room, facilitator)

    def _is_to_be_forwarded(self, room: Room, payload: bytes) -> bool:
        """Look at a plain PUBLISH, once for all who will get it, if anybody."""
        message = self._checked(room, payload)
        if message is None:
            self._metrics.dropped_publications.add()
            return False
        match message.get("type"):
            case "report":
                # From an agent to the relays.
                if self._observer is not None:
                    self._observer.report_wanted(room)
                return False
            case "kick":
                # From whoever runs the session.
                self._kick(room, message.get("who"))
                return False
            case "presence" if self._observer is not None:
                room.show_presence(payload)
                return False
        return True

    def _kick(self, room: Room, name: object) -> None:
        """End the connections of somebody, or of everybody when it does not say whose."""
        if name is not None and not isinstance(name, str):
            return
        readers = [one for one in room.readers if one.name and name in (None, one.name)]
        room.log.info("connections ended by an operator", count=len(readers))
        for reader in readers:
            reader.end(CloseCode.KICKED)

    def _checked(self, room: Room, payload: bytes) -> dict[str, Any] | None:
        """Return a plain PUBLISH that is fit to be forwarded: a JSON object of a bounded size."""
        limit = self._settings.max_publication_bytes
        if len(payload) > limit:
            room.log.warning("publication dropped: too large", bytes=len(payload), limit=limit)
            self._metrics.limits.labels("max_publication_bytes").inc()
            return None
        try:
            value = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            room.log.warning("publication dropped: not JSON", error=error.msg)
            return None
        if not isinstance(value, dict):
            room.log.warning("publication dropped: not a JSON object")
            return None
        if "position" in value:
            # Only publish.lua gives positions; a client would take this one for real.
            room.log.warning("publication dropped: it claims a position")
            return None
        return value
