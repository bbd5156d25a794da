"""Publishing without asyncio, over both brokers."""

from __future__ import annotations

import asyncio
import gc
import inspect
import json
import os
import signal
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

import pytest

from producers import (
    HintCancelled,
    HintEnded,
    HintPublisher,
    StreamingHint,
    SyncHintPublisher,
)
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard
from relay.broker.streaming import StreamingHints
from relay.errors import BrokerUnavailable, InvalidMessage, PublisherClosed, SettingsError
from relay.messages import Command, Message
from relay.snapshot import fold
from tests.support.process import Process, stable_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def publisher(redis_url: str) -> Iterator[SyncHintPublisher]:
    """An agent."""
    with SyncHintPublisher(redis_url) as publisher:
        yield publisher


def _kept(redis_url: str, session: str) -> list[dict[str, Any]]:
    async def read() -> list[dict[str, Any]]:
        async with Broker(redis_url) as broker:
            log = await broker.read(session)
        return [json.loads(publication.payload) for publication in fold(log.publications)]

    return asyncio.run(read())


def _cancel(redis_url: str, session: str, hint_id: str) -> None:
    async def cancel() -> None:
        async with Broker(redis_url) as broker:
            await StreamingHints(broker).request_cancel(session, hint_id)
            command = Command(name="cancel", hint=hint_id, by="guest-a")
            await broker.publish(session, command.to_json(), command.id)

    asyncio.run(cancel())


def _report(redis_url: str, session: str, *names: str) -> None:
    async def report() -> None:
        async with Broker(redis_url) as broker:
            await PresenceBoard(broker).report(session, "relay-1", names)

    asyncio.run(report())


def _threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "hint publisher"]


# What only one of the two has, and what blocks differently.
_OWN = {"listen": {"timeout_s"}}


def test_the_same_methods() -> None:
    """Every public method of the asynchronous publisher is here, with the same parameters."""
    for name, member in vars(HintPublisher).items():
        if name.startswith("_") and name != "__init__":
            continue
        mirrored = getattr(SyncHintPublisher, name)
        if isinstance(member, property):
            assert isinstance(mirrored, property)
            continue
        own = inspect.signature(member).parameters
        here = dict(inspect.signature(mirrored).parameters)
        for added in _OWN.get(name, ()):
            del here[added]
        assert list(here) == list(own), name
        for parameter, mirror in zip(own.values(), here.values(), strict=True):
            assert (parameter.default, parameter.kind) == (mirror.default, mirror.kind), name
    assert set(vars(SyncHintPublisher)) - set(vars(HintPublisher)) >= {"watching_changes"}


def test_messages(publisher: SyncHintPublisher, redis_url: str, session_id: str) -> None:
    """Hints, transcript and errors are kept when the call returns."""
    sent = publisher.hint(session_id, "Breathe.", priority="high")
    publisher.transcript(session_id, "I knew.", speaker="Mara")
    publisher.error(session_id, "The model is busy.")
    kept = _kept(redis_url, session_id)
    assert [message["type"] for message in kept] == ["hint", "transcript", "error"]
    assert kept[0]["position"] == str(sent.position)
    assert (publisher.buffered, publisher.refused) == (0, 0)


def test_a_hint_that_grows(publisher: SyncHintPublisher, redis_url: str, session_id: str) -> None:
    """A block makes a hint that grows, and completes it."""
    with publisher.stream_hint(session_id, id="h-1") as hint:
        assert _kept(redis_url, session_id)[0]["status"] == "streaming"
        for token in ("Ask ", "what."):
            hint.append(token)
    assert (hint.id, hint.text, hint.status) == ("h-1", "Ask what.", "complete")
    [kept] = _kept(redis_url, session_id)
    assert (kept["text"], kept["status"]) == ("Ask what.", "complete")
    assert kept["position"] == str(hint.position)
    with pytest.raises(HintEnded):
        hint.append("x")
    with pytest.raises(HintEnded), publisher.stream_hint(session_id, id="h-1"):
        pytest.fail("entered")


def test_a_block_that_fails(publisher: SyncHintPublisher, redis_url: str, session_id: str) -> None:
    """An exception in the block is the caller's, and the hint is interrupted."""
    with pytest.raises(InvalidMessage), publisher.stream_hint(session_id) as hint:
        hint.append(7)  # type: ignore[arg-type]
    assert hint.status == "interrupted"
    assert _kept(redis_url, session_id)[0]["status"] == "interrupted"


def test_a_facilitator_cancels(
    publisher: SyncHintPublisher, redis_url: str, session_id: str
) -> None:
    """The hint ends at once; the block finds out with its next token, and is left quietly."""
    with publisher.stream_hint(session_id) as hint:
        hint.append("Ask")
        time.sleep(0.3)
        assert not hint.cancelled.is_set()
        _cancel(redis_url, session_id, hint.id)
        assert hint.cancelled.wait(1)
        wait_until(lambda: hint.status == "cancelled", "the hint ends before its block does")
        hint.append("more")
        pytest.fail("not refused")
    assert (hint.status, hint.text) == ("cancelled", "Ask")
    with publisher.stream_hint(session_id) as hint:
        _cancel(redis_url, session_id, hint.id)
        assert hint.cancelled.wait(5)
    assert hint.status == "cancelled"
    with pytest.raises(HintCancelled):
        hint.append("x")


def test_streaming_an_iterator(
    publisher: SyncHintPublisher, redis_url: str, session_id: str
) -> None:
    """An iterator's texts become a hint; it is closed when the hint was cancelled."""
    assert publisher.stream(session_id, ["a", "b"]).text == "ab"
    closed = threading.Event()

    def model() -> Iterator[str]:
        try:
            while True:
                yield "x"
                time.sleep(0.01)
        finally:
            closed.set()

    threading.Timer(0.4, _cancel, (redis_url, session_id, "h-1")).start()
    hint = publisher.stream(session_id, model(), id="h-1")
    assert hint.status == "cancelled"
    assert closed.is_set()


def test_listening(publisher: SyncHintPublisher, session_id: str) -> None:
    """Messages come as they are published; the iteration ends after a silence, or when it is closed."""
    first = publisher.hint(session_id, "0")
    for n in range(1, 4):
        publisher.hint(session_id, str(n))
    messages = publisher.listen(session_id, first.position, timeout_s=0.5)
    assert [message.model_dump()["text"] for message in messages] == ["1", "2", "3"]
    live = publisher.listen(session_id, since=str(first.position))
    assert isinstance(next(live), Message)
    live.close()
    assert list(publisher.listen(session_id, timeout_s=0.1)) == []


def test_a_listener_that_nobody_has(publisher: SyncHintPublisher, session_id: str) -> None:
    """An iteration that the garbage collector finds is ended, also when it runs in our own thread."""
    publisher.hint(session_id, "one")
    first = publisher.hint(session_id, "two")
    messages = publisher.listen(session_id, str(first.position).rpartition("-")[0] + "-1")
    next(messages)
    # As it stands in the traceback of an error that somebody keeps.
    cycle: list[object] = [messages]
    cycle.append(cycle)
    found = weakref.ref(messages)
    collected = threading.Event()

    async def collect() -> None:
        gc.collect()
        collected.set()

    gc.disable()
    try:
        del messages, cycle
        threading.Thread(target=publisher._thread.run, args=(collect(),), daemon=True).start()
        assert collected.wait(5), "the publisher waits for itself"
    finally:
        gc.enable()
    assert found() is None
    publisher.hint(session_id, "three")


def test_text_is_read_in_the_thread(
    publisher: SyncHintPublisher, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text is read where it changes, so that no piece is in it twice; and also after the end."""
    readers: list[str] = []

    def text(hint: StreamingHint) -> str:
        readers.append(threading.current_thread().name)
        return hint._growth.text

    monkeypatch.setattr(StreamingHint, "text", property(text))
    with publisher.stream_hint(session_id) as hint:
        hint.append("Breathe.")
        assert hint.text == "Breathe."
    publisher.close()
    assert hint.text == "Breathe."
    assert readers[0] == "hint publisher"


def test_hints_are_made_in_the_thread(
    publisher: SyncHintPublisher, session_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hint that one thread makes while another one closes the publisher does not disturb that."""
    makers: list[str] = []

    class Noted(StreamingHint):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            makers.append(threading.current_thread().name)

    monkeypatch.setattr("producers.publisher.StreamingHint", Noted)
    publisher.stream_hint(session_id)
    assert makers == ["hint publisher"]


def test_watching(publisher: SyncHintPublisher, redis_url: str, session_id: str) -> None:
    """Who is watching is a number, a wait, or an iteration over changes."""
    assert publisher.watching(session_id) == 0
    with pytest.raises(TimeoutError):
        publisher.wait_for_facilitator(session_id, timeout_s=0.1)
    threading.Timer(0.3, _report, (redis_url, session_id, "guest-a")).start()
    assert publisher.wait_for_facilitator(session_id, 5) == 1
    threading.Timer(0.3, _report, (redis_url, session_id, "guest-a", "guest-b")).start()
    assert list(publisher.watching_changes(session_id, timeout_s=1.5)) == [1, 2]


def test_a_receipt(publisher: SyncHintPublisher, session_id: str) -> None:
    """A receipt says what became of a hint."""
    sent = publisher.hint(session_id, "Breathe.")
    assert publisher.receipt(session_id, sent.id).delivered == 0


def test_many_threads(publisher: SyncHintPublisher, redis_url: str, session_id: str) -> None:
    """Many threads may publish and stream at the same time."""

    def work(n: int) -> None:
        publisher.hint(session_id, f"whole {n}")
        publisher.stream(session_id, (f"{n}:{token} " for token in range(20)), id=f"h-{n}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    kept = {message["id"]: message["text"] for message in _kept(redis_url, session_id)}
    assert len(kept) == 16
    for n in range(8):
        assert kept[f"h-{n}"] == "".join(f"{n}:{token} " for token in range(20))
    assert _threads() == ["hint publisher"]


def test_closing(redis_url: str, session_id: str) -> None:
    """Closing ends the thread and whatever waits; a closed publisher says so."""
    publisher = SyncHintPublisher(redis_url)
    assert _threads() == []
    publisher.hint(session_id, "x")
    outcome: list[object] = []

    def wait() -> None:
        try:
            outcome.append(publisher.wait_for_facilitator(session_id))
        except PublisherClosed as error:
            outcome.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    messages = publisher.listen(session_id, timeout_s=0.1)
    assert list(messages) == []
    time.sleep(0.2)
    publisher.close()
    publisher.close()
    waiting.join(5)
    assert isinstance(outcome[0], PublisherClosed)
    assert _threads() == []
    with pytest.raises(PublisherClosed):
        publisher.hint(session_id, "x")
    with pytest.raises(PublisherClosed):
        publisher.listen(session_id)


def test_an_object_that_nobody_has(redis_url: str, session_id: str) -> None:
    """A publisher that was forgotten ends its thread."""
    publisher = SyncHintPublisher(redis_url)
    publisher.hint(session_id, "x")
    del publisher
    wait_until(lambda: _threads() == [], "the thread ends")


def test_what_is_wrong(session_id: str) -> None:
    """A bad address is told at once, and an absent Redis after ``give_up_s``."""
    with pytest.raises(SettingsError):
        SyncHintPublisher("http://127.0.0.1")
    url = f"redis://127.0.0.1:{stable_port()}/0"
    with SyncHintPublisher(url, give_up_s=0.2) as nowhere:
        with pytest.raises(BrokerUnavailable):
            nowhere.hint(session_id, "x")
        with pytest.raises(BrokerUnavailable), nowhere.stream_hint(session_id):
            pytest.fail("entered")


class Script(Process):
    """A program that uses a publisher ``p`` of the session ``s``."""

    def __init__(self, code: str, redis_url: str, session: str) -> None:
        head = (
            "import sys, os, time\n"
            "from producers import SyncHintPublisher\n"
            "from relay.logs import configure_logs\n"
            "configure_logs('error')\n"
            "p = SyncHintPublisher(sys.argv[1]); s = sys.argv[2]\n"
        )
        super().__init__([sys.executable, "-c", head + code, redis_url, session])


def test_ctrl_c(redis_url: str, session_id: str) -> None:
    """Ctrl-C ends whatever waits with a KeyboardInterrupt, and a hint as interrupted."""
    code = (
        "try:\n"
        "    with p.stream_hint(s) as hint:\n"
        "        hint.append('Ask')\n"
        "        print('ready', flush=True)\n"
        "        for message in p.listen(s): pass\n"
        "except KeyboardInterrupt:\n"
        "    print('status', hint.status)\n"
        "p.close()\n"
        "sys.exit(7)\n"
    )
    with Script(code, redis_url, session_id) as script:
        script.wait_for_output("ready")
        time.sleep(0.3)
        script.send(signal.SIGINT)
        assert script.wait(5) == 7
        assert script.output == "ready\nstatus interrupted\n"
    assert _kept(redis_url, session_id)[0]["status"] == "interrupted"


def test_a_program_that_just_ends(redis_url: str, session_id: str) -> None:
    """A program that closes nothing ends at once, and an open hint is interrupted."""
    code = "h = p.stream_hint(s)\nh.__enter__()\nh.append('Ask')\nprint('end')\n"
    with Script(code, redis_url, session_id) as script:
        began_s = time.monotonic()
        assert script.wait(10) == 0
        assert time.monotonic() - began_s < 4
        assert script.output == "end\n"
    [kept] = _kept(redis_url, session_id)
    assert (kept["text"], kept["status"]) == ("Ask", "interrupted")


def test_after_a_fork(redis_url: str, session_id: str) -> None:
    """A forked process is told to make its own, can do that, and harms nothing of its parent's."""
    code = (
        "p.hint(s, 'parent')\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    try: p.hint(s, 'child')\n"
        "    except Exception as error: print(type(error).__name__, flush=True)\n"
        "    p.close()\n"
        "    with SyncHintPublisher(sys.argv[1]) as own: own.hint(s, 'own')\n"
        "    sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "p.hint(s, 'parent again')\n"
    )
    with Script(code, redis_url, session_id) as script:
        assert script.wait(15) == 0
        assert script.output == "PublisherClosed\n"
    texts = [message["text"] for message in _kept(redis_url, session_id)]
    assert texts == ["parent", "own", "parent again"]


def test_no_thread_before_use(redis_url: str, session_id: str) -> None:
    """One that was only made before a fork can be used after it."""
    with SyncHintPublisher(redis_url) as publisher:
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                publisher.hint(session_id, "child")
                publisher.close()
                os.write(writing, b"sent")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(writing)
        assert os.read(reading, 10) == b"sent"
        os.close(reading)
