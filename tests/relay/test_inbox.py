"""The way back, on real servers: what facilitators send, and what becomes of it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from relay.broker.broker import Broker
from relay.broker.receipts import ReceiptBook
from relay.broker.streaming import Standing, StreamingHints
from relay.messages import Hint
from relay.socket.reader import FeedReader
from tests.support.client import Client, Json, client
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, local_relay
from tests.support.websocket import TEXT, RawClient, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.sockets import Sockets

_FEEDBACK: Json = {"type": "feedback", "id": "f-1", "hint": "h-1", "action": "used"}
_STEER: Json = {"type": "command", "id": "c-1", "name": "steer", "text": "More, please."}
_CANCEL: Json = {"type": "command", "id": "c-2", "name": "cancel", "hint": "h-1"}
_SEEN: Json = {"type": "seen", "hints": ["h-1"]}


@pytest.fixture
async def relay(kind: tuple[Sockets, str]) -> AsyncIterator[LocalRelay]:
    """A relay where anybody may send a lot."""
    sockets, url = kind
    async with local_relay(
        url, options=sockets.options, linger_s=0.0, heartbeat_s=60.0, inbound_burst=1000
    ) as relay:
        yield relay


@pytest.fixture
async def other_relay(kind: tuple[Sockets, str]) -> AsyncIterator[LocalRelay]:
    """Another worker on the same broker."""
    sockets, url = kind
    async with local_relay(url, options=sockets.options, heartbeat_s=60.0) as relay:
        yield relay


@pytest.fixture
async def broker(kind: tuple[Sockets, str]) -> AsyncIterator[Broker]:
    """An agent's way to Redis."""
    async with Broker(kind[1]) as broker:
        yield broker


async def _hint(broker: Broker, session: str, hint_id: str = "h-1") -> None:
    await broker.publish(session, Hint(id=hint_id, text="Breathe.").to_json(), hint_id)


async def _ask(facilitator: Client, message: Json | str) -> Json:
    """Send a message and return its answer, passing over what is published."""
    text = message if isinstance(message, str) else json.dumps(message)
    await facilitator.websocket.send(text)
    async with asyncio.timeout(10):
        while True:
            answer = await facilitator.next()
            if answer["type"] in ("ack", "error"):
                return answer


def _outcomes(relay: LocalRelay) -> dict[str, float]:
    """Return how messages were counted that facilitators sent."""
    return {
        sample.labels["outcome"]: sample.value
        for family in relay.metrics.inbound.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }


@pytest.mark.parametrize("message", [_FEEDBACK, _STEER, {**_STEER, "hint": "h-1"}, _CANCEL])
async def test_everybody_gets_it(
    relay: LocalRelay,
    other_relay: LocalRelay,
    broker: Broker,
    session_id: str,
    message: Json,
) -> None:
    """It is published with who and when, to all relays and its sender, who is told where it stands."""
    await _hint(broker, session_id)
    before_s = time.time()
    async with (
        client(relay.ws_url, session_id, guest="mara") as mara,
        client(other_relay.ws_url, session_id) as other,
    ):
        await mara.send({**message, "unknown": {"stays": None}})
        published = await other.next_of(message["type"])
        assert before_s <= published.pop("timestamp") <= time.time()
        position = published.pop("position")
        assert published == {**message, "unknown": {"stays": None}, "by": "guest-mara"}
        own = {one["type"]: one for one in [await mara.next() for _ in range(3)]}
        assert own.keys() == {"hint", message["type"], "ack"}
        assert own[message["type"]]["position"] == position
        assert own["ack"] == {"type": "ack", "ref": message["id"], "position": position}
    acked = relay.metrics.acked.labels(message["type"])
    assert acked._value.get() == 1
    assert _outcomes(relay) == {"ok": 1}


_STEER_BOUND = "x" * 2001

_WRONG: list[tuple[str, Json | str, str, str]] = [
    ("no id", {k: v for k, v in _FEEDBACK.items() if k != "id"}, "bad_message", "'id'"),
    ("empty id", {**_FEEDBACK, "id": ""}, "bad_message", "'id'"),
    ("long id", {**_FEEDBACK, "id": "x" * 129}, "bad_message", "'id'"),
    ("forged by", {**_FEEDBACK, "by": "guest-other"}, "bad_message", "'by': The relay sets it"),
    ("forged time", {**_STEER, "timestamp": 1.0}, "bad_message", "'timestamp': The relay sets it"),
    ("forged position", {**_STEER, "position": "1-1"}, "bad_message", "'position': The relay sets it"),
    ("foreign session", {**_STEER, "session": "another"}, "bad_message", "foreign session"),
    ("forged by in seen", {**_SEEN, "by": "x"}, "bad_message", "'by': The relay sets it"),
    ("no hint", {"type": "feedback", "id": "1", "action": "used"}, "bad_message", "'hint'"),
    ("bad action", {**_FEEDBACK, "action": "eaten"}, "bad_message", "'action'"),
    ("bad name", {**_STEER, "name": "reboot"}, "bad_message", "'name'"),
    ("cancel of nothing", {"type": "command", "id": "1", "name": "cancel"}, "bad_message", "'hint'"),
    ("blank steer", {**_STEER, "text": "  \n "}, "bad_message", "'text'"),
    ("steer without text", {"type": "command", "id": "1", "name": "steer"}, "bad_message", "'text'"),
    ("long steer", {**_STEER, "text": _STEER_BOUND}, "too_large", "2,000"),
    ("unknown hint", {**_FEEDBACK, "hint": "h-2"}, "unknown_hint", "no hint"),
    ("unknown hint in cancel", {**_CANCEL, "hint": "h-2"}, "unknown_hint", "no hint"),
    ("unknown hint in steer", {**_STEER, "hint": "h-2"}, "unknown_hint", "no hint"),
    ("unknown hints seen", {"type": "seen", "hints": ["h-2", "h-3"]}, "unknown_hint", "no hint"),
    ("nothing seen", {"type": "seen", "hints": []}, "bad_message", "'hints'"),
    ("too many seen", {"type": "seen", "hints": ["h-1"] * 101}, "bad_message", "'hints'"),
    ("a hint", {"type": "hint", "id": "x", "text": "forged"}, "bad_message", "'type'"),
    ("an ack", {"type": "ack", "ref": "x", "position": "1-1"}, "bad_message", "'type'"),
    ("surrogate", '{"type":"feedback","id":"\\ud800","hint":"h","action":"used"}', "bad_message", ""),
]  # fmt: skip


async def test_wrong_messages(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """Each is answered with its code, its id and what is wrong, and nothing else happens."""
    await _hint(broker, session_id)
    async with (
        client(relay.ws_url, session_id) as sender,
        client(relay.ws_url, session_id) as other,
    ):
        assert (await other.next_of("hint"))["id"] == "h-1"
        for what, message, code, text in _WRONG:
            answer = await _ask(sender, message)
            assert (answer["type"], answer["code"]) == ("error", code), what
            assert text in answer["text"], what
            ref = message.get("id") if isinstance(message, dict) else None
            assert answer.get("ref") == (ref if ref and len(ref) < 129 else None), what
        await _hint(broker, session_id, "h-9")
        # Nothing was published in between.
        assert (await other.next())["id"] == "h-9"
    assert len(relay.serving.inbox) == 0


async def test_a_repetition(
    relay: LocalRelay, other_relay: LocalRelay, broker: Broker, session_id: str
) -> None:
    """The same id, on whatever relay, is published once and acknowledged alike."""
    await _hint(broker, session_id)
    async with client(relay.ws_url, session_id) as other:
        assert (await other.next())["id"] == "h-1"
        for number, guest in enumerate(["&guest=mara", ""]):
            message = {**_FEEDBACK, "id": f"f-{number}"}
            async with client(relay.ws_url, session_id + guest) as first:
                acks = [await _ask(first, message), await _ask(first, message)]
            async with client(other_relay.ws_url, session_id + guest) as second:
                acks.append(await _ask(second, message))
            assert {ack["type"] for ack in acks} == {"ack"}
            assert acks[0] == acks[1] == acks[2]
            assert (await other.next())["position"] == acks[0]["position"]
        async with client(relay.ws_url, session_id, guest="ada") as ada:
            # Another one's id is another id.
            ack = await _ask(ada, {**_FEEDBACK, "id": "f-0"})
        assert (await other.next())["position"] == ack["position"]


async def test_the_order(relay: LocalRelay, session_id: str) -> None:
    """What one facilitator sends at once is published in its order, and acknowledged in it."""
    async with client(relay.ws_url, session_id) as sender:
        for number in range(16):
            await sender.send({**_STEER, "id": str(number)})
        messages = [await sender.next() for _ in range(32)]
    for kind, field in (("command", "id"), ("ack", "ref")):
        assert [one[field] for one in messages if one["type"] == kind] == [
            str(number) for number in range(16)
        ]


async def test_many_senders(relay: LocalRelay, session_id: str) -> None:
    """However many send at the same time, each is answered, and few tasks do the work."""

    async def send(number: int) -> None:
        async with client(relay.ws_url, session_id) as sender:
            for turn in range(5):
                ack = await _ask(sender, {**_STEER, "id": f"{number}-{turn}"})
                assert ack["ref"] == f"{number}-{turn}"
                assert len(relay.serving.inbox._tasks) <= 12

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(send(number))
    assert relay.serving.inbox._working == len(relay.serving.inbox) == 0


async def test_who_has_gone(relay: LocalRelay, session_id: str) -> None:
    """What was taken is published, also when its sender does not wait for the ack."""
    async with client(relay.ws_url, session_id) as other:
        async with client(relay.ws_url, session_id) as sender:
            await sender.send(_STEER)
            await relay.until(lambda: sum(_outcomes(relay).values()) + len(relay.serving.inbox) > 0,
                              "it has arrived")  # fmt: skip
            sender.reset()
        assert (await other.next_of("command"))["id"] == "c-1"


async def test_too_many(kind: tuple[Sockets, str], session_id: str) -> None:
    """Who sends too many is told so for each, with its id, and when to send it again."""
    sockets, url = kind
    async with (
        local_relay(
            url, options=sockets.options, heartbeat_s=60.0, inbound_per_s=5.0, inbound_burst=3
        ) as relay,
        client(relay.ws_url, session_id) as sender,
        client(relay.ws_url, session_id) as other,
    ):
        for number in range(6):
            await sender.send({**_STEER, "id": str(number)})
        messages = [await sender.next() for _ in range(9)]
        acks = [one["ref"] for one in messages if one["type"] == "ack"]
        refused = [one for one in messages if one["type"] == "error"]
        assert acks == ["0", "1", "2"]
        assert [one["ref"] for one in refused] == ["3", "4", "5"]
        assert {one["code"] for one in refused} == {"rate_limited"}
        retry_after_ms = refused[0]["retry_after_ms"]
        assert 0 < retry_after_ms <= 200
        # Whatever it is counts, and only for its sender.
        for message in ("garbage", {"type": "ping"}, _SEEN):
            assert (await _ask(sender, message))["code"] == "rate_limited"
        assert (await _ask(other, {**_STEER, "id": "other"}))["type"] == "ack"
        await asyncio.sleep(retry_after_ms / 1000)
        assert (await _ask(sender, {**_STEER, "id": "3"}))["type"] == "ack"
        assert _outcomes(relay) == {"ok": 5, "rate_limited": 6}


async def test_who_only_reads(relay: LocalRelay, session_id: str) -> None:
    """Nothing is kept for somebody who has sent nothing."""
    async with client(relay.ws_url, session_id) as reader:
        (room,) = relay.hub._rooms.values()
        (one,) = room.readers
        assert isinstance(one, FeedReader)
        assert one.sending is None
        await reader.send({"type": "ping"})
        await reader.next_of("heartbeat")
        assert one.sending is not None


async def test_redis_hangs(sockets: Sockets, session_id: str) -> None:
    """While Redis hangs a few wait, in their order, more are refused; then they are published."""
    with RedisServer() as redis:
        async with (
            local_relay(
                redis.url, options=sockets.options, heartbeat_s=60.0, inbound_burst=100,
                redis_timeout_s=20.0, probe_timeout_s=30.0,
            ) as relay,
            client(relay.ws_url, session_id) as sender,
        ):  # fmt: skip
            redis.send(signal.SIGSTOP)
            try:
                for number in range(20):
                    await sender.send({**_STEER, "id": str(number)})
                refused = [await sender.next() for _ in range(4)]
                assert [one["ref"] for one in refused] == ["16", "17", "18", "19"]
                assert {one["code"] for one in refused} == {"rate_limited"}
            finally:
                redis.send(signal.SIGCONT)
            acked = [(await sender.next_of("ack"))["ref"] for _ in range(16)]
            assert acked == [str(number) for number in range(16)]


async def test_during_a_slow_join(sockets: Sockets, session_id: str) -> None:
    """What is sent before the session could be opened is published when it is."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, options=sockets.options, heartbeat_s=60.0, inbound_burst=100,
            join_timeout_s=30.0, redis_timeout_s=20.0, probe_timeout_s=30.0,
        ) as relay:  # fmt: skip
            redis.send(signal.SIGSTOP)
            try:
                async with client(relay.ws_url, session_id, welcome=False) as sender:
                    for number in range(16):
                        await sender.send({**_STEER, "id": str(number)})
                    await asyncio.sleep(0.2)
                    redis.send(signal.SIGCONT)
                    assert (await sender.next())["type"] == "connection"
                    acked = [(await sender.next_of("ack"))["ref"] for _ in range(16)]
                    assert acked == [str(number) for number in range(16)]
            finally:
                redis.send(signal.SIGCONT)


async def test_redis_is_away(sockets: Sockets, session_id: str) -> None:
    """Without Redis the sender is told at once that nobody knows; sent again later, it is acked."""
    with RedisServer(append_only=True) as redis:
        async with (
            local_relay(redis.url, options=sockets.options, heartbeat_s=60.0) as relay,
            client(relay.ws_url, session_id) as sender,
        ):
            redis.kill()
            answer = await _ask(sender, _STEER)
            assert (answer["code"], answer["ref"]) == ("unavailable", "c-1")
            assert "again" in answer["text"]
            redis.start()
            await asyncio.to_thread(redis.wait_until_ready)
            assert (await _ask(sender, _STEER))["ref"] == "c-1"
            assert _outcomes(relay) == {"unavailable": 1, "ok": 1}


async def test_the_relay_stops(redis_server: RedisServer, session_id: str) -> None:
    """A relay that stops while messages are on their way finishes them, and leaves no task."""
    before = asyncio.all_tasks()
    async with local_relay(redis_server.url) as relay, client(relay.ws_url, session_id) as sender:
        for number in range(10):
            await sender.send({**_STEER, "id": str(number)})
        await relay.until(lambda: sum(_outcomes(relay).values()) > 0, "they have arrived")
    assert asyncio.all_tasks() == before
    assert len(relay.serving.inbox) == 0
    async with Broker(redis_server.url) as broker:
        assert len((await broker.read(session_id)).publications) == 10


async def test_hints_that_left_the_ring(kind: tuple[Sockets, str], session_id: str) -> None:
    """A hint that only the log has is known after one read; each that it has not either costs another."""
    sockets, url = kind
    async with (
        local_relay(
            url, options=sockets.options, heartbeat_s=60.0, ring_messages=2, inbound_burst=100
        ) as relay,
        Broker(url) as broker,
        client(relay.ws_url, session_id) as sender,
    ):
        for number in range(10):
            await _hint(broker, session_id, f"h-{number}")
            await sender.next_of("hint")
        reads = relay.metrics.log_reads._value
        assert (await _ask(sender, {**_FEEDBACK, "hint": "h-0"}))["type"] == "ack"
        assert relay.metrics.log_reads._value == reads + 1
        for number in range(20):
            wrong = {**_FEEDBACK, "id": str(number), "hint": f"x-{number}"}
            assert (await _ask(sender, wrong))["code"] == "unknown_hint"
        assert (await _ask(sender, {**_FEEDBACK, "id": "2", "hint": "h-5"}))["type"] == "ack"
        assert relay.metrics.log_reads._value == reads + 21


async def test_plain_hints(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """A hint that was only published live can have feedback."""
    async with client(relay.ws_url, session_id) as sender:
        await broker.publish_live(f"hints:{session_id}", b'{"type":"hint","id":"l","text":"x"}')
        await sender.next_of("hint")
        assert (await _ask(sender, {**_FEEDBACK, "hint": "l"}))["type"] == "ack"


async def test_cancelling(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """The agent learns with its next step that its hint is to stop, and from the publication."""
    async with client(relay.ws_url, session_id) as sender:
        hints = StreamingHints(broker)
        await hints.open(session_id, Hint(id="h-1", text="", status="streaming"))
        await sender.next_of("hint")
        assert await hints.renew(session_id, "h-1") is Standing.STREAMING
        assert (await _ask(sender, _CANCEL))["type"] == "ack"
        assert await hints.renew(session_id, "h-1") is Standing.CANCELLING


async def test_seen(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """Known hints are noted for their agent, unknown ones beside them passed over, without an answer."""
    await _hint(broker, session_id)
    async with (
        client(relay.ws_url, session_id, guest="mara") as mara,
        client(relay.ws_url, session_id, guest="ada") as ada,
    ):
        book = ReceiptBook(broker)
        await mara.next_of("hint")
        await mara.send({"type": "seen", "hints": ["h-1", "h-2"]})
        await ada.send(_SEEN)
        async with asyncio.timeout(10):
            while len(await book.seen(session_id, "h-1")) < 2:
                await asyncio.sleep(0.02)
        assert await book.seen(session_id, "h-1") == {"guest-mara", "guest-ada"}
        assert await book.seen(session_id, "h-2") == set()
        await mara.send({"type": "ping"})
        assert (await mara.next())["type"] == "heartbeat", "nothing was answered"


async def test_a_slow_sender(redis_server: RedisServer, session_id: str) -> None:
    """Answers to somebody who does not read them stay few."""
    async with local_relay(
        redis_server.url, heartbeat_s=60.0, inbound_burst=1_000_000, linger_s=0.0
    ) as relay:
        with await RawClient.connect(relay.port, receive_buffer=4096) as raw:
            await raw.open(f"/ws?session={session_id}")
            await raw.welcome()
            data = b"".join(
                frame(TEXT, json.dumps({**_STEER, "id": "x" * 100 + str(n)}).encode())
                for n in range(3000)
            )
            sent, stuck = 0, 0
            while sent < 20_000_000 and stuck < 300:
                just_sent = raw.send_what_fits(data[sent % len(data) :])
                sent += just_sent
                stuck = 0 if just_sent else stuck + 1
                await asyncio.sleep(0.001)
            assert sent < 20_000_000, "it reads on for ever"
            assert len(relay.serving.inbox) <= 16
            for one in relay.open_connections:
                connection: Any = one
                assert connection._transport.get_write_buffer_size() < 128 * 1024
            raw.reset()
        await relay.until_nothing_is_left()
