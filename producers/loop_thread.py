"""An event loop in a thread of its own, for code that has none."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from concurrent.futures import CancelledError, Future, wait
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from relay.errors import PublisherClosed

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_T = TypeVar("_T")

# How long what was cancelled may take to clean up, and the thread to end.
_CLEAN_UP_S = 5.0


class _Running(NamedTuple):
    """A thread that serves: its loop, and what ends it."""

    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    thread: threading.Thread
    pid: int


class LoopThread:
    """Runs coroutines in a thread that is started with the first of them.

    Safe to use from many threads, but not from its own. It ends with ``close``, when nobody has the
    object any more, and with the program.

    Args:
        clean_up: is run when it ends, before what is under way is cancelled, and again after that;
            must not hold this object.
    """

    def __init__(self, clean_up: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._clean_up = clean_up
        # Reentrant: the garbage collector may call ``finish`` in the midst of it.
        self._lock = threading.RLock()
        self._running: _Running | None = None
        self._end: Callable[[], object] | None = None
        self._is_closed = False

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end, and return or raise what it does.

        Ctrl-C, or whatever else is raised in the waiting thread, cancels it and waits until it has
        cleaned up.

        Raises:
            PublisherClosed: after ``close``, or in a process that was forked meanwhile.
        """
        outcome, cancel = self._submit(work)
        try:
            return outcome.result()
        except CancelledError:
            if self._is_closed:
                raise PublisherClosed("The publisher was closed meanwhile.") from None
            raise
        except BaseException:
            if not outcome.done():
                cancel()
                wait([outcome], timeout=_CLEAN_UP_S)
            raise

    def finish(self, work: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine that cleans up, as ``run`` does; in its own thread without waiting for it.

        There the garbage collector may call this, and the loop would wait for itself for ever.
        """
        running = self._running
        if running is not None and running.thread is threading.current_thread():
            self._submit(work)
        else:
            self.run(work)

    def close(self) -> None:
        """Cancel what is under way, and wait for the thread's end; closing again is fine."""
        with self._lock:
            self._is_closed = True
        if self._end is not None:
            self._end()

    def _submit(self, work: Coroutine[Any, Any, _T]) -> tuple[Future[_T], Callable[[], object]]:
        """Start a coroutine; returns its outcome, and what cancels it."""
        outcome: Future[_T] = Future()
        tasks: list[asyncio.Task[_T]] = []

        def start() -> None:
            task = asyncio.get_running_loop().create_task(work)
            task.add_done_callback(lambda task: _tell(outcome, task))
            tasks.append(task)

        def cancel() -> None:
            tasks[0].cancel()

        # Under the lock, so that whatever is submitted comes before the end.
        with self._lock:
            try:
                loop = self._serving().loop
            except PublisherClosed:
                work.close()
                raise
            loop.call_soon_threadsafe(start)
        return outcome, lambda: loop.call_soon_threadsafe(cancel)

    def _serving(self) -> _Running:
        if self._is_closed:
            raise PublisherClosed("The publisher is closed; make another one.")
        if self._running is None:
            self._running = _start(self._clean_up)
            # Runs when this object is collected, too, and when the program ends.
            self._end = weakref.finalize(self, _end, self._running)
        if self._running.pid != os.getpid():
            raise PublisherClosed(
                "The publisher was used before this process was forked: its thread and its "
                "connections stayed behind. Make one in each process."
            )
        return self._running


def _start(clean_up: Callable[[], Coroutine[Any, Any, None]]) -> _Running:
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        await clean_up()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Again: what was under way may have found its connection closed, and made another one.
        await clean_up()

    thread = threading.Thread(
        target=lambda: asyncio.run(serve()), name="hint publisher", daemon=True
    )
    thread.start()
    loop, stop = started.result()
    return _Running(loop, stop, thread, os.getpid())


def _end(running: _Running) -> None:
    if running.pid != os.getpid() or not running.thread.is_alive():
        # A fork has no thread to end.
        return
    running.loop.call_soon_threadsafe(running.stop.set)
    if running.thread is not threading.current_thread():
        running.thread.join(timeout=_CLEAN_UP_S)


def _tell(outcome: Future[_T], task: asyncio.Task[_T]) -> None:
    if task.cancelled():
        outcome.set_exception(CancelledError())
    elif (error := task.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(task.result())
