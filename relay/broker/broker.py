"""Publishing to Redis, and reading what is kept there."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    ClusterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from relay.broker import keys
from relay.errors import BrokerError, BrokerFull, BrokerUnavailable
from relay.log_slice import LogSlice
from relay.position import Position
from relay.publication import Publication
from relay.redis_url import check_redis_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType
    from typing import Self

_FOLDER = Path(__file__).parent

# One page of a log read: large enough to need few round trips, small enough not to hold Redis up.
_PAGE = 500
# The same where few are wanted, and each may be large.
_SMALL_PAGE = 64

_MAX_CONNECTIONS = 16


class Published(NamedTuple):
    """The answer to a publish: where the message stands, and whether it is new there."""

    position: Position
    new: bool


class Limits(NamedTuple):
    """What is kept of a session, in the order of publish.lua's arguments."""

    log_messages: int
    log_ttl_ms: int
    dedupe_ms: int


class _Page(NamedTuple):
    """One answer of read.lua; ``reached`` is None on the last page."""

    head: Position | None
    floor: Position | None
    ended: Position | None
    from_beginning: bool
    reached: Position | None
    publications: list[Publication]


class Broker:
    """A connection pool to Redis that can publish and read.

    Safe to use from many tasks at once. Every method raises ``BrokerUnavailable`` when Redis is away
    or too slow, ``BrokerFull`` when it is out of memory, and ``BrokerError`` for anything else that
    Redis refuses.

    Args:
        url: redis://, rediss:// or unix://; SettingsError is raised for anything else.
        timeout_s: how long one command may take, connecting included.
        log_messages: how many messages of a session are kept, approximately.
        log_ttl_s: how long a session is kept after its newest message.
        dedupe_s: how long a message id is remembered.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float = 3.0,
        log_messages: int = 1000,
        log_ttl_s: float = 86_400,
        dedupe_s: float = 300,
    ) -> None:
        # One retry, at once: a pooled connection that Redis has closed meanwhile (a restart, its idle
        # timeout) shows it only when it is used. All our commands are safe to repeat. More patience is
        # the caller's: it knows how long an answer is wanted.
        pool = BlockingConnectionPool.from_url(
            check_redis_url(url),
            max_connections=_MAX_CONNECTIONS,
            timeout=timeout_s,
            # Bounded by _bounded() instead: redis-py's own timeout goes through asyncio.wait_for(),
            # which before Python 3.12 can swallow a cancellation.
            socket_timeout=None,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 1),
            protocol=2,
            # No CLIENT SETINFO: Redis 7.0 does not have it, and a user's rights need not have it.
            driver_info=None,
        )
        self._redis = Redis(connection_pool=pool)
        self._scripts = {
            path.stem: self._redis.register_script(path.read_text("utf-8"))
            for path in _FOLDER.glob("*.lua")
        }
        self._timeout_s = timeout_s
        self.limits = Limits(log_messages, round(log_ttl_s * 1000), round(dedupe_s * 1000))

    async def publish(
        self, session: str, message: bytes, message_id: str, *, dedupe_s: float | None = None
    ) -> Published:
        """Publish a message once: position, log and live delivery in one atomic step.

        Args:
            session: a checked session id.
            message: a JSON object with at least one field and without ``position``.
            message_id: publishing the same id again within the dedupe window changes nothing and
                returns the position of the first; so a try whose outcome is unknown can be repeated.
            dedupe_s: another dedupe window than the broker's.
        """
        limits = self.limits
        if dedupe_s is not None:
            limits = limits._replace(dedupe_ms=round(dedupe_s * 1000))
        position, new = await self.run(
            "publish",
            keys=[keys.log(session), keys.meta(session), keys.published(session, message_id)],
            args=[keys.channel(session), message, *limits],
        )
        return Published(Position.parse(text(position)), bool(new))

    async def publish_live(self, channel: str, payload: bytes) -> int:
        """Send a payload out without keeping it; returns how many subscribers Redis gave it to."""
        async with self.bounded():
            return await self._redis.publish(channel, payload)

    async def read(self, session: str, after: Position | None = None) -> LogSlice:
        """Read everything that is kept of a session after a position (None: from the beginning).

        A position that the log knows nothing of is read as "from the beginning". Entries that others
        have written into the log by hand, without a position, are passed over.
        """
        publications: list[Publication] = []
        cursor = after
        from_beginning, ended = after is None, None
        while True:
            page = await self._read_page(session, cursor)
            if page.head is None:
                return LogSlice(after, None, None, (), from_beginning=True)
            if cursor == after:
                from_beginning, ended = page.from_beginning, page.ended
            elif _is_torn(cursor, page):
                # What was read before does not join up. The page is the whole of what is kept, or its
                # beginning.
                publications.clear()
                from_beginning = True
            publications += page.publications
            if page.reached is None:
                return LogSlice(
                    after, page.head, page.floor, tuple(publications), ended, from_beginning
                )
            cursor = page.reached

    async def read_some(
        self, session: str, after: Position | None, *, max_messages: int, max_bytes: int
    ) -> tuple[LogSlice, bool]:
        """Read the beginning of what ``read`` reads; tells whether there is more behind it.

        Where the log is lost, or trimmed past the place that was reached, it ends before the hole, with
        more behind it: going on after its last publication tells what is gone.

        Args:
            session: a checked session id.
            after: the position after which to begin; None: the log's beginning.
            max_messages: how many, at most.
            max_bytes: it ends with the message that reaches this.
        """
        publications: list[Publication] = []
        cursor, size = after, 0
        first: _Page | None = None
        while True:
            count = min(_SMALL_PAGE, max_messages - len(publications))
            page = await self._read_page(session, cursor, count)
            if first is None or not publications:
                first = page
            joins_up = page is first or not _is_torn(cursor, page)
            is_all = joins_up and (page.reached is None or page.reached == page.head)
            for publication in page.publications if joins_up else ():
                if size >= max_bytes:
                    is_all = False
                    break
                publications.append(publication)
                size += len(publication)
            is_full = len(publications) >= max_messages or size >= max_bytes
            if is_all or is_full or not joins_up:
                log = LogSlice(
                    after, first.head, first.floor, tuple(publications), first.ended,
                    first.from_beginning,
                )  # fmt: skip
                return log, not is_all
            cursor = page.reached

    async def note_request(self, session: str, key: str, fingerprint: str, *, for_s: float) -> bool:
        """Remember what an idempotency key is used for; tells whether it is the same as before.

        Args:
            session: a checked session id.
            key: chosen by the caller, already bound to who it is.
            fingerprint: of what is asked for.
            for_s: how long it is remembered, in seconds.
        """
        async with self.bounded():
            pipe = self._redis.pipeline(transaction=True)
            name = keys.request(session, key)
            pipe.set(name, fingerprint, nx=True, px=round(for_s * 1000))
            pipe.get(name)
            _, known = await pipe.execute()
        return text(known) == fingerprint

    async def run(self, script: str, *, keys: list[str], args: list[Any]) -> Any:
        """Run one of the scripts beside this file, named without its suffix."""
        async with self.bounded():
            return await self._scripts[script](keys=keys, args=args)

    async def run_all(self, script: str, calls: Sequence[tuple[list[str], list[Any]]]) -> list[Any]:
        """Run a script for each pair of keys and arguments, in one round trip.

        When one fails this raises, and others may have been done.
        """
        async with self.bounded(), self._redis.pipeline(transaction=False) as pipeline:
            for names, args in calls:
                await self._scripts[script](keys=names, args=args, client=pipeline)
            answers: list[Any] = await pipeline.execute()
            return answers

    @property
    def redis(self) -> Redis:
        """The client, for commands that need no script; use it inside ``bounded``."""
        return self._redis

    async def _read_page(self, session: str, cursor: Position | None, count: int = _PAGE) -> _Page:
        answer = await self.run(
            "read",
            keys=[keys.log(session), keys.meta(session)],
            args=["" if cursor is None else str(cursor), count],
        )
        head, floor, ended, from_beginning, reached, payloads = answer
        publications = map(Publication.of_payload, payloads)
        return _Page(
            head=_entry_id(head),
            floor=_entry_id(floor),
            ended=None if cursor is None or not ended else Position(cursor.epoch, int(ended)),
            from_beginning=bool(from_beginning),
            reached=None if len(payloads) < count else _entry_id(reached),
            publications=[p for p in publications if p.position is not None],
        )

    async def ping(self) -> None:
        """Make one round trip."""
        async with self.bounded():
            await cast("Any", self._redis.ping())

    @asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bound what is done inside in time, and turn its exceptions into ours."""
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except OutOfMemoryError as error:
            raise BrokerFull(
                "Redis has reached its maxmemory and took nothing. Raise maxmemory, or keep less "
                "of each session (log_messages, log_ttl_s)."
            ) from error
        except AuthenticationError as error:
            raise BrokerError(f"Redis refuses the credentials: {error}") from error
        except TimeoutError as error:
            raise BrokerUnavailable(
                f"Redis is not available: no answer within {self._timeout_s:g} s"
            ) from error
        except _PASSING as error:
            reason = str(error) or type(error).__name__
            raise BrokerUnavailable(f"Redis is not available: {reason}") from error
        except RedisError as error:
            # Redis' words for a command that is too long for somebody who has not logged in.
            if "unauthenticated" in str(error):
                raise BrokerError("Redis wants credentials: it was given none.") from error
            raise BrokerError(f"Redis refused: {error}") from error

    async def close(self) -> None:
        """Close all connections; the broker can't be used afterwards."""
        await self._redis.aclose()
        await self._redis.connection_pool.disconnect()

    async def __aenter__(self) -> Self:
        """Return the broker; connections are made when they are needed."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.close()


def _is_torn(cursor: Position | None, page: _Page) -> bool:
    """Tell whether before this page the log was lost, or trimmed past the place that was reached."""
    return page.from_beginning or (
        cursor is not None and page.floor is not None and cursor < page.floor
    )


def _entry_id(value: bytes | str) -> Position | None:
    """Read a stream entry's id, which is a position but for a floor before the first one."""
    if not value:
        return None
    epoch, _, offset = text(value).partition("-")
    return Position(int(epoch), int(offset))


def text(value: bytes | str) -> str:
    """Return an answer of Redis as text."""
    return value.decode() if isinstance(value, bytes) else value


# Trying again later can help: away, restarting, failing over, demoted to a replica.
_PASSING = (
    RedisConnectionError,
    RedisTimeoutError,
    ReadOnlyError,
    ClusterDownError,
    TryAgainError,
    OSError,
)
