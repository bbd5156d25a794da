"""Hints that grow, against both brokers and against a Redis that comes and goes."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintCancelled, HintEnded, HintPublisher, StreamingHint
from relay.broker.broker import Broker
from relay.broker.streaming import StreamingHints
from relay.errors import (
    BrokerUnavailable,
    HintTooLarge,
    InvalidMessage,
    InvalidSession,
    PublisherClosed,
    RequestError,
)
from relay.messages import Append, Command, Hint
from relay.snapshot import fold
from tests.support.process import Process, stable_port
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Json = dict[str, Any]


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


async def _kept(redis_url: str, session: str) -> list[Json]:
    """Return what a newcomer gets."""
    async with Broker(redis_url) as broker:
        log = await broker.read(session)
    return [json.loads(publication.payload) for publication in fold(log.publications)]


async def _kept_hint(redis_url: str, session: str) -> tuple[str, str]:
    [hint] = [one for one in await _kept(redis_url, session) if one["type"] == "hint"]
    return hint["text"], hint["status"]


async def _cancel(redis_url: str, session: str, hint_id: str, *, told: bool = True) -> None:
    """Do what a relay does when a facilitator cancels a hint; ``told`` is whether it is published."""
    async with Broker(redis_url) as broker:
        await StreamingHints(broker).request_cancel(session, hint_id)
        if told:
            command = Command(name="cancel", hint=hint_id, by="guest-a")
            await broker.publish(session, command.to_json(), command.id)


@asynccontextmanager
async def _messages(publisher: HintPublisher, session: str) -> AsyncIterator[list[Any]]:
    """Collect what is published meanwhile, once it is certain that nothing is missed."""
    got: list[Any] = []
    began = asyncio.Event()

    async def listen() -> None:
        async for message in publisher.listen(session):
            got.append(message)
            began.set()

    listening = asyncio.create_task(listen())
    while not began.is_set():
        await publisher.transcript(session, "Is anybody listening?")
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)
    got.clear()
    yield got
    await asyncio.sleep(0.1)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def _write(
    hint: StreamingHint, *tokens: str, error: Exception | None = None, every_s: float = 0.0
) -> None:
    """Write a whole hint, or one that fails."""
    async with hint:
        for token in tokens:
            await hint.append(token)
            await asyncio.sleep(every_s)
        if error is not None:
            raise error


async def _until(condition: Any, timeout_s: float = 10.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.005)


async def test_a_hint_that_grows(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """Tokens become a hint with its fields, complete, that stands in the log as one message."""
    async with publisher.stream_hint(
        session_id, id="h-1", priority="high", source="coach", mood="calm"
    ) as hint:
        assert (hint.id, hint.status, hint.text) == ("h-1", "streaming", "")
        for token in ["Ask ", "", "what 🙂", "\n“it” ", "smelled like."]:
            await hint.append(token)
    assert (hint.status, hint.text) == ("complete", "Ask what 🙂\n“it” smelled like.")
    assert not hint.cancelled.is_set()
    [kept] = await _kept(redis_url, session_id)
    assert kept.pop("timestamp") == pytest.approx(time.time(), abs=30)
    assert kept.pop("began").endswith("-1")
    assert kept == {
        "position": str(hint.position), "type": "hint", "id": "h-1", "status": "complete",
        "text": hint.text, "priority": "high", "source": "coach", "mood": "calm",
    }  # fmt: skip


async def test_the_beginning_is_there_at_once(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """Entering publishes the hint without text, so that it can be cancelled before the first token."""
    async with publisher.stream_hint(session_id):
        assert await _kept_hint(redis_url, session_id) == ("", "streaming")
    assert await _kept_hint(redis_url, session_id) == ("", "complete")


@pytest.mark.alone
async def test_the_first_token_goes_out_at_once(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """The first token waits for no window, and appending waits for no round trip."""
    async with publisher.stream_hint(session_id, window_ms=500) as hint:
        began_s = time.monotonic()
        await hint.append("first")
        assert time.monotonic() - began_s < 0.05
        async with asyncio.timeout(0.4):
            while await _kept_hint(redis_url, session_id) != ("first", "streaming"):
                await asyncio.sleep(0.01)


@pytest.mark.alone
async def test_tokens_are_rolled_up(publisher: HintPublisher, session_id: str) -> None:
    """At most 25 messages a second go out, and nothing waits longer than the window."""
    async with _messages(publisher, session_id) as messages:
        began_s = time.monotonic()
        async with publisher.stream_hint(session_id) as hint:
            for n in range(100):
                await hint.append(f"{n} ")
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.15)
            took_s = time.monotonic() - began_s
            assert "".join(message.text for message in messages) == hint.text
    appends = [message for message in messages if isinstance(message, Append)]
    assert isinstance(messages[0], Hint)
    assert 5 <= len(appends) <= 25 * took_s + 2
    assert appends[-1].status == "complete"


async def test_without_a_window(publisher: HintPublisher, session_id: str) -> None:
    """With window 0 tokens that come one by one go out one by one."""
    async with (
        _messages(publisher, session_id) as messages,
        publisher.stream_hint(session_id, window_ms=0) as hint,
    ):
        for n in range(10):
            await hint.append(str(n))
            await _until(lambda n=n: len(messages) == n + 2)
    await _until(lambda: len(messages) == 12)
    assert [message.text for message in messages] == ["", *"0123456789", ""]


async def test_many_at_once(redis_url: str, session_id: str) -> None:
    """Many hints in some sessions grow at the same time, each by its own tokens."""
    async with HintPublisher(redis_url) as publisher:
        sessions = [f"{session_id}-{n}" for n in range(4)]

        async def write(n: int) -> None:
            async with publisher.stream_hint(sessions[n % 4], id=f"h-{n}") as hint:
                for token in range(20):
                    await hint.append(f"{n}:{token} ")
                    await asyncio.sleep(0.005)

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            for n in range(40):
                group.create_task(write(n))
        for session in sessions:
            kept = await _kept(redis_url, session)
            assert len(kept) == 10
            for hint in kept:
                n = hint["id"].removeprefix("h-")
                assert hint["text"] == "".join(f"{n}:{token} " for token in range(20))
                assert hint["status"] == "complete"


async def test_appends_of_many_tasks_keep_their_order(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """Calls that are under way at the same time are appended in the order of the calls."""
    async with publisher.stream_hint(session_id) as hint:
        await asyncio.gather(*(hint.append(f"{n},") for n in range(500)))
    expected = "".join(f"{n}," for n in range(500))
    assert await _kept_hint(redis_url, session_id) == (expected, "complete")


async def test_a_block_that_fails(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """An exception in the block is the caller's, and the hint is interrupted with what there was."""
    hint = publisher.stream_hint(session_id)
    with pytest.raises(ZeroDivisionError):
        await _write(hint, "Ask", " what", error=ZeroDivisionError())
    assert hint.status == "interrupted"
    assert await _kept_hint(redis_url, session_id) == ("Ask what", "interrupted")


@pytest.mark.alone
@pytest.mark.parametrize("told", [True, False], ids=["published", "noted only"])
async def test_a_facilitator_cancels(
    publisher: HintPublisher, redis_url: str, session_id: str, told: bool
) -> None:
    """A block that waits for its model is left quietly, soon when it is told, else with the lease."""
    async with asyncio.timeout(10):
        async with publisher.stream_hint(session_id) as hint:
            await hint.append("Ask")
            await asyncio.sleep(0.3)
            began_s = time.monotonic()
            cancelling = asyncio.create_task(_cancel(redis_url, session_id, hint.id, told=told))
            await asyncio.sleep(60)
        assert time.monotonic() - began_s < (0.2 if told else 3.0)
        await cancelling
        # Nothing of our cancellation is left.
        await asyncio.sleep(0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    assert hint.cancelled.is_set()
    assert hint.status == "cancelled"
    assert await _kept_hint(redis_url, session_id) == ("Ask", "cancelled")
    with pytest.raises(HintCancelled):
        await hint.append("x")


@pytest.mark.alone
async def test_a_cancellation_is_learned_with_the_next_token(
    publisher: HintPublisher, redis_url: str, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a subscription the answer to the next piece tells, and what waits is still sent."""
    monkeypatch.setattr(publisher._tap, "attach", lambda *_: None)
    async with asyncio.timeout(10):
        async with publisher.stream_hint(session_id) as hint:
            await _cancel(redis_url, session_id, hint.id)
            n = 0
            while True:
                await hint.append(f"{n} ")
                n += 1
                await asyncio.sleep(0.01)
    assert hint.status == "cancelled"
    assert n < 20
    assert await _kept_hint(redis_url, session_id) == (hint.text, "cancelled")


async def test_an_outer_cancellation_wins(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A task that is cancelled by its owner ends as cancelled, and its hint as interrupted."""
    entered = asyncio.Event()

    async def write() -> None:
        async with publisher.stream_hint(session_id) as hint:
            await hint.append("Ask")
            entered.set()
            await asyncio.sleep(60)

    writing = asyncio.create_task(write())
    await entered.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await _kept_hint(redis_url, session_id) == ("Ask", "interrupted")


async def test_both_cancel(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """When a facilitator and the owner cancel at the same moment, the owner's cancellation is kept."""
    entered = asyncio.Event()
    hints: list[Any] = []

    async def write() -> None:
        async with publisher.stream_hint(session_id) as hint:
            hints.append(hint)
            entered.set()
            await asyncio.sleep(60)

    writing = asyncio.create_task(write())
    await entered.wait()
    hints[0].heard(Command(name="cancel", hint=hints[0].id).to_json())
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await _kept_hint(redis_url, session_id) == ("", "interrupted")


@pytest.mark.alone
async def test_a_callers_timeout(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """A timeout around the block, or in it, is the caller's."""
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2), publisher.stream_hint(session_id):
            await asyncio.sleep(60)
    assert await _kept_hint(redis_url, session_id) == ("", "interrupted")


async def test_a_group_of_tasks_in_the_block(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """Tasks of the block that append are stopped with it."""

    async def write(hint: Any) -> None:
        while True:
            await hint.append("x")
            await asyncio.sleep(0.001)

    async with asyncio.timeout(10):
        async with publisher.stream_hint(session_id) as hint, asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(write(hint))
            await asyncio.sleep(0.1)
            await _cancel(redis_url, session_id, hint.id)
            await asyncio.sleep(60)
    assert await _kept_hint(redis_url, session_id) == (hint.text, "cancelled")


@pytest.mark.alone
async def test_only_its_own_hint_is_cancelled(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A cancellation ends the hint that it names, and no other of the session."""

    async def write(hint_id: str) -> str:
        async with publisher.stream_hint(session_id, id=hint_id) as hint:
            await asyncio.sleep(0.6)
        return hint.status

    one, other = asyncio.create_task(write("h-1")), asyncio.create_task(write("h-2"))
    await asyncio.sleep(0.2)
    await _cancel(redis_url, session_id, "h-2")
    assert (await one, await other) == ("complete", "cancelled")


async def test_a_killed_producer(redis_url: str, session_id: str) -> None:
    """A producer that is killed leaves a hint that relays end for it, with what it had sent."""
    code = (
        "import asyncio, sys\nfrom producers import HintPublisher\n"
        "async def main():\n"
        "    async with HintPublisher(sys.argv[1]) as p, p.stream_hint(sys.argv[2]) as hint:\n"
        "        await hint.append('Ask')\n"
        "        await asyncio.sleep(0.3)\n"
        "        print('written', flush=True)\n"
        "        await asyncio.sleep(60)\n"
        "asyncio.run(main())"
    )
    with Process([sys.executable, "-c", code, redis_url, session_id]) as producer:
        await asyncio.to_thread(producer.wait_for_output, "written")
        producer.kill()
    assert await _kept_hint(redis_url, session_id) == ("Ask", "streaming")
    async with Broker(redis_url) as broker, asyncio.timeout(15):
        hints = StreamingHints(broker)
        while (await _kept_hint(redis_url, session_id))[1] == "streaming":
            await hints.interrupt_abandoned()
            await asyncio.sleep(0.2)
    assert await _kept_hint(redis_url, session_id) == ("Ask", "interrupted")


async def test_a_producer_that_comes_back(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """The id of a hint that a dead producer left growing is taken over, and begins anew."""
    async with Broker(redis_url) as broker:
        hints = StreamingHints(broker)
        await hints.open(session_id, Hint(id="h-1", text="", status="streaming"))
        await hints.append(session_id, Append(id="h-1", at=0, text="the dead one's words"))
    async with publisher.stream_hint(session_id, id="h-1") as hint:
        await hint.append("mine")
    assert await _kept_hint(redis_url, session_id) == ("mine", "complete")


async def test_an_id_that_is_over(publisher: HintPublisher, session_id: str) -> None:
    """A hint that is over can't be entered again under its id."""
    async with publisher.stream_hint(session_id, id="h-1"):
        pass
    with pytest.raises(HintEnded, match="complete"):
        async with publisher.stream_hint(session_id, id="h-1"):
            pytest.fail("entered")


async def test_the_end_is_the_end(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """After the block, and before it, nothing can be appended; a hint is entered once."""
    hint = publisher.stream_hint(session_id)
    with pytest.raises(RuntimeError, match="Enter"):
        await hint.append("x")
    async with hint:
        pass
    with pytest.raises(HintEnded) as refusal:
        await hint.append("x")
    assert refusal.value.status == "complete"
    with pytest.raises(RuntimeError, match="once"):
        async with hint:
            pytest.fail("entered")


@pytest.mark.alone
async def test_a_silence_that_was_too_long(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A hint that a relay has ended for us refuses more, and what was sent stays."""
    async with publisher.stream_hint(session_id) as hint:
        await hint.append("Ask")
        await asyncio.sleep(0.2)
        async with Broker(redis_url) as broker:
            end = Append(id=hint.id, at=3, text="", status="interrupted")
            await StreamingHints(broker).append(session_id, end)
        await hint.append(" more")
        await asyncio.sleep(0.3)
        with pytest.raises(HintEnded, match="interrupted"):
            await hint.append(" and more")
    assert hint.status == "interrupted"
    with pytest.raises(HintEnded, match="interrupted"):
        async with (
            publisher.stream_hint(session_id, id="h-2") as other,
            Broker(redis_url) as broker,
        ):
            await StreamingHints(broker).append(
                session_id, Append(id=other.id, at=0, text="", status="interrupted")
            )


async def test_what_is_too_large(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """A text that outgrows the limit is refused; caught, what is there can still be completed."""
    async with publisher.stream_hint(session_id) as hint:
        await hint.append("x" * 60_000)
        with pytest.raises(HintTooLarge):
            await hint.append("y" * 6_000)
        await hint.append("z")
    assert await _kept_hint(redis_url, session_id) == ("x" * 60_000 + "z", "complete")
    with pytest.raises(HintTooLarge):
        await _write(publisher.stream_hint(f"{session_id}-b"), "x", "y" * 70_000)
    assert await _kept_hint(redis_url, f"{session_id}-b") == ("x", "interrupted")


async def test_what_is_refused() -> None:
    """What is wrong is said by the call, before Redis is asked."""
    url = f"redis://127.0.0.1:{stable_port()}/0"
    async with HintPublisher(url, give_up_s=0) as nowhere:
        for field, value in (("text", "x"), ("status", "complete"), ("position", "1-1"), ("id", 7)):
            fields: Any = {field: value}
            with pytest.raises(InvalidMessage, match=field):
                nowhere.stream_hint("demo", **fields)
        with pytest.raises(InvalidSession):
            nowhere.stream_hint("a b")
        for window_ms in (-1, 501):
            with pytest.raises(RequestError, match="window_ms"):
                nowhere.stream_hint("demo", window_ms=window_ms)
        with pytest.raises(BrokerUnavailable):
            async with nowhere.stream_hint("demo"):
                pytest.fail("entered")
    with pytest.raises(PublisherClosed):
        nowhere.stream_hint("demo")


@pytest.mark.parametrize("token", [b"x", None, "\ud800"], ids=repr)
async def test_what_is_no_text(publisher: HintPublisher, session_id: str, token: Any) -> None:
    """A token that is no text, or not Unicode, is refused with a sentence."""
    async with publisher.stream_hint(session_id) as hint:
        with pytest.raises(InvalidMessage):
            await hint.append(token)


async def test_streaming_an_iterator(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """An iterator's texts become a hint, which is returned; a plain iterable does, too."""

    async def model() -> AsyncIterator[str]:
        for token in ("Ask ", "what."):
            yield token
            await asyncio.sleep(0)

    hint = await publisher.stream(session_id, model(), category="pacing")
    assert (hint.text, hint.status) == ("Ask what.", "complete")
    assert (await _kept(redis_url, session_id))[0]["category"] == "pacing"
    for tokens in (["a", "b"], (token for token in "ab"), "ab"):
        hint = await publisher.stream(session_id, tokens)
        assert hint.text == "ab"


@pytest.mark.alone
async def test_an_iterator_is_closed(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A model's iterator is closed when the hint is cancelled, and when a token is refused."""
    closed = []

    async def model(token: Any) -> AsyncIterator[str]:
        try:
            yield token
            await asyncio.sleep(60)
        finally:
            closed.append(token)

    streaming = asyncio.create_task(publisher.stream(session_id, model("x"), id="h-1"))
    await asyncio.sleep(0.3)
    await _cancel(redis_url, session_id, "h-1")
    async with asyncio.timeout(1):
        assert (await streaming).status == "cancelled"
    assert closed == ["x"]
    with pytest.raises(InvalidMessage):
        await publisher.stream(session_id, model(7))
    assert closed == ["x", 7]

    def blocking() -> Iterator[str]:
        try:
            yield "x"
            yield 7  # type: ignore[misc]
        finally:
            closed.append("blocking")

    with pytest.raises(InvalidMessage):
        await publisher.stream(session_id, blocking())
    assert closed[-1] == "blocking"


async def test_redis_restarts(session_id: str) -> None:
    """A Redis that is killed and comes back, with its log or without, costs no text."""
    for append_only in (True, False):
        with RedisServer(append_only=append_only) as server:
            async with (
                HintPublisher(server.url, give_up_s=20, timeout_s=1) as publisher,
                asyncio.timeout(30),
                publisher.stream_hint(session_id) as hint,
            ):
                for n in range(150):
                    await hint.append(f"{n} ")
                    await asyncio.sleep(0.01)
                    if n == 50:
                        server.kill()
                    if n == 100:
                        server.start()
                        await asyncio.to_thread(server.wait_until_ready)
            assert hint.status == "complete"
            expected = "".join(f"{n} " for n in range(150))
            assert await _kept_hint(server.url, session_id) == (expected, "complete")


@pytest.mark.alone
async def test_redis_hangs(session_id: str) -> None:
    """A Redis that hangs for a while gets each piece once; appending goes on meanwhile."""
    with RedisServer() as server:
        async with (
            HintPublisher(server.url, give_up_s=20, timeout_s=0.3) as publisher,
            asyncio.timeout(20),
            publisher.stream_hint(session_id) as hint,
        ):
            for n in range(60):
                began_s = time.monotonic()
                await hint.append(f"{n} ")
                assert time.monotonic() - began_s < 0.2
                await asyncio.sleep(0.02)
                if n == 10:
                    server.send(signal.SIGSTOP)
                if n == 50:
                    server.send(signal.SIGCONT)
        expected = "".join(f"{n} " for n in range(60))
        assert await _kept_hint(server.url, session_id) == (expected, "complete")


async def test_redis_stays_away(session_id: str) -> None:
    """After ``give_up_s`` appending says that Redis is away, and so does leaving."""
    with RedisServer() as server:
        async with HintPublisher(server.url, give_up_s=0.5, timeout_s=0.2) as publisher:
            hint = publisher.stream_hint(session_id)
            asyncio.get_running_loop().call_later(0.2, server.kill)
            with pytest.raises(BrokerUnavailable):
                await _write(hint, *["x"] * 1000, every_s=0.01)
            assert hint.status == "interrupted"
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
            with pytest.raises(BrokerUnavailable):
                async with publisher.stream_hint(session_id):
                    server.kill()


async def test_much_that_waits(session_id: str) -> None:
    """When much waits for Redis, appending waits, too; when it is back everything is sent."""
    with RedisServer() as server:
        async with (
            HintPublisher(server.url, give_up_s=20, timeout_s=0.3) as publisher,
            asyncio.timeout(20),
            publisher.stream_hint(session_id) as hint,
        ):
            server.send(signal.SIGSTOP)
            began_s = time.monotonic()
            asyncio.get_running_loop().call_later(1.0, server.send, signal.SIGCONT)
            for _ in range(40):
                await hint.append("x" * 1000)
            assert time.monotonic() - began_s > 0.9
        assert await _kept_hint(server.url, session_id) == ("x" * 40_000, "complete")


async def test_a_silent_model_keeps_its_hint(redis_url: str, session_id: str) -> None:
    """A hint whose model pauses for longer than the lease is kept alive."""
    async with HintPublisher(redis_url) as publisher, publisher.stream_hint(session_id) as hint:
        await hint.append("Ask")
        async with Broker(redis_url) as broker:
            for _ in range(16):
                await asyncio.sleep(0.5)
                assert (session_id, hint.id) not in await StreamingHints(
                    broker
                ).interrupt_abandoned()
        await hint.append(" what.")
    assert await _kept_hint(redis_url, session_id) == ("Ask what.", "complete")


async def test_nothing_is_left(redis_url: str, session_id: str) -> None:
    """When the publisher is closed no task of it is left, and a hint that streamed is interrupted."""
    before = asyncio.all_tasks()
    publisher = HintPublisher(redis_url)
    async with publisher.stream_hint(session_id) as hint:
        await hint.append("Ask")
    with pytest.raises(HintEnded, match="interrupted"):
        async with publisher.stream_hint(session_id, id="h-1"):
            await publisher.close()
    await publisher.close()
    await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == before
    assert [hint["status"] for hint in await _kept(redis_url, session_id)] == [
        "complete",
        "interrupted",
    ]
