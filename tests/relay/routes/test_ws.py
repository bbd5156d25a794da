"""The WebSocket endpoint, on a real server and both brokers."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import secrets
import socket
import struct
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from producers import HintPublisher
from relay.broker.broker import Broker
from tests.support.client import client
from tests.support.process import free_port
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, RelayProcess, local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def relay(redis_url: str) -> AsyncIterator[LocalRelay]:
    """A relay with short times."""
    async with local_relay(redis_url, linger_s=0.0, heartbeat_s=0.5) as relay:
        yield relay


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


async def test_the_first_message(relay: LocalRelay, session_id: str) -> None:
    """A new session's first facilitator is told that it is connected, and that there is no log."""
    async with client(relay.ws_url, session_id, welcome=False) as facilitator:
        assert await facilitator.next() == {
            "type": "connection",
            "status": "connected",
            "session": session_id,
            "position": None,
            "recovered": None,
            "snapshot": 0,
            "heartbeat_s": 0.5,
        }


@pytest.mark.parametrize("count", [1, 2, 50])
async def test_a_hint_reaches_all(
    relay: LocalRelay, publisher: HintPublisher, session_id: str, count: int
) -> None:
    """Every facilitator of the session gets the hint, byte for byte as it is kept."""
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Barrier(count + 1)

        async def watch() -> None:
            async with client(relay.ws_url, session_id) as facilitator:
                await ready.wait()
                assert await facilitator.texts(1) == ["Breathe."]

        for _ in range(count):
            group.create_task(watch())
        await ready.wait()
        await publisher.hint(session_id, "Breathe.")


async def test_sessions_are_apart(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """A facilitator of another session gets nothing."""
    async with client(relay.ws_url, session_id + "-b") as other:
        await publisher.hint(session_id, "private")
        await publisher.hint(session_id + "-b", "yours")
        assert await other.texts(1) == ["yours"]


async def test_a_thousand_facilitators(redis_server: RedisServer, session_id: str) -> None:
    """A thousand facilitators of one session all get everything, in order."""
    async with (
        local_relay(redis_server.url) as relay,
        HintPublisher(redis_server.url) as publisher,
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
    ):
        ready = asyncio.Barrier(1001)

        async def watch() -> None:
            async with client(relay.ws_url, session_id) as facilitator:
                await ready.wait()
                assert await facilitator.texts(10, 30) == [str(n) for n in range(10)]

        for _ in range(1000):
            group.create_task(watch())
        await ready.wait()
        assert relay.hub.readers == 1000
        for n in range(10):
            await publisher.hint(session_id, str(n))


async def test_late_joiners_get_what_is_kept(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """Who joins later gets the kept messages first, announced by number, then live ones."""
    for n in range(3):
        await publisher.hint(session_id, str(n))
    async with client(relay.ws_url, session_id, welcome=False) as facilitator:
        first = await facilitator.next()
        assert (first["snapshot"], first["recovered"]) == (3, None)
        await publisher.hint(session_id, "live")
        assert await facilitator.texts(4) == ["0", "1", "2", "live"]


@pytest.mark.parametrize(
    ("replay", "expected"), [("0", []), ("2", ["1", "2"]), ("99", ["0", "1", "2"])]
)
async def test_replay(
    relay: LocalRelay, publisher: HintPublisher, session_id: str, replay: str, expected: list[str]
) -> None:
    """``replay`` says how many of the newest kept messages come first."""
    for n in range(3):
        await publisher.hint(session_id, str(n))
    async with client(relay.ws_url, session_id, replay=replay) as facilitator:
        await publisher.hint(session_id, "live")
        assert await facilitator.texts(len(expected) + 1) == [*expected, "live"]


async def test_resuming(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """With ``since`` exactly what came after it follows, and ``recovered`` is true."""
    sent = [await publisher.hint(session_id, str(n)) for n in range(5)]
    async with client(
        relay.ws_url, session_id, welcome=False, since=str(sent[1].position)
    ) as facilitator:
        first = await facilitator.next()
        assert (first["recovered"], first["snapshot"]) == (True, 0)
        assert await facilitator.texts(3) == ["2", "3", "4"]


async def test_a_since_of_another_log(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """A position of another epoch is answered honestly, with a snapshot."""
    await publisher.hint(session_id, "kept")
    async with client(relay.ws_url, session_id, welcome=False, since="1000-7") as facilitator:
        first = await facilitator.next()
        assert (first["recovered"], first["snapshot"]) == (False, 1)
        assert await facilitator.texts(1) == ["kept"]


async def test_plain_publish(relay: LocalRelay, redis_url: str, session_id: str) -> None:
    """A JSON object from any Redis client goes out live as it is, and is not kept."""
    async with Broker(redis_url) as broker:
        async with client(relay.ws_url, session_id) as facilitator:
            await broker.publish_live(
                f"hints:{session_id}", b'{"type":"hint","text":"hi", "x":[1]}'
            )
            assert await facilitator.next() == {"type": "hint", "text": "hi", "x": [1]}
        async with client(relay.ws_url, session_id, welcome=False) as later:
            assert (await later.next())["snapshot"] == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"hello",
        b"",
        b"[1]",
        b'"x"',
        b"\xff\xfe",
        b'{"type":"hint","text":"' + b"x" * 70_000 + b'"}',
    ],
    ids=["no JSON", "empty", "list", "string", "no UTF-8", "too large"],
)
async def test_unfit_publications_are_dropped(
    relay: LocalRelay, redis_url: str, session_id: str, payload: bytes
) -> None:
    """What is no JSON object of a bounded size reaches nobody and disturbs nothing."""
    async with Broker(redis_url) as broker, client(relay.ws_url, session_id) as facilitator:
        await broker.publish_live(f"hints:{session_id}", payload)
        await broker.publish_live(f"hints:{session_id}", b'{"type":"hint","text":"fine"}')
        assert await facilitator.texts(1) == ["fine"]


async def test_a_forged_position_disturbs_nothing(
    relay: LocalRelay, publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A plain PUBLISH that claims a position which the log does not have is dropped."""
    async with Broker(redis_url) as broker, client(relay.ws_url, session_id) as facilitator:
        await publisher.hint(session_id, "a")
        await broker.publish_live(
            f"hints:{session_id}", b'{"position":"1763900000000-900","type":"hint","text":"forged"}'
        )
        await publisher.hint(session_id, "b")
        assert await facilitator.texts(2) == ["a", "b"]


async def test_heartbeats(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """In silence the head is told; a ping is answered with it at once."""
    async with client(relay.ws_url, session_id) as facilitator:
        assert await facilitator.next() == {"type": "heartbeat", "position": None}
        sent = await publisher.hint(session_id, "a")
        assert (await facilitator.next())["type"] == "hint"
        await facilitator.send({"type": "ping"})
        beat = await facilitator.next(0.4)
        assert beat == {"type": "heartbeat", "position": str(sent.position)}


_BAD_SESSIONS: list[str] = [
    "", "../", "../../etc/passwd", "a b", "a\tb", "x" * 1000, "a\0b", "a\r\nb", "é", "a/b", "{a}",
]  # fmt: skip


@pytest.mark.parametrize("session", _BAD_SESSIONS, ids=repr)
async def test_bad_session_ids(relay: LocalRelay, session: str) -> None:
    """A bad session id gets an error that says the rule, and close code 4101."""
    async with client(relay.ws_url, quote(session, safe=""), welcome=False) as facilitator:
        code, reason, messages = await facilitator.closed()
    assert (code, reason) == (4101, "Bad request")
    assert messages[0]["type"] == "error"
    assert "session" in messages[0]["text"]


@pytest.mark.parametrize(
    ("name", "value", "word"),
    [
        ("since", "yesterday", "position"),
        ("since", "1-2-3", "position"),
        ("since", "9" * 500, "position"),
        ("replay", "-1", "replay"),
        ("replay", "many", "replay"),
        ("replay", "9" * 30, "replay"),
    ],
)
async def test_bad_parameters(
    relay: LocalRelay, session_id: str, name: str, value: str, word: str
) -> None:
    """A malformed parameter is named in the error before the close."""
    async with client(relay.ws_url, session_id, welcome=False, **{name: value}) as facilitator:
        code, _, messages = await facilitator.closed()
    assert code == 4101
    assert word in messages[0]["text"]


async def test_no_session_at_all(relay: LocalRelay) -> None:
    """Without the parameter the error shows how the address looks."""
    async with client(relay.ws_url, None, welcome=False) as facilitator:
        code, _, messages = await facilitator.closed()
    assert code == 4101
    assert "/ws?session=" in messages[0]["text"]


_GARBAGE: list[Any] = [
    "hello", "", "null", "[]", "{}", '{"type":"hint","text":"forged"}', '{"type":"reboot"}',
    '{"type":7}', '{"type":"feedback"}', "{" * 5000, '{"type":"ping"', "\u0000", b"\x00\xff", b"",
    "[" * 15_000,
]  # fmt: skip


@pytest.mark.parametrize("garbage", _GARBAGE, ids=lambda g: repr(g[:20]))
async def test_garbage_gets_an_error_and_nothing_else_happens(
    relay: LocalRelay, publisher: HintPublisher, session_id: str, garbage: str | bytes
) -> None:
    """Each kind of garbage is answered; its sender stays connected, others notice nothing."""
    async with (
        client(relay.ws_url, session_id) as sender,
        client(relay.ws_url, session_id) as other,
    ):
        await sender.websocket.send(garbage)
        error = await sender.next_of("error")
        assert error["code"] == "bad_message"
        assert error["text"]
        await publisher.hint(session_id, "still here")
        assert (await sender.texts(1), await other.texts(1)) == (["still here"], ["still here"])


async def test_a_flood_of_garbage(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """Thousands of bad messages from one delay others by nothing that can be seen."""
    async with (
        client(relay.ws_url, session_id) as sender,
        client(relay.ws_url, session_id) as other,
    ):
        for _ in range(5000):
            await sender.websocket.send("garbage")
        await publisher.hint(session_id, "still here")
        assert await other.texts(1, 3) == ["still here"]
        # It has read none of its five thousand answers, and would not read a close frame either.
        sender.reset()


async def test_ten_megabytes(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """A frame over the limit closes its sender with 1009 before it is read; others stay."""
    async with (
        client(relay.ws_url, session_id) as sender,
        client(relay.ws_url, session_id) as other,
    ):
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - either call may notice
            await sender.websocket.send("x" * 10_000_000)
            while True:
                await sender.next()
        # The relay stops reading at the frame's header. Its close frame can be lost when the kernel
        # answers the rest of the ten megabytes with a reset (RFC 9293 section 3.10.7).
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
        await publisher.hint(session_id, "still here")
        assert await other.texts(1) == ["still here"]


async def test_frame_header_of_ten_megabytes(relay: LocalRelay, session_id: str) -> None:
    """The header alone, without the ten megabytes, is answered with 1009."""
    async with client(relay.ws_url, session_id) as sender:
        sender.websocket.transport.write(b"\x81\xff" + struct.pack("!Q", 10_000_000) + bytes(4))
        code, _, _ = await sender.closed()
        assert code == 1009


async def test_invalid_utf_8(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """A text frame that is not UTF-8 closes its sender with 1007 (RFC 6455 section 8.1)."""
    async with (
        client(relay.ws_url, session_id) as sender,
        client(relay.ws_url, session_id) as other,
    ):
        # Masked with zeros: a text frame of the two bytes ff fe.
        sender.websocket.transport.write(b"\x81\x82\x00\x00\x00\x00\xff\xfe")
        code, _, _ = await sender.closed()
        assert code == 1007
        await publisher.hint(session_id, "still here")
        assert await other.texts(1) == ["still here"]


@pytest.mark.parametrize(
    "frame",
    [
        b"\x83\x80\x00\x00\x00\x00",
        b"\xf1\x80\x00\x00\x00\x00",
        b"\x81\x05hello",
        b"\x80\x80\x00\x00\x00\x00",
    ],
    ids=["reserved opcode", "reserved bits", "unmasked", "continuation of nothing"],
)
async def test_protocol_errors(relay: LocalRelay, session_id: str, frame: bytes) -> None:
    """Frames that RFC 6455 forbids close their sender with 1002."""
    async with client(relay.ws_url, session_id) as sender:
        sender.websocket.transport.write(frame)
        code, _, _ = await sender.closed()
        assert code == 1002


async def test_subprotocol(relay: LocalRelay, session_id: str) -> None:
    """``hints.v1`` is selected when it is offered, among others too."""
    offered = [Subprotocol("x"), Subprotocol("hints.v1")]
    async with connect(
        f"{relay.ws_url}?session={session_id}", subprotocols=offered, proxy=None
    ) as websocket:
        assert websocket.subprotocol == "hints.v1"


async def test_every_kind_of_disconnect_leaves_nothing(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """After a close, a reset, a half-close and a mid-handshake departure the registry is empty."""
    async with client(relay.ws_url, session_id):
        pass
    async with client(relay.ws_url, session_id) as facilitator:
        facilitator.reset()
    async with client(relay.ws_url, session_id) as facilitator:
        facilitator.websocket.transport.write_eof()
        await asyncio.sleep(0)
    raw = socket.create_connection(("127.0.0.1", relay.port))
    raw.sendall(b"GET /ws?session=x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n")
    raw.close()
    await publisher.hint(session_id, "to nobody")
    async with asyncio.timeout(10):
        while relay.hub.rooms:
            await asyncio.sleep(0.01)
    assert relay.hub.readers == 0


async def test_without_redis_clients_are_told_to_come_back(session_id: str) -> None:
    """A relay that can't reach Redis closes with 4005, which says come back."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    relay = RelayProcess(url, "--join-timeout-s", "0.5")
    relay.start()
    try:
        relay.wait_for_output("Hint Relay on http://")
        relay.wait_for_output("worker started")
        async with client(relay.ws_url, session_id, welcome=False) as facilitator:
            code, reason, _ = await facilitator.closed()
        assert (code, reason) == (4005, "Broker lost")
        assert not relay.is_ready()
        assert relay.stop() == 0
    finally:
        relay.__exit__(None, None, None)


async def test_a_slow_reader_is_sent_away_and_delays_nobody(
    redis_server: RedisServer, session_id: str
) -> None:
    """Who does not read is closed with 4002 once the ring has moved past it; others get all."""
    async with (
        local_relay(redis_server.url, ring_messages=20) as relay,
        HintPublisher(redis_server.url) as publisher,
        client(relay.ws_url, session_id) as other,
        connect(
            f"{relay.ws_url}?session={session_id}", proxy=None, max_queue=1, ping_interval=None
        ) as slow,
    ):
        text = "x" * 50_000
        for n in range(400):
            await publisher.hint(session_id, f"{n} {text}")
            if n % 10 == 9:
                got = await other.texts(10)
                assert [line.split()[0] for line in got] == [str(m) for m in range(n - 9, n + 1)]
        numbers = []
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012 - reads until the end
            while True:
                message = json.loads(await slow.recv())
                if message["type"] == "hint":
                    numbers.append(int(message["text"].split()[0]))
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4002
        assert numbers == list(range(len(numbers))), "what it got is in order and without a gap"
        assert relay.hub.readers == 1


async def test_half_open_peer(redis_server: RedisServer, session_id: str) -> None:
    """A peer that answers nothing, not even pings, is given up within two heartbeats."""
    with RelayProcess(redis_server.url, "--heartbeat-s", "0.5") as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        writer.write(
            f"GET /ws?session={session_id} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        async with asyncio.timeout(10):
            # Reads, as a kernel would for a frozen program, and never writes a pong.
            while await reader.read(65536):
                pass
        writer.close()
        relay.wait_for_output("disconnected")


async def test_redis_away_for_too_long(session_id: str) -> None:
    """Facilitators of a relay that has lost Redis for long are sent to other relays."""
    with RedisServer() as redis:
        async with (
            local_relay(redis.url, broker_lost_s=0.5, heartbeat_s=0.2) as relay,
            client(relay.ws_url, session_id) as facilitator,
        ):
            redis.kill()
            code, reason, _ = await facilitator.closed()
            assert (code, reason) == (4005, "Broker lost")


async def test_redis_away_for_a_moment(session_id: str) -> None:
    """A short absence of Redis closes nobody's connection, and loses nothing."""
    with RedisServer(append_only=True) as redis:
        async with (
            HintPublisher(redis.url) as publisher,
            local_relay(redis.url, broker_lost_s=20.0) as relay,
            client(relay.ws_url, session_id) as facilitator,
        ):
            await publisher.hint(session_id, "before")
            redis.kill()
            redis.start()
            await asyncio.to_thread(redis.wait_until_ready)
            await publisher.hint(session_id, "after")
            assert await facilitator.texts(2) == ["before", "after"]


async def test_who_leaves_before_it_is_served(session_id: str) -> None:
    """A facilitator that goes while its join waits for Redis is let go at once."""
    with RedisServer() as redis:
        async with local_relay(redis.url, join_timeout_s=30.0, linger_s=0.0) as relay:
            redis.kill()
            async with client(relay.ws_url, session_id, welcome=False):
                async with asyncio.timeout(10):
                    while not relay.hub.rooms:
                        await asyncio.sleep(0.01)
            async with asyncio.timeout(10):
                while relay.hub.rooms:
                    await asyncio.sleep(0.01)
            assert relay.hub.readers == 0


async def test_two_joins_while_a_burst_outruns_the_ring(
    redis_server: RedisServer, session_id: str
) -> None:
    """Joins converge however small the ring is, and each gets exactly what it asked for."""
    async with (
        local_relay(redis_server.url, ring_messages=5) as relay,
        HintPublisher(redis_server.url) as publisher,
    ):
        last = await publisher.hint(session_id, "0")

        async def burst() -> None:
            nonlocal last
            for n in itertools.count(1):
                last = await publisher.hint(session_id, str(n))

        async def resume() -> None:
            since = last.position
            async with client(
                relay.ws_url, session_id, welcome=False, since=str(since)
            ) as facilitator:
                assert (await facilitator.next())["recovered"] is True
                expected = since.offset
                for _ in range(10):
                    got = await facilitator.next_of("hint")
                    expected += 1
                    assert got["position"] == f"{since.epoch}-{expected}"

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            # The burst ends after the last join, however fast the machine is.
            bursting = group.create_task(burst())
            async with asyncio.TaskGroup() as joins:
                for _ in range(30):
                    joins.create_task(resume())
                    joins.create_task(resume())
                    await asyncio.sleep(0.005)
            bursting.cancel()
