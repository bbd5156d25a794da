"""Publishing from code without asyncio."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from producers.loop_thread import LoopThread
from producers.publisher import DEFAULT_REDIS_URL, HintPublisher
from producers.streaming import DEFAULT_WINDOW_MS
from relay.errors import HintCancelled, PublisherClosed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterable
    from types import TracebackType
    from typing import Self

    from producers.publisher import Sent
    from producers.receipts import Receipt
    from producers.streaming import StreamingHint
    from relay.messages import Message
    from relay.position import Position

_T = TypeVar("_T")


class SyncHintPublisher:
    """``HintPublisher`` for code without asyncio: the same methods, which block.

    Usage::

        with SyncHintPublisher(redis_url) as publisher:
            publisher.hint("demo", "Ask what the letter smelled like.")
            with publisher.stream_hint("demo") as hint:
                for token in model:
                    hint.append(token)

    Arguments, results and errors are those of ``HintPublisher``'s methods; what differs is said
    here. It talks to Redis in a thread of its own, which starts with the first call and ends with
    ``close``, with the block, or with the program. Safe to use from many threads at once. After a
    fork, make one in each process: using one that had been used before raises ``PublisherClosed``.
    """

    def __init__(
        self,
        redis_url: str = DEFAULT_REDIS_URL,
        *,
        max_bytes: int = 64 * 1024,
        give_up_s: float = 10.0,
        timeout_s: float = 3.0,
        max_buffered: int = 1000,
        max_buffered_bytes: int = 8 * 1024 * 1024,
        log_messages: int = 1000,
        log_ttl_s: float = 86_400,
        dedupe_s: float = 300,
    ) -> None:
        self._publisher = HintPublisher(
            redis_url,
            max_bytes=max_bytes,
            give_up_s=give_up_s,
            timeout_s=timeout_s,
            max_buffered=max_buffered,
            max_buffered_bytes=max_buffered_bytes,
            log_messages=log_messages,
            log_ttl_s=log_ttl_s,
            dedupe_s=dedupe_s,
        )
        self._thread = LoopThread(self._publisher.close)

    def hint(self, session: str, text: str, **fields: Any) -> Sent:
        """Publish a hint; returns when Redis has it."""
        return self._thread.run(self._publisher.hint(session, text, **fields))

    def transcript(
        self, session: str, text: str, *, speaker: str | None = None, **fields: Any
    ) -> Sent:
        """Publish what was said; returns when Redis has it."""
        return self._thread.run(
            self._publisher.transcript(session, text, speaker=speaker, **fields)
        )

    def error(self, session: str, text: str, *, code: str = "agent", **fields: Any) -> Sent:
        """Tell the facilitators that something went wrong."""
        return self._thread.run(self._publisher.error(session, text, code=code, **fields))

    def stream_hint(
        self, session: str, *, window_ms: int = DEFAULT_WINDOW_MS, **fields: Any
    ) -> SyncStreamingHint:
        """Return a hint that grows while its ``with`` block runs; see ``SyncStreamingHint``."""
        # In the thread, which may be closing and going over all hints.
        hint = self._thread.run(
            _called(lambda: self._publisher.stream_hint(session, window_ms=window_ms, **fields))
        )
        return SyncStreamingHint(self._thread, hint)

    def stream(
        self,
        session: str,
        tokens: Iterable[str],
        *,
        window_ms: int = DEFAULT_WINDOW_MS,
        **fields: Any,
    ) -> SyncStreamingHint:
        """Publish a hint that grows by what an iterator yields; returns it when it is over.

        A cancellation is noticed with the next token: an iterator that blocks is not interrupted. It is
        closed in any case, if it can be.
        """
        hint = self.stream_hint(session, window_ms=window_ms, **fields)
        source = iter((tokens,) if isinstance(tokens, str) else tokens)
        try:
            with hint:
                for token in source:
                    hint.append(token)
        finally:
            if hasattr(source, "close"):
                source.close()
        return hint

    def listen(
        self,
        session: str,
        since: Position | str | None = None,
        *,
        timeout_s: float | None = None,
    ) -> Generator[Message]:
        """Yield what is published to a session, from the first step of the iteration on.

        Args:
            session: as for ``hint``.
            since: everything after this position.
            timeout_s: end when no message has come for this long; None waits for ever.
        """
        return self._each(lambda: self._publisher.listen(session, since), timeout_s)

    def watching(self, session: str) -> int:
        """Return how many facilitators are watching."""
        return self._thread.run(self._watching(session))

    def watching_changes(self, session: str, *, timeout_s: float | None = None) -> Generator[int]:
        """Yield how many facilitators are watching, at first and after each change.

        Args:
            session: as for ``hint``.
            timeout_s: end when nothing has changed for this long; None waits for ever.
        """
        return self._each(lambda: aiter(self._publisher.watching(session)), timeout_s)

    def wait_for_facilitator(self, session: str, timeout_s: float | None = None) -> int:
        """Return how many facilitators are watching as soon as there is one."""
        return self._thread.run(self._publisher.wait_for_facilitator(session, timeout_s))

    def receipt(self, session: str, hint_id: str) -> Receipt:
        """Return what became of a hint so far."""
        return self._thread.run(self._publisher.receipt(session, hint_id))

    def close(self) -> None:
        """End what is under way and close the connections; closing again is fine."""
        self._thread.close()

    @property
    def buffered(self) -> int:
        """How many messages wait for Redis now."""
        return self._publisher.buffered

    @property
    def refused(self) -> int:
        """How many messages were refused because too many waited."""
        return self._publisher.refused

    def __enter__(self) -> Self:
        """Return the publisher; its thread starts with the first call."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    async def _watching(self, session: str) -> int:
        return await self._publisher.watching(session)

    def _each(
        self, begin: Callable[[], AsyncGenerator[_T]], timeout_s: float | None
    ) -> Generator[_T]:
        # Here and not with the first step, so that what is wrong is said by the call.
        source = self._thread.run(_called(begin))
        return _iterate(self._thread, source, timeout_s)


class SyncStreamingHint:
    """A hint that grows; get it from ``SyncHintPublisher.stream_hint``.

    As ``StreamingHint``, with one difference: a block without asyncio can't be cancelled where it
    waits. So when a facilitator cancels the hint, the hint ends at once, and ``append`` raises
    ``HintCancelled``, which the block swallows; whoever blocks for long looks at ``cancelled``.
    """

    def __init__(self, thread: LoopThread, hint: StreamingHint) -> None:
        self._thread = thread
        self._hint = hint
        self._driving: asyncio.Task[None] | None = None
        self._left: asyncio.Event | None = None
        self._has_failed = False
        self.cancelled = threading.Event()
        """Set when a facilitator has cancelled the hint."""

    @property
    def id(self) -> str:
        """The hint's id."""
        return self._hint.id

    @property
    def text(self) -> str:
        """Everything that was appended so far, sent or not."""
        try:
            # Where nothing changes meanwhile: the thread moves pieces from what waits to what is sent.
            return self._thread.run(self._text())
        except PublisherClosed:
            return self._hint.text

    @property
    def status(self) -> str:
        """``streaming``, or how it ended: ``complete``, ``cancelled`` or ``interrupted``."""
        return self._hint.status

    @property
    def position(self) -> Position | None:
        """Where the newest part stands that Redis has; None before entering."""
        return self._hint.position

    def __repr__(self) -> str:
        """Show which it is and how it stands."""
        return f"<Sync{repr(self._hint)[1:]}"

    def append(self, token: str) -> None:
        """Add text to the end; see ``StreamingHint.append``."""
        self._thread.run(self._hint.append(token))

    def __enter__(self) -> Self:
        """Publish the hint's beginning; returns when Redis has it."""
        self._thread.run(self._enter())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """End the hint; returns when Redis knows. True swallows ``HintCancelled``."""
        is_cancel = isinstance(error, HintCancelled) and error.hint_id == self.id
        try:
            self._thread.run(self._leave(has_failed=error is not None and not is_cancel))
        except PublisherClosed:
            if error is None:
                raise
        return is_cancel

    async def _text(self) -> str:
        return self._hint.text

    # In the thread: one task holds the hint open, from entering to leaving.

    async def _enter(self) -> None:
        if self._driving is not None:
            raise RuntimeError("A streaming hint is entered once; make another one.")
        self._left = asyncio.Event()
        entered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._driving = asyncio.create_task(self._drive(entered, self._left))
        try:
            await asyncio.wait({entered, self._driving}, return_when=asyncio.FIRST_COMPLETED)
            if self._driving.done():
                self._driving.result()
        except BaseException:
            self._driving.cancel()
            raise

    async def _drive(self, entered: asyncio.Future[None], left: asyncio.Event) -> None:
        try:
            async with self._hint:
                entered.set_result(None)
                try:
                    await left.wait()
                finally:
                    if self._hint.cancelled.is_set():
                        self.cancelled.set()
                self._raise_like_block()
        except _BlockFailed:
            pass

    def _raise_like_block(self) -> None:
        if self._has_failed:
            raise _BlockFailed

    async def _leave(self, *, has_failed: bool) -> None:
        if self._driving is not None and self._left is not None:
            self._has_failed = has_failed
            self._left.set()
            await self._driving


class _BlockFailed(Exception):
    """The block in the other thread raised something, and goes on raising it there."""


async def _called(begin: Callable[[], _T]) -> _T:
    return begin()


def _iterate(
    thread: LoopThread, source: AsyncGenerator[_T], timeout_s: float | None
) -> Generator[_T]:
    try:
        while (step := thread.run(_next(source, timeout_s))) is not None:
            yield step[0]
    finally:
        try:
            thread.finish(source.aclose())
        except PublisherClosed:
            # It was closed with the publisher.
            pass


async def _next(source: AsyncGenerator[_T], timeout_s: float | None) -> tuple[_T] | None:
    """Return the next one, or None when there is none, or none in time."""
    try:
        async with asyncio.timeout(timeout_s):
            return (await anext(source),)
    except (StopAsyncIteration, TimeoutError):
        return None
