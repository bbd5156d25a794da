"""One session on one worker: its feed, who reads it, and the log reads that keep it whole."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Protocol

from relay.backoff import full_jitter_s
from relay.errors import BrokerError, BrokerUnavailable
from relay.feed import Backlog, Feed, FeedState, Filled, Received
from relay.hint_index import HintIndex
from relay.logs import get_logger
from relay.publication import Publication
from relay.reader import Fresh, Welcome
from relay.snapshot import fold, join_pieces

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from collections.abc import Set as AbstractSet

    from structlog.typing import FilteringBoundLogger

    from relay.close_codes import CloseCode
    from relay.log_slice import LogSlice
    from relay.position import Position
    from relay.reader import Facilitator, Reader


class Source(Protocol):
    """What a room needs of the worker: the subscription, and the log."""

    async def subscribe(self, session: str) -> None:
        """Subscribe to the session; returns when nothing from here on is missed."""

    async def read(self, session: str, after: Position | None) -> LogSlice:
        """Read the log, raising BrokerError when that fails."""

    async def until_link_up(self) -> int:
        """Wait until the subscription delivers; returns a number that changes when it breaks."""

    @property
    def link_generation(self) -> int | None:
        """That number now; None while the subscription is broken."""


# One write: enough that its cost does not matter, and all that a slow reader's transport ever holds.
WRITE_BYTES = 60 * 1024

# Chunks that a room keeps while some of its readers are behind.
_MAX_CHUNKS = 8

# Wakes those who look for themselves; no cursor is negative.
_LOOK = Fresh(-1, -1, b"")


class Room:
    """A session's feed and its readers.

    All methods belong to one event loop. ``flush`` is called once for all that arrived at once;
    ``request_flush`` asks for it when a log read brought something.
    """

    __slots__ = (
        "_chunks", "_flushed", "_folded", "_hints", "_mending", "_reads", "_request_flush", "_source",
        "_whole", "feed", "joining", "presence", "readers", "session",
    )  # fmt: skip

    def __init__(
        self, session: str, feed: Feed, source: Source, request_flush: Callable[[Room], None]
    ) -> None:
        self.session = session
        self.feed = feed
        self.readers: set[Reader] = set()
        self.joining = 0
        # Not in the ring: it would take the place of what is kept, and only the newest counts.
        self.presence: Publication | None = None
        self._source = source
        self._request_flush = request_flush
        self._mending: asyncio.Task[None] | None = None
        # Set while the feed is live; who joins waits for it.
        self._whole = asyncio.Event()
        # Log reads under way by where they begin: who needs the same stretch shares one.
        self._reads: dict[Position | None, asyncio.Task[LogSlice]] = {}
        # The cursor that all readers have been woken for.
        self._flushed = 0
        # What was written last, by the cursor that it begins at.
        self._chunks: dict[int, Fresh] = {}
        # The newest folded snapshot and what it was folded from: who joins next wants the same.
        self._folded: tuple[Backlog, Backlog] | None = None
        # Made when somebody first says something about a hint.
        self._hints: HintIndex | None = None

    @property
    def log(self) -> FilteringBoundLogger:
        """A logger that names the session; made when needed, most rooms never say anything."""
        log: FilteringBoundLogger = get_logger("relay.room").bind(session=self.session)
        return log

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody reads or wants to."""
        return not self.readers and not self.joining

    def open(self) -> None:
        """Subscribe, then read the log: in this order nothing falls between the two."""
        self._start_mending(subscribe=True)

    def close(self) -> None:
        """Stop all work; readers must have left."""
        tasks = [self._mending, *self._reads.values()]
        for task in tasks:
            if task is not None:
                task.cancel()

    def receive(self, publication: Publication) -> bool:
        """Take what arrived live; returns whether there is something to flush."""
        received = self.feed.receive(publication)
        if received is Received.APPENDED:
            return True
        if received is Received.HELD:
            self._start_mending()
        else:
            self.log.debug("duplicate dropped", position=str(publication.position))
        return False

    def doubt(self) -> None:
        """Note that the subscription broke: something may be missing from here on."""
        self.feed.doubt()
        self._whole.clear()

    def mend(self) -> None:
        """Read what may be missing, unless the feed is whole or that is under way."""
        if self.feed.state is not FeedState.LIVE:
            self._start_mending()

    def flush(self) -> int:
        """Give all readers what came since the last flush; returns how many deliveries that made.

        Deliveries that readers make at their own pace are not in it.
        """
        feed = self.feed
        begin, self._flushed = self._flushed, feed.end
        self._folded = None
        if not self.readers:
            return 0
        deliveries = 0
        is_behind = False
        while begin < feed.end:
            fresh = self.chunk_after(begin)
            if fresh is None:
                # The ring has moved past that point, or began anew: each looks for itself.
                fresh = _LOOK
                begin = feed.end
            else:
                begin = fresh.end
            taken = 0
            for reader in self.readers:
                taken += reader.wake(fresh)
            deliveries += taken * (fresh.end - fresh.begin)
            is_behind = is_behind or taken < len(self.readers)
        if not is_behind and self._chunks:
            self._chunks.clear()
        return deliveries

    def chunk_after(self, cursor: int) -> Fresh | None:
        """Return what follows a cursor, as much as goes into one write; None when it is gone.

        Readers that fall behind together catch up together, from one place to the next; so a few
        chunks are kept while somebody is behind.
        """
        if cursor in self._chunks:
            return self._chunks[cursor]
        publications = self.feed.read(cursor, WRITE_BYTES)
        if publications is None:
            return None
        count = len(publications)
        if count == 1:
            # Most sessions have one new publication, and one reader.
            frames = publications[0].frame
        else:
            frames = b"".join([publication.frame for publication in publications])
        chunk = Fresh(cursor, cursor + count, frames)
        if count and len(self.readers) > 1:
            if len(self._chunks) >= _MAX_CHUNKS:
                del self._chunks[next(iter(self._chunks))]
            self._chunks[cursor] = chunk
        return chunk

    def end(self, code: CloseCode) -> None:
        """Ask all readers to go; they leave by themselves."""
        for reader in self.readers:
            reader.end(code)

    async def join(self, reader: Reader, since: Position | None, replay: int | None) -> Welcome:
        """Let a reader in; it is woken and restarted from the moment that this returns.

        Args:
            reader: stays until ``leave``.
            since: the newest position that its client has; None when it has nothing.
            replay: without ``since``, how many of the newest kept messages it wants; None for all.
        """
        self.joining += 1
        try:
            if since is not None:
                await self._look_again_if_unknown(since)
            backlog = await self._backlog(since, replay)
            # From here to the return nothing is awaited: the backlog ends where the cursor begins.
            self.readers.add(reader)
            return self._welcome(backlog)
        finally:
            self.joining -= 1

    def join_now(
        self, reader: Reader, since: Position | None, replay: int | None
    ) -> Welcome | None:
        """Do what ``join`` does if memory is enough for it; else return None and do nothing."""
        if not self._whole.is_set() or (since is not None and self._is_unknown(since)):
            return None
        backlog = self._backlog_from_ring(since, replay)
        if backlog is None:
            return None
        self.readers.add(reader)
        return self._welcome(backlog)

    def leave(self, reader: Reader) -> None:
        """Let a reader go."""
        self.readers.discard(reader)
        if not self.readers:
            # Kept for those who are behind.
            self._chunks.clear()

    def facilitators(self) -> Iterator[Facilitator]:
        """Yield those readers who are somebody."""
        for reader in self.readers:
            if (facilitator := reader.facilitator) is not None:
                yield facilitator

    def names(self) -> frozenset[str]:
        """Return the names of all facilitators, each once."""
        return frozenset(facilitator.name for facilitator in self.facilitators())

    def show_presence(self, message: bytes) -> None:
        """Show all facilitators who is watching; each who has seen just that is passed over."""
        presence = self.presence
        if presence is None or presence.payload != message:
            presence = self.presence = Publication(None, message)
        for facilitator in self.facilitators():
            facilitator.show_presence(presence)

    async def known_hints(self, ids: AbstractSet[str]) -> set[str]:
        """Return those hints that the session has, of the ids that are given.

        The log is read only when one of them is not known here, and then only what is new in it where
        that is enough. It must be: who asks may know a hint from another relay, or from the agent, that
        this one's subscription has yet to bring. Who asks at the same time shares a read.

        Raises:
            BrokerError: when the log can't be read.
        """
        if self._hints is None:
            self._hints = HintIndex()
        index = self._hints
        index.scan(self.feed)
        known = index.known(ids)
        if len(known) == len(ids):
            return known
        after = self.feed.head if index.is_complete and self.feed.state is FeedState.LIVE else None
        read = self._start_read(after)
        # Not awaited itself: when the room is closed the read is cancelled, and we are not.
        await asyncio.wait({read})
        if read.cancelled():
            raise BrokerUnavailable("the session was closed meanwhile")
        log = read.result()
        return index.take_log(log.publications, self.feed, ids, is_all=after is None)

    # Inside

    async def _look_again_if_unknown(self, since: Position) -> None:
        """Make sure that a position is unknown before saying so.

        A client that comes from another relay may have what this one's subscription has yet to
        deliver; or this one has yet to notice that a new log has begun.
        """
        await self._whole.wait()
        if self._is_unknown(since):
            self._distrust()
            await self._whole.wait()

    def _is_unknown(self, since: Position) -> bool:
        head = self.feed.head
        return head is None or since.epoch != head.epoch or since > head

    def _backlog_from_ring(self, since: Position | None, replay: int | None) -> Backlog | None:
        if since is None and replay == 0:
            return Backlog(None, ())
        backlog = self.feed.backlog_from_ring(since)
        return None if backlog is None else self._compact(backlog, replay)

    async def _backlog(self, since: Position | None, replay: int | None) -> Backlog:
        """Collect what a joining reader gets first; nothing is awaited after it is collected."""
        log: LogSlice | None = None
        failures = 0
        while True:
            await self._whole.wait()
            backlog = self._backlog_from_ring(since, replay)
            if backlog is not None:
                return backlog
            if log is not None:
                if not self.feed.is_same_log(log) or self.feed.lacks_pieces(log):
                    log = None
                    self._distrust()
                    continue
                backlog = self.feed.backlog_from_log(since, log)
                if backlog is not None:
                    return self._compact(backlog, replay)
            try:
                log = await self._read_more(since, log)
            except BrokerError as error:
                self.log.warning("log read failed", error=str(error), attempt=failures)
                await asyncio.sleep(full_jitter_s(failures, random=random.random))
                failures += 1

    async def _read_more(self, since: Position | None, log: LogSlice | None) -> LogSlice:
        """Read what is needed next: after ``since``, all, or what came after the last read.

        Each further read is shorter than the one before, so a reader catches up with any burst.
        """
        if log is None:
            return await self._read_once(since)
        if since is not None and not log.is_whole and not log.reaches_back_to(since):
            return await self._read_once(None)
        return log.followed_by(await self._read_once(log.head)) or await self._read_once(None)

    async def _read_once(self, after: Position | None) -> LogSlice:
        """Read a stretch of the log; who wants the same stretch at the same time shares one read."""
        # Shielded: one reader that leaves must not take the read from the others.
        return await asyncio.shield(self._start_read(after))

    def _start_read(self, after: Position | None) -> asyncio.Task[LogSlice]:
        task = self._reads.get(after)
        # A finished one may stand here for a moment, until its callback has run.
        if task is None or task.done():
            task = asyncio.create_task(self._source.read(self.session, after))
            self._reads[after] = task
            task.add_done_callback(lambda task: self._read_done(after, task))
        return task

    def _read_done(self, after: Position | None, task: asyncio.Task[LogSlice]) -> None:
        if self._reads.get(after) is task:
            del self._reads[after]
        if not task.cancelled():
            # Whoever waits gets the exception; with nobody left it is nobody's.
            task.exception()

    def _distrust(self) -> None:
        self.doubt()
        self._start_mending()

    def _start_mending(self, *, subscribe: bool = False) -> None:
        self._whole.clear()
        if self._mending is None or self._mending.done():
            self._mending = asyncio.create_task(self._mend(subscribe=subscribe))

    async def _mend(self, *, subscribe: bool) -> None:
        """Work until the feed is whole and all readers follow it, however long Redis is away."""
        if subscribe:
            await self._source.subscribe(self.session)
        failures = 0
        while True:
            try:
                if self.feed.state is not FeedState.LIVE:
                    await self._fill()
                else:
                    self._whole.set()
                    if await self._restart_stale_readers():
                        return
                failures = 0
            except BrokerError as error:
                self.log.warning("log read failed", error=str(error), attempt=failures)
                await asyncio.sleep(full_jitter_s(failures, random=random.random))
                failures += 1
            except Exception:
                # Nobody else would mend this room: it outlives what it did not foresee.
                self.log.exception("mending failed unexpectedly", attempt=failures)
                await asyncio.sleep(full_jitter_s(failures, random=random.random))
                failures += 1

    async def _fill(self) -> None:
        link_generation = await self._source.until_link_up()
        log = await self._source.read(self.session, self.feed.begin_read())
        before = self.feed.head
        if self.feed.fill(log) is Filled.RESET:
            self.log.warning(
                "log lost or rolled back", before=str(before), after=str(self.feed.head)
            )
        if self._source.link_generation != link_generation:
            # The subscription broke during the read: what it would have brought may be missing.
            self.feed.doubt()
        self._request_flush(self)

    async def _restart_stale_readers(self) -> bool:
        """Give readers of an older generation a new start; False when the feed changed meanwhile."""
        if not any(self._is_stale(reader) for reader in self.readers):
            return True
        backlog = self.feed.backlog_from_ring(None)
        if backlog is None:
            log = await self._source.read(self.session, None)
            if self.feed.state is not FeedState.LIVE:
                return False
            if not self.feed.is_same_log(log) or self.feed.lacks_pieces(log):
                self.doubt()
                return False
            backlog = self.feed.backlog_from_log(None, log)
            if backlog is None:
                return False
        welcome = self._welcome(self._compact(backlog._replace(recovered=False), None))
        for reader in filter(self._is_stale, self.readers):
            reader.restart(welcome)
        return True

    def _is_stale(self, reader: Reader) -> bool:
        return reader.generation != self.feed.generation

    def _welcome(self, backlog: Backlog) -> Welcome:
        return Welcome(self.feed.head, backlog, self.feed.end, self.feed.generation)

    def _compact(self, backlog: Backlog, replay: int | None) -> Backlog:
        """Fold a snapshot, and cut it to what is wanted; in what was recovered join hints' pieces."""
        if backlog.recovered:
            return Backlog(True, join_pieces(backlog.publications))
        if self._folded is None or self._folded[0].publications != backlog.publications:
            folded = backlog._replace(publications=fold(backlog.publications))
            self._folded = (backlog, folded)
        publications = self._folded[1].publications
        if backlog.recovered is None and replay is not None:
            publications = publications[-replay:]
        return Backlog(backlog.recovered, publications)
