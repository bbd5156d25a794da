"""A hint that grows while a model writes it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import orjson

from producers.growth import Growth, Opening, Piece
from producers.pacing import Pacing
from relay.backoff import full_jitter_s
from relay.broker.streaming import Step
from relay.errors import (
    BrokerError,
    BrokerUnavailable,
    HintCancelled,
    HintEnded,
    RequestError,
)
from relay.messages import Append, check_size

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from producers.growth import Action, Ending
    from producers.tap import Tap
    from relay.broker.streaming import StreamingHints
    from relay.messages import Hint
    from relay.position import Position

DEFAULT_WINDOW_MS = 40
_MAX_WINDOW_MS = 500

# So many characters may wait for Redis before append() waits, too: minutes of a model's output.
_MAX_WAITING = 16 * 1024

# Whoever leaves by an exception is in a hurry; what is not said in this time, the lease will say.
_HASTY_END_S = 2.0


class StreamingHint:
    """A hint that grows; get it from ``HintPublisher.stream_hint``.

    Entering publishes it at once, without text, so that facilitators see that something comes and can
    cancel it. Leaving ends it: ``complete``; ``interrupted`` when the block raised, which goes on to
    be raised; ``cancelled`` when a facilitator wanted that. Then the block is cancelled where it waits,
    as ``asyncio.timeout`` does it, and left quietly: ``cancelled`` tells. What was appended is sent in
    any case. If the process dies, relays say ``interrupted`` after some seconds.

    One task enters and leaves; any task may append. Entering raises ``HintEnded`` when a hint with
    this id is over already, and ``BrokerUnavailable`` or ``BrokerError`` as ``HintPublisher.hint``
    does; so does leaving, unless the block raised.
    """

    def __init__(
        self,
        hints: StreamingHints,
        tap: Tap,
        session: str,
        hint: Hint,
        *,
        max_bytes: int,
        give_up_s: float,
        window_ms: int,
    ) -> None:
        if not 0 <= window_ms <= _MAX_WINDOW_MS:
            raise RequestError(f"'window_ms' is from 0 to {_MAX_WINDOW_MS}.")
        # In the log it will stand as one message with the longest of the statuses.
        whole = hint.model_copy(update={"status": "interrupted"}).to_json()
        check_size(whole, max_bytes)
        self._hints = hints
        self._tap = tap
        self._session = session
        self._hint = hint
        self._give_up_s = give_up_s
        self._growth = Growth(
            hint.id,
            room_bytes=max_bytes - len(whole),
            max_bytes=max_bytes,
            pacing=Pacing(window_ms / 1000),
        )
        self._sending: asyncio.Task[None] | None = None
        # Set when there is something new to do; and, anew each time, when something was done.
        self._wakeup = asyncio.Event()
        self._progress = asyncio.Event()
        self._failure: BrokerError | None = None
        # Whether the block knows already that the hint is over.
        self._told = False

        self._task: asyncio.Task[object] | None = None
        self._cancels_before = 0
        self._body_cancelled = False

        self.cancelled = asyncio.Event()
        """Set when a facilitator has cancelled the hint."""
        self.position: Position | None = None
        """Where the newest part stands that Redis has; None before entering."""

    @property
    def id(self) -> str:
        """The hint's id."""
        return self._hint.id

    @property
    def text(self) -> str:
        """Everything that was appended so far, sent or not."""
        return self._growth.text

    @property
    def status(self) -> str:
        """``streaming``, or how it ended: ``complete``, ``cancelled`` or ``interrupted``."""
        if self._failure is not None:
            return "interrupted"
        return self._growth.ended or "streaming"

    def __repr__(self) -> str:
        """Show which it is and how it stands; the text is people's words."""
        return f"<StreamingHint {self.id} in {self._session}: {self.status}>"

    async def append(self, token: str) -> None:
        """Add text to the end.

        Returns at once, and before Redis has it, unless much is waiting already. Calls keep their
        order; an empty text changes nothing. A call that is cancelled has appended all the same.

        Raises:
            HintEnded: the hint is over; as ``HintCancelled`` when a facilitator wanted that.
            InvalidMessage: not a text, or not Unicode.
            HintTooLarge: the whole hint would have more than the publisher's ``max_bytes``. What is
                there stays; unless this is caught the block ends as interrupted.
            BrokerUnavailable: Redis has been away for ``give_up_s``; the hint can't go on.
            BrokerFull, BrokerError: Redis refused.
        """
        self._check()
        self._growth.add(token)
        self._wakeup.set()
        # A model whose tokens are all there already would let nobody else run, the sender included.
        await asyncio.sleep(0)
        while self._growth.waiting > _MAX_WAITING and self._is_sending:
            await self._progress.wait()
        if self._failure is not None or self._growth.ended == "interrupted":
            self._check()

    async def interrupt(self) -> None:
        """End the hint as interrupted before its block is left; one that is over stays as it is.

        The block finds out when it appends, or when it is left: ``HintEnded`` is raised.
        """
        self._growth.end("interrupted")
        self._wakeup.set()
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=_HASTY_END_S)
            await self._stop_sending()
            if self._growth.ended is None and self._failure is None:
                self._failure = BrokerUnavailable("The publisher was closed, and Redis was away.")

    async def __aenter__(self) -> Self:
        """Publish the hint's beginning; returns when Redis has it."""
        task = asyncio.current_task()
        if task is None or self._sending is not None:
            raise RuntimeError("A streaming hint is entered once, in a task; make another one.")
        self._cancels_before = task.cancelling()
        self._sending = asyncio.create_task(self._send(), name=f"streaming hint {self.id}")
        try:
            while not self._growth.is_open and self._is_sending:
                await self._progress.wait()
            self._check()
        except BaseException:
            await self._stop_sending()
            raise
        # Not waited for: until it is there, Redis' answers tell of a cancellation.
        self._tap.attach(self._session, self)
        self._task = task
        if self._growth.is_cancelled:
            # Cancelled before it was entered: the block is cancelled where it waits first.
            asyncio.get_running_loop().call_soon(self._cancel_body)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """End the hint; returns when Redis knows. True swallows our own cancellation of the block."""
        task, self._task = self._task, None
        self._tap.detach(self._session, self)
        is_ours = self._is_ours(task, error)
        ending: Ending = "complete"
        if self.cancelled.is_set() and (is_ours or not isinstance(error, asyncio.CancelledError)):
            ending = "cancelled"
        elif error is not None:
            ending = "interrupted"
        self._growth.end(ending)
        self._wakeup.set()
        is_hasty = error is not None and not is_ours
        try:
            if self._sending is not None:
                await asyncio.wait({self._sending}, timeout=_HASTY_END_S if is_hasty else None)
        finally:
            await self._stop_sending()
        if not is_hasty and not self._told:
            if self._failure is not None:
                raise self._failure
            if ending == "complete" != self._growth.ended:
                raise HintEnded(self.id, self.status)
        return is_ours

    # tap.Ear

    def heard(self, payload: bytes) -> None:
        """Look for a facilitator who cancels this hint; parsing all that is said would cost more."""
        if b'"command"' not in payload or b'"cancel"' not in payload:
            return
        try:
            match orjson.loads(payload):
                case {"type": "command", "name": "cancel", "hint": hint} if hint == self.id:
                    self._growth.cancel()
                    self._cancel_body()
        except orjson.JSONDecodeError:
            # Somebody's plain PUBLISH.
            pass

    def live(self) -> None:
        """Ask Redis how the hint stands: a cancellation may have been missed."""
        self._growth.ask()
        self._wakeup.set()

    def closed(self) -> None:
        """Pass over it: ``interrupt`` comes first."""

    # The block

    def _check(self) -> None:
        """Raise what keeps the hint from growing."""
        if self._sending is None:
            raise RuntimeError("Enter the streaming hint first: async with … as hint.")
        if self._failure is not None:
            self._told = True
            raise self._failure
        if self._growth.ended is not None and not self._growth.is_cancelled:
            self._told = True
            raise HintEnded(self.id, self._growth.ended)

    def _cancel_body(self) -> None:
        """Cancel the block where it waits, once; never called by the block's own task."""
        if self._task is not None and not self._body_cancelled:
            self.cancelled.set()
            self._body_cancelled = True
            self._task.cancel()

    def _is_ours(self, task: asyncio.Task[object] | None, error: BaseException | None) -> bool:
        """Tell whether the block was left because of us, with the accounts of asyncio.timeout()."""
        if self._body_cancelled and task is not None:
            others = task.uncancel() > self._cancels_before
            if isinstance(error, asyncio.CancelledError):
                return not others

        # What append() says of a cancelled hint. (Before Python 3.13 split() takes no bound method.)
        def is_told(one: BaseException) -> bool:
            return isinstance(one, HintCancelled) and one.hint_id == self.id

        if isinstance(error, BaseExceptionGroup):
            return error.split(is_told)[1] is None
        return error is not None and is_told(error)

    # The sender

    @property
    def _is_sending(self) -> bool:
        return self._sending is not None and not self._sending.done()

    async def _send(self) -> None:
        """Do what the growth says until the hint is over."""
        loop = asyncio.get_running_loop()
        failures = 0
        failing: Action | None = None
        give_up_at_s = 0.0
        try:
            while self._growth.ended is None:
                action = self._growth.take(loop.time())
                if action is None:
                    await self._until(self._growth.due_s)
                    continue
                try:
                    step = await self._do(action)
                except BrokerUnavailable:
                    now_s = loop.time()
                    if action is not failing:
                        failing, give_up_at_s = action, now_s + self._give_up_s
                    pause_s = full_jitter_s(failures, random=random.random, base_s=0.1, cap_s=1.0)
                    # While nothing waits, it may be away for as long as it likes.
                    if isinstance(action, Opening | Piece) and now_s + pause_s >= give_up_at_s:
                        raise
                    failures += 1
                    self._growth.fail(now_s)
                    await asyncio.sleep(pause_s)
                else:
                    failures, failing = 0, None
                    self._growth.answer(loop.time(), step)
                    self.position = step.position or self.position
                    if self._growth.is_cancelled:
                        self._cancel_body()
                    self._progressed()
        except BrokerError as error:
            self._failure = error
        finally:
            self._progressed()

    async def _do(self, action: Action) -> Step:
        match action:
            case Opening(text=text, anew=anew):
                hint = self._hint.model_copy(update={"text": text})
                return await self._hints.open(self._session, hint, anew=anew)
            case Piece(at=at, text=text, status=status):
                append = Append(id=self.id, at=at, text=text, status=status)
                return await self._hints.append(self._session, append)
            case _:
                standing = await self._hints.renew(self._session, self.id)
                return Step(None, True, standing)

    async def _until(self, when_s: float) -> None:
        """Wait until then, or until there is something new to do."""
        self._wakeup.clear()
        try:
            async with asyncio.timeout_at(when_s):
                await self._wakeup.wait()
        except TimeoutError:
            pass

    def _progressed(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    async def _stop_sending(self) -> None:
        if self._is_sending and self._sending is not None:
            self._sending.cancel()
            await asyncio.wait({self._sending})
