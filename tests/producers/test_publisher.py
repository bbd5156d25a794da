"""What an agent publishes, against both brokers and against a Redis that comes and goes."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintPublisher
from relay.broker.broker import Broker
from relay.errors import (
    BrokerUnavailable,
    HintRelayError,
    InvalidMessage,
    InvalidSession,
    MessageTooLarge,
)
from relay.position import Position
from tests.support.process import stable_port
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Json = dict[str, Any]


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


@pytest.fixture
async def nowhere() -> AsyncIterator[HintPublisher]:
    """An agent without a Redis: whatever it refuses otherwise was refused before Redis saw it."""
    async with HintPublisher(f"redis://127.0.0.1:{stable_port()}/0", give_up_s=0) as publisher:
        yield publisher


async def _kept(redis_url: str, session: str) -> list[Json]:
    async with Broker(redis_url) as broker:
        log = await broker.read(session)
    return [json.loads(publication.payload) for publication in log.publications]


async def test_a_hint(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """A hint is kept with its id, its time and its position, which is what the caller is told."""
    before = time.time()
    sent = await publisher.hint(session_id, "Breathe. 🙂")
    [kept] = await _kept(redis_url, session_id)
    assert before <= kept.pop("timestamp") <= time.time()
    assert kept == {
        "position": str(sent.position),
        "type": "hint",
        "id": sent.id,
        "text": "Breathe. 🙂",
    }


async def test_all_fields_of_a_hint(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """All fields of a hint, and fields of the caller's own, arrive as they were given."""
    fields: Json = {
        "id": "h-1", "timestamp": 12.5, "priority": "high", "category": "pacing",
        "source": "coach", "reply_to": "t-1", "expires_at": 99.0, "meta": {"model": ["x", 1]},
        "status": "complete", "mood": "calm",
    }  # fmt: skip
    sent = await publisher.hint(session_id, "Breathe.", **fields)
    assert sent.id == "h-1"
    [kept] = await _kept(redis_url, session_id)
    assert kept == {
        "position": str(sent.position),
        "type": "hint",
        "text": "Breathe.",
        **fields,
    }


async def test_a_transcript(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """A transcript line carries its speaker; without one the field is left out."""
    first = await publisher.transcript(session_id, "I knew.", speaker="Mara")
    second = await publisher.transcript(session_id, "Knew what?")
    kept = await _kept(redis_url, session_id)
    assert [message["type"] for message in kept] == ["transcript", "transcript"]
    assert [message["id"] for message in kept] == [first.id, second.id]
    assert kept[0]["speaker"] == "Mara"
    assert "speaker" not in kept[1]


async def test_an_error(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """An error carries a code that the caller may choose."""
    await publisher.error(session_id, "The model is busy.")
    await publisher.error(session_id, "No credit.", code="billing")
    kept = await _kept(redis_url, session_id)
    assert [(message["type"], message["code"]) for message in kept] == [
        ("error", "agent"),
        ("error", "billing"),
    ]


async def test_the_id_of_an_error(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """The id that an error's sender is told is the id of the message."""
    sent = await publisher.error(session_id, "The model is busy.")
    [kept] = await _kept(redis_url, session_id)
    assert kept.get("id") == sent.id


async def test_own_ids_are_unique(publisher: HintPublisher, session_id: str) -> None:
    """Messages without an id each get one of their own."""
    sent = await asyncio.gather(*(publisher.hint(session_id, "x") for _ in range(50)))
    assert len({one.id for one in sent}) == 50
    assert sorted(one.position.offset for one in sent) == list(range(1, 51))


async def test_order(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """Messages of one task keep their order, however many tasks publish."""

    async def publish(task: int) -> None:
        for n in range(20):
            await publisher.hint(session_id, f"{n}", source=f"{task}")

    await asyncio.gather(*(publish(task) for task in range(5)))
    kept = await _kept(redis_url, session_id)
    assert len(kept) == 100
    for task in range(5):
        mine = [int(message["text"]) for message in kept if message["source"] == str(task)]
        assert mine == list(range(20))


async def test_an_id_twice(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """Publishing an id again publishes nothing, and tells the position of the first."""
    first = await publisher.hint(session_id, "a", id="h-1")
    again = await publisher.hint(session_id, "b", id="h-1")
    assert again == first
    assert [message["text"] for message in await _kept(redis_url, session_id)] == ["a"]


async def test_an_id_in_two_sessions(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """The same id in another session is another message."""
    await publisher.hint(session_id, "a", id="h-1")
    await publisher.hint(f"{session_id}-b", "b", id="h-1")
    assert [message["text"] for message in await _kept(redis_url, f"{session_id}-b")] == ["b"]


async def test_interim_transcripts(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """Interim results and the final one share an id and are all published; the final one once."""
    for text in ("I", "I knew", "I knew the"):
        await publisher.transcript(session_id, text, id="t-1", final=False)
    for _ in range(2):
        await publisher.transcript(session_id, "I knew the hand.", id="t-1", final=True)
    kept = await _kept(redis_url, session_id)
    assert [message["text"] for message in kept] == [
        "I",
        "I knew",
        "I knew the",
        "I knew the hand.",
    ]
    assert {message["id"] for message in kept} == {"t-1"}
    assert [message["final"] for message in kept] == [False, False, False, True]


@pytest.mark.parametrize("session", ["", "a b", "a/b", "../a", "é", "x" * 129, "a\n", "{a}"])
async def test_bad_sessions(nowhere: HintPublisher, session: str) -> None:
    """A bad session id is refused by every method before Redis is asked."""
    with pytest.raises(InvalidSession):
        await nowhere.hint(session, "x")
    with pytest.raises(InvalidSession):
        await nowhere.transcript(session, "x")
    with pytest.raises(InvalidSession):
        await nowhere.error(session, "x")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "urgent"),
        ("status", "done"),
        ("id", ""),
        ("id", "x" * 129),
        ("id", 7),
        ("timestamp", "now"),
        ("timestamp", -1),
        ("timestamp", float("nan")),
        ("expires_at", float("inf")),
        ("meta", "x"),
        ("meta", {1: "x"}),
        ("category", 7),
        ("type", "transcript"),
    ],
)
async def test_bad_fields(nowhere: HintPublisher, field: str, value: object) -> None:
    """A field that breaks its rule is named, and Redis is not asked."""
    with pytest.raises(InvalidMessage, match=field):
        await nowhere.hint("demo", "x", **{field: value})


@pytest.mark.parametrize(
    "fields",
    [{"meta": {"x": object()}}, {"mood": {1, 2}}, {"mood": 2**70}, {"mood": "\ud800"}],
    ids=["object", "set", "integer of 71 bits", "lone surrogate"],
)
async def test_what_json_does_not_know(nowhere: HintPublisher, fields: Json) -> None:
    """A value that JSON does not know is refused as every other bad message is."""
    with pytest.raises(InvalidMessage):
        await nowhere.hint("demo", "x", **fields)


async def test_a_text_that_is_not_unicode(nowhere: HintPublisher) -> None:
    """A text with a lone surrogate, as undecodable terminal input has, is refused."""
    with pytest.raises(InvalidMessage):
        await nowhere.hint("demo", "\udcff")


async def test_a_position_is_not_the_callers(nowhere: HintPublisher) -> None:
    """A caller's position is refused: in the JSON it would win over the true one."""
    with pytest.raises(InvalidMessage, match="position"):
        await nowhere.hint("demo", "x", position="1-1")


async def test_too_large(nowhere: HintPublisher) -> None:
    """A message over the limit is refused with both sizes, before Redis sees it."""
    with pytest.raises(MessageTooLarge) as refusal:
        await nowhere.hint("demo", "x" * 65_536)
    assert refusal.value.max_bytes == 65_536
    assert refusal.value.size_bytes > 65_536


async def test_the_largest(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """The limit counts bytes of JSON: what just fits is published, one more byte is not."""
    try:
        await publisher.hint(session_id, "x" * 65_536, id="i", timestamp=1.0)
    except MessageTooLarge as refusal:
        room = 65_536 - (refusal.size_bytes - 65_536)
    else:
        pytest.fail("not refused")
    with pytest.raises(MessageTooLarge):
        await publisher.hint(session_id, "x" * (room + 1), id="i", timestamp=1.0)
    await publisher.hint(session_id, "x" * room, id="i", timestamp=1.0)
    [kept] = await _kept(redis_url, session_id)
    assert len(kept["text"]) == room


async def test_a_bad_address() -> None:
    """An address that is none is refused with a sentence that names the schemes."""
    with pytest.raises(HintRelayError, match="redis://"):
        HintPublisher("http://127.0.0.1:6379")


async def test_redis_is_away() -> None:
    """Without a Redis a message is tried for ``give_up_s``, then the caller is told."""
    async with HintPublisher(f"redis://127.0.0.1:{stable_port()}/0", give_up_s=0.5) as publisher:
        began_s = time.monotonic()
        with pytest.raises(BrokerUnavailable, match="not available"):
            await publisher.hint("demo", "x")
        assert 0.05 < time.monotonic() - began_s < 2.5


async def test_redis_hangs(session_id: str) -> None:
    """After a try whose outcome nobody knows, publishing the same id again publishes once."""
    with RedisServer() as server:
        async with HintPublisher(server.url, give_up_s=0, timeout_s=0.3) as publisher:
            await publisher.hint(session_id, "before")
            server.send(signal.SIGSTOP)
            with pytest.raises(BrokerUnavailable):
                await publisher.hint(session_id, "unknown", id="h-1")
            server.send(signal.SIGCONT)
            await publisher.hint(session_id, "unknown", id="h-1")
        kept = await _kept(server.url, session_id)
        assert [message["text"] for message in kept] == ["before", "unknown"]


async def test_redis_restarts(session_id: str) -> None:
    """A Redis that is killed and comes back loses, doubles and reorders nothing."""
    with RedisServer(append_only=True) as server:
        async with HintPublisher(server.url, give_up_s=20, timeout_s=2) as publisher:
            busy = asyncio.Event()

            async def publish(task: int) -> None:
                for n in range(100):
                    await publisher.hint(session_id, f"{n}", source=f"{task}")
                    if n == 30:
                        busy.set()

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                for task in range(3):
                    group.create_task(publish(task))
                await busy.wait()
                server.kill()
                server.start()
                await asyncio.to_thread(server.wait_until_ready)
        kept = await _kept(server.url, session_id)
        assert len(kept) == 300
        for task in range(3):
            mine = [int(message["text"]) for message in kept if message["source"] == str(task)]
            assert mine == list(range(100))
        # One epoch for each process of Redis, counted from one without a gap.
        epochs: dict[int, list[int]] = {}
        for message in kept:
            position = Position.parse(message["position"])
            epochs.setdefault(position.epoch, []).append(position.offset)
        assert list(epochs) == sorted(epochs)
        assert all(offsets == list(range(1, len(offsets) + 1)) for offsets in epochs.values())
