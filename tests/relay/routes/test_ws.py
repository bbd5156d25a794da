"""The WebSocket endpoint on a real server: one suite over both kinds of socket and both brokers."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
import struct
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from producers import HintPublisher
from relay.broker.broker import Broker
from tests.support.client import client
from tests.support.process import stable_port
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, RelayProcess, local_relay
from tests.support.websocket import CONT, PING, PONG, TEXT, RawClient, close_frame, frame

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.sockets import Sockets


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here needs a second to read a close frame."""
    monkeypatch.setattr("relay.socket.connection._FAREWELL_S", 0.2)


@pytest.fixture
def redis_url(kind: tuple[Sockets, str]) -> str:
    """The broker."""
    return kind[1]


@pytest.fixture
async def relay(kind: tuple[Sockets, str]) -> AsyncIterator[LocalRelay]:
    """A relay with short times, where anybody may send a lot."""
    sockets, url = kind
    async with local_relay(
        url, options=sockets.options, linger_s=0.0, heartbeat_s=0.5, inbound_burst=10_000
    ) as relay:
        yield relay


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


async def test_the_first_message(relay: LocalRelay, session_id: str) -> None:
    """A new session's first facilitator is told who it is, and that there is no log."""
    async with client(relay.ws_url, session_id, welcome=False, guest="mara") as facilitator:
        assert await facilitator.next() == {
            "type": "connection",
            "status": "connected",
            "session": session_id,
            "position": None,
            "recovered": None,
            "snapshot": 0,
            "heartbeat_s": 0.5,
            "you": "guest-mara",
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


@pytest.mark.alone
async def test_a_thousand_facilitators(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """A thousand facilitators of one session all get everything, in order."""
    async with (
        local_relay(redis_server.url, options=sockets.options) as relay,
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


@pytest.mark.alone
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


async def test_bad_session_ids(relay: LocalRelay) -> None:
    """A bad session id gets an error that says the rule, and close code 4101."""
    for session in _BAD_SESSIONS:
        async with client(relay.ws_url, quote(session, safe=""), welcome=False) as facilitator:
            code, reason, messages = await facilitator.closed()
        assert (code, reason) == (4101, "Bad request"), session
        assert messages[0]["type"] == "error", session
        assert "session" in messages[0]["text"], session


async def test_bad_parameters(relay: LocalRelay, session_id: str) -> None:
    """A malformed parameter is named in the error before the close."""
    queries: list[dict[str, Any]] = [
        {"since": "yesterday"},
        {"since": "1-2-3"},
        {"since": "9" * 500},
        {"replay": "-1"},
        {"replay": "many"},
        {"replay": "9" * 30},
        {"guest": ""},
        {"guest": "x" * 65},
        {"guest": "a.b"},
    ]
    for query in queries:
        async with client(relay.ws_url, session_id, welcome=False, **query) as facilitator:
            code, _, messages = await facilitator.closed()
        assert code == 4101, query
        word = "position" if "since" in query else next(iter(query))
        assert word in messages[0]["text"], query


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
    # Deep enough to be read, and too deep to be written.
    f'{{"type":"command","id":"1","name":"steer","text":"x","extra":{"[" * 300}{"]" * 300}}}',
]  # fmt: skip


async def test_garbage_gets_an_error_and_nothing_else_happens(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """Each kind of garbage is answered; its sender stays connected, others notice nothing."""
    async with (
        client(relay.ws_url, session_id) as sender,
        client(relay.ws_url, session_id) as other,
    ):
        for garbage in _GARBAGE:
            await sender.websocket.send(garbage)
            error = await sender.next_of("error")
            assert error["code"] == "bad_message", garbage
            assert error["text"], garbage
            await publisher.hint(session_id, "still here")
            assert (await sender.texts(1), await other.texts(1)) == (["still here"],) * 2, garbage


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


async def test_everykind_of_disconnect_leaves_nothing(
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
    url = f"redis://127.0.0.1:{stable_port()}/0"
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
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Who does not read is closed with 4002 once the ring has moved past it; others get all."""
    async with (
        local_relay(redis_server.url, options=sockets.options, ring_messages=20) as relay,
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


async def test_a_silent_peer(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """A peer that reads and answers nothing, not even pings, is given up within two heartbeats."""
    async with local_relay(
        redis_server.url, options=sockets.options, heartbeat_s=0.3, linger_s=0.0
    ) as relay:
        with await RawClient.connect(relay.port) as raw:
            await raw.open(f"/ws?session={session_id}")
            got = await raw.frames_to_end()
            assert got[-1].close_code == sockets.silent_peer
            assert sum(one.opcode is PING for one in got) == 1
        await relay.until_nothing_is_left()


async def test_pings_of_clients(relay: LocalRelay, session_id: str) -> None:
    """A client's ping is answered with its payload; its pongs are just taken."""
    with await RawClient.connect(relay.port) as raw:
        await raw.open(f"/ws?session={session_id}")
        await raw.welcome()
        for payload in (b"", b"x" * 125):
            await raw.send(frame(PONG, b"unasked") + frame(PING, payload))
            answer = await raw.next()
            assert (answer.opcode, answer.payload) == (PONG, payload)


async def test_fragments(relay: LocalRelay, session_id: str) -> None:
    """A message in fragments, cut within a letter and with a ping between, is one message."""
    with await RawClient.connect(relay.port) as raw:
        await raw.open(f"/ws?session={session_id}")
        await raw.welcome()
        text = '{"type":"nothing that is known, and not é"}'.encode()
        middle = text.index(b"\xc3") + 1
        await raw.send(frame(TEXT, text[:middle], fin=False))
        await raw.send(frame(PING, b"between") + frame(CONT, text[middle:]))
        got = {one.opcode: one for one in (await raw.next(), await raw.next())}
        assert got[PONG].payload == b"between"
        assert got[TEXT].json["code"] == "bad_message"
        assert "Unknown 'type'" in got[TEXT].json["text"]


async def test_in_pieces(relay: LocalRelay, session_id: str) -> None:
    """Clients that trickle byte by byte are understood, several at a time."""

    async def trickle() -> None:
        with await RawClient.connect(relay.port) as raw:
            await raw.open(f"/ws?session={session_id}")
            await raw.welcome()
            await raw.send_in_pieces(frame(TEXT, b"garbage") + frame(PING, b"?"))
            got = {one.opcode: one for one in (await raw.next(), await raw.next())}
            assert got[PONG].payload == b"?"
            assert got[TEXT].json["code"] == "bad_message"

    await asyncio.gather(*(trickle() for _ in range(5)))


async def test_the_client_closes(relay: LocalRelay, session_id: str) -> None:
    """A close is answered with its own code, behind all that was due; then the relay lets go."""
    with await RawClient.connect(relay.port) as raw:
        await raw.open(f"/ws?session={session_id}")
        await raw.welcome()
        await raw.send(close_frame(4999, "bye"))
        assert await raw.closed() == 4999
    await relay.until_nothing_is_left()


async def test_the_relay_stops(relay: LocalRelay, session_id: str) -> None:
    """A relay that stops closes with 1012."""
    async with client(relay.ws_url, session_id) as facilitator:
        assert relay.server is not None
        relay.server.should_exit = True
        code, _, _ = await facilitator.closed()
        assert code == 1012
    await relay.until_nothing_is_left()


async def test_messages_during_a_slow_join(sockets: Sockets, session_id: str) -> None:
    """What is sent while the join waits for Redis is answered behind the ``connection`` message."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, options=sockets.options, linger_s=0.0, heartbeat_s=60.0,
            join_timeout_s=30.0, redis_timeout_s=20.0, probe_timeout_s=30.0, inbound_burst=100,
        ) as relay:  # fmt: skip
            redis.send(signal.SIGSTOP)
            try:
                with await RawClient.connect(relay.port) as raw:
                    await raw.open(f"/ws?session={session_id}")
                    for _ in range(40):
                        await raw.send_in_pieces(frame(TEXT, b"garbage"), 100)
                    redis.send(signal.SIGCONT)
                    await raw.welcome()
                    for _ in range(40):
                        assert (await raw.next()).json["code"] == "bad_message"
                    await raw.send(frame(PING, b"still read"))
                    assert (await raw.next()).payload == b"still read"
            finally:
                redis.send(signal.SIGCONT)


async def test_a_lost_log(sockets: Sockets, session_id: str) -> None:
    """When Redis has lost everything, facilitators are told by a new start, then get what comes."""
    with RedisServer() as redis:
        async with (
            HintPublisher(redis.url) as publisher,
            local_relay(redis.url, options=sockets.options, heartbeat_s=60.0) as relay,
            client(relay.ws_url, session_id) as facilitator,
        ):
            old = await publisher.hint(session_id, "old")
            assert await facilitator.texts(1) == ["old"]
            assert old.position is not None
            # A log that is lost in the very millisecond in which it began can't be told from the next.
            while time.time() * 1000 < old.position.epoch + 2:
                await asyncio.sleep(0.001)
            redis.command("FLUSHALL")
            await publisher.hint(session_id, "new")
            start = await facilitator.next()
            assert (start["type"], start["recovered"], start["snapshot"]) == (
                "connection",
                False,
                1,
            )
            assert await facilitator.texts(1) == ["new"]
            await publisher.hint(session_id, "newer")
            assert await facilitator.texts(1) == ["newer"]


async def test_redis_away_for_too_long(sockets: Sockets, session_id: str) -> None:
    """Facilitators of a relay that has lost Redis for long are sent to other relays."""
    with RedisServer() as redis:
        async with (
            local_relay(
                redis.url, options=sockets.options, broker_lost_s=0.5, heartbeat_s=0.2
            ) as relay,
            client(relay.ws_url, session_id) as facilitator,
        ):
            redis.kill()
            code, reason, _ = await facilitator.closed()
            assert (code, reason) == (4005, "Broker lost")


async def test_redis_away_for_a_moment(sockets: Sockets, session_id: str) -> None:
    """A short absence of Redis closes nobody's connection, and loses nothing."""
    with RedisServer(append_only=True) as redis:
        async with (
            HintPublisher(redis.url) as publisher,
            local_relay(redis.url, options=sockets.options, broker_lost_s=20.0) as relay,
            client(relay.ws_url, session_id) as facilitator,
        ):
            await publisher.hint(session_id, "before")
            redis.kill()
            redis.start()
            await asyncio.to_thread(redis.wait_until_ready)
            await publisher.hint(session_id, "after")
            assert await facilitator.texts(2) == ["before", "after"]


async def test_who_leaves_before_it_is_served(sockets: Sockets, session_id: str) -> None:
    """A facilitator that goes while its join waits for Redis is let go at once."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, options=sockets.options, join_timeout_s=30.0, linger_s=0.0
        ) as relay:
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
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Joins converge however small the ring is, and each gets exactly what it asked for."""
    async with (
        local_relay(redis_server.url, options=sockets.options, ring_messages=5) as relay,
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
