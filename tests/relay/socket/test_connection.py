"""A facilitator's own transport: rude clients, slow ones, and those that vanish."""

from __future__ import annotations

import asyncio
import gc
import json
import signal
import socket
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintPublisher
from relay.close_codes import CloseCode
from relay.feed import Backlog, Feed
from relay.position import Position
from relay.publication import Publication
from relay.reader import Welcome
from relay.room import Room
from relay.socket.connection import Connection
from tests.support.client import client
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, local_relay
from tests.support.websocket import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    RawClient,
    Received,
    close_frame,
    frame,
    request,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_PING_MESSAGE = frame(TEXT, b'{"type":"ping"}')
_GARBAGE = frame(TEXT, b"garbage")
_BREACH = frame(7)

ON_BOTH_LOOPS = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

_FEW_BYTES = 4096
"""A receive buffer that makes a reader slow after a few hundred KB, most of them the server's."""

# Modules whose objects a connection is made of.
_OURS = ("relay", "websockets", "uvicorn", "pydantic", "orjson")

_BOUND = 64 * 1024
"""What a reader that does not keep up may cost in user space, and one publication more."""


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here needs a second to read a close frame."""
    monkeypatch.setattr("relay.socket.connection._FAREWELL_S", 0.2)


@pytest.fixture
async def publisher(redis_server: RedisServer) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_server.url) as publisher:
        yield publisher


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay that keeps no empty session, and whose heartbeat disturbs nobody."""
    async with local_relay(
        redis_server.url,
        linger_s=0.0,
        heartbeat_s=60.0,
        inbound_burst=1_000_000,
        inbound_bytes_per_s=1e9,
    ) as relay:
        yield relay


def _served(relay: LocalRelay, raw: RawClient) -> Connection:
    """Return the relay's end of a connection."""
    for one in relay.open_connections:
        if isinstance(one, Connection):
            peer = one._transport.get_extra_info("peername")
            if tuple(peer[:2]) == raw.name:
                return one
    raise AssertionError("it is not connected")


def _path(session: str, **query: str) -> str:
    return "/ws?" + "&".join(
        f"{key}={value}" for key, value in {"session": session, **query}.items()
    )


async def _join(raw: RawClient, session: str, **query: str) -> dict[str, Any]:
    await raw.open(_path(session, **query))
    return await raw.welcome()


async def _publish(
    publisher: HintPublisher, session: str, numbers: range, size: int = 20_000
) -> None:
    for number in numbers:
        await publisher.hint(session, f"{number} {'x' * size}")


async def _numbers(raw: RawClient, count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        message = (await raw.next(passing=["heartbeat", "connection"])).json
        found.append(int(message["text"].split()[0]))
    return found


# Reading


@ON_BOTH_LOOPS
@pytest.mark.parametrize("size", [1, 2, 6])
async def test_messages_in_pieces(relay: LocalRelay, session_id: str, size: int) -> None:
    """A message that comes in pieces is one message, while others' whole ones come between."""
    with await RawClient.connect(relay.port) as slow, await RawClient.connect(relay.port) as quick:
        await _join(slow, session_id)
        await _join(quick, session_id)
        data = _GARBAGE + frame(TEXT, b"{", fin=False) + frame(PING, b"?") + frame(CONT, b"}")
        for begin in range(0, len(data), size):
            await slow.send_in_pieces(data[begin : begin + size], size)
            await quick.send(_GARBAGE)
            assert (await quick.next()).json["code"] == "bad_message"
        answers = [await slow.next() for _ in range(3)]
        assert sorted(one.opcode for one in answers) == [TEXT, TEXT, PONG]
        assert {one.payload for one in answers if one.opcode is PONG} == {b"?"}
        connection = _served(relay, slow)
        assert connection._inbound is None, "between two messages it holds no parser"


async def test_pings_of_clients(relay: LocalRelay, session_id: str) -> None:
    """A ping is answered with its payload (RFC 6455 section 5.5.3); a pong is just taken."""
    with await RawClient.connect(relay.port) as raw:
        await _join(raw, session_id)
        for payload in (b"", b"x", b"\x00\xff", b"p" * 125):
            await raw.send(frame(PONG, payload) + frame(PING, payload))
            answer = await raw.next()
            assert (answer.opcode, answer.payload) == (PONG, payload)


async def test_fragments(relay: LocalRelay, session_id: str) -> None:
    """A message in many fragments, with pings between them, is read whole."""
    with await RawClient.connect(relay.port) as raw:
        await _join(raw, session_id)
        text = json.dumps({"type": "ping", "x": "é" * 100}, ensure_ascii=False).encode()
        parts = [text[i : i + 3] for i in range(0, len(text), 3)]
        data = frame(TEXT, parts[0], fin=False)
        for part in parts[1:]:
            data += frame(PING, b"!") + frame(CONT, part, fin=False)
        await raw.send(data + frame(CONT))
        got = [await raw.next(passing=()) for _ in parts]
        assert sum(one.opcode is PONG for one in got) == len(parts) - 1
        told = [one.json["type"] for one in got if one.opcode is TEXT]
        # Who is watching is told at a moment that no test can know.
        assert [kind for kind in told if kind != "presence"] == ["heartbeat"]


async def test_the_order_of_answers(relay: LocalRelay, session_id: str) -> None:
    """Each bad message of many in one piece has its answer, and good ones have one for all."""
    with await RawClient.connect(relay.port) as raw:
        await _join(raw, session_id)
        await raw.send((_GARBAGE + _PING_MESSAGE) * 50)
        got = [(await raw.next(passing=())).json["type"] for _ in range(51)]
        assert got == ["error"] * 50 + ["heartbeat"]


# Right behind the handshake


@ON_BOTH_LOOPS
@pytest.mark.parametrize("pieces", [1, 2])
async def test_bytes_right_behind_the_handshake(
    relay: LocalRelay, session_id: str, pieces: int
) -> None:
    """What a hasty client sends with its handshake, in one packet or the next, is not lost."""
    with await RawClient.connect(relay.port) as raw:
        data = request(_path(session_id))
        if pieces == 1:
            await raw.send(data + _GARBAGE + _PING_MESSAGE)
        else:
            await raw.send_in_pieces(data, len(data))
            await raw.send(_GARBAGE + _PING_MESSAGE)
        assert (await raw.read_answer()).status == 101
        await raw.welcome()
        assert (await raw.next()).json["type"] == "error"
        assert (await raw.next(passing=())).json["type"] == "heartbeat"


@pytest.mark.parametrize(
    ("data", "code"), [(close_frame(), 1000), (_BREACH, 1002)], ids=["close", "breach"]
)
async def test_an_end_right_behind_the_handshake(
    relay: LocalRelay, session_id: str, data: bytes, code: int
) -> None:
    """A client that ends it together with its handshake leaves nothing behind."""
    with await RawClient.connect(relay.port) as raw:
        await raw.open(_path(session_id), after=data)
        assert await raw.closed() == code
    await relay.until_nothing_is_left()


# Closing


@ON_BOTH_LOOPS
async def test_the_client_closes(relay: LocalRelay, session_id: str) -> None:
    """A client's close is answered with its code; then the relay closes the connection, at once."""
    for code in (1000, 1001, 3000, 4001, 4999):
        with await RawClient.connect(relay.port) as raw:
            await _join(raw, session_id)
            await raw.send(close_frame(code, "bye"))
            assert await raw.closed() == code
    await relay.until_nothing_is_left()


async def test_the_client_closes_without_a_code(relay: LocalRelay, session_id: str) -> None:
    """An empty close frame is answered with an empty one."""
    with await RawClient.connect(relay.port) as raw:
        await _join(raw, session_id)
        await raw.send(frame(CLOSE))
        assert await raw.closed() == 1005


async def test_nothing_follows_a_close_frame(relay: LocalRelay, session_id: str) -> None:
    """What is answered to messages that came together with an end stands before the close frame."""

    async def end(data: bytes) -> int:
        with await RawClient.connect(relay.port) as raw:
            await _join(raw, session_id)
            await raw.send(data)
            # It raises when anything comes behind the close frame (RFC 6455 section 5.5.1).
            return await raw.closed()

    ends = [
        (_GARBAGE + close_frame(), 1000),
        (_PING_MESSAGE + close_frame(), 1000),
        (_GARBAGE + _BREACH, 1002),
        (_PING_MESSAGE + frame(TEXT, b"\xff"), 1007),
        (_GARBAGE + frame(PING, b"?") + frame(TEXT, b"", announced=1 << 40), 1009),
    ]
    codes = await asyncio.gather(*(end(data) for data, _ in ends))
    assert codes == [code for _, code in ends]


_BREACHES = {
    "reserved opcode": (_BREACH, 1002),
    "unmasked": (frame(TEXT, b"x", mask=None), 1002),
    "reserved bits": (frame(TEXT, b"x", reserved=4), 1002),
    "continuation of nothing": (frame(CONT, b"x"), 1002),
    "long ping": (frame(PING, b"x" * 126), 1002),
    "bad close code": (close_frame(1005), 1002),
    "not UTF-8": (frame(TEXT, b"\xff"), 1007),
    "not UTF-8 over fragments": (frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"\x28"), 1007),
    "too large": (frame(BINARY, b"", announced=20_000), 1009),
    "too large over fragments": (
        frame(TEXT, b"x" * 9000, fin=False) + frame(CONT, b"x" * 9000),
        1009,
    ),
}


async def test_breaches(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """Who breaks the protocol is told by the code, and leaves nothing behind; others stay."""

    async def breach(data: bytes) -> int:
        with await RawClient.connect(relay.port) as raw:
            await _join(raw, session_id)
            await raw.send(data)
            # More of it, while the relay waits for us to read.
            await raw.send(frame(TEXT, b"late") * 100)
            return await raw.closed()

    async with client(relay.ws_url, session_id) as other:
        codes = await asyncio.gather(*(breach(data) for data, _ in _BREACHES.values()))
        assert dict(zip(_BREACHES, codes, strict=True)) == {
            name: code for name, (_, code) in _BREACHES.items()
        }
        await publisher.hint(session_id, "still here")
        assert await other.texts(1) == ["still here"]
    await relay.until_nothing_is_left()


@ON_BOTH_LOOPS
@pytest.mark.parametrize("code", [CloseCode.BROKER_LOST, CloseCode.RESTART, CloseCode.BAD_REQUEST])
async def test_the_relay_closes(
    redis_server: RedisServer,
    session_id: str,
    monkeypatch: pytest.MonkeyPatch,
    code: CloseCode,
) -> None:
    """A close by the relay ends the connection, whatever the client does about it."""
    monkeypatch.setattr("relay.socket.connection._CLOSE_TIMEOUT_S", 0.3)

    async def meet(port: int, how: str) -> None:
        with await RawClient.connect(port) as raw:
            if code is CloseCode.BAD_REQUEST:
                await raw.open(_path("bad/session"))
                assert (await raw.next()).json["type"] == "error"
            else:
                await _join(raw, session_id)
                await ready.wait()
            got = await raw.next()
            assert (got.close_code, got.payload[2:].decode()) == (code, code.reason)
            match how:
                case "answers":
                    await raw.send(close_frame(code))
                case "vanishes":
                    raw.reset()
                    return
                case "half-closes":
                    raw.socket.shutdown(socket.SHUT_WR)
            assert await raw.read_to_end() == b"", "something came behind the close frame"

    hows = ["answers", "answers nothing", "vanishes", "half-closes"]
    ready = asyncio.Barrier(len(hows) + 1)
    async with local_relay(redis_server.url, linger_s=0.0) as relay, asyncio.TaskGroup() as group:
        for how in hows:
            group.create_task(meet(relay.port, how))
        if code is not CloseCode.BAD_REQUEST:
            await ready.wait()
        if code is CloseCode.RESTART:
            assert relay.server is not None
            relay.server.should_exit = True
        elif code is CloseCode.BROKER_LOST:
            relay.hub._give_up()
    await relay.until_nothing_is_left()


# Slow readers


async def _stall(
    relay: LocalRelay, publisher: HintPublisher, session: str, *readers: RawClient
) -> int:
    """Publish until the relay waits for clients that read nothing; returns how much that took."""
    connections = [_served(relay, raw) for raw in readers]
    count = 0
    while not all(connection._is_paused for connection in connections):
        assert count < 200, "it never has to wait"
        await _publish(publisher, session, range(count, count + 1))
        count += 1
        await relay.until(partial(_is_flushed, relay, session, count), "the publication flushed")
    return count


def _is_flushed(relay: LocalRelay, session: str, count: int) -> bool:
    room = relay.hub._rooms[session]
    return (
        room.feed.head is not None
        and room.feed.head.offset >= count
        and room._flushed == room.feed.end
    )


@ON_BOTH_LOOPS
async def test_a_slow_reader_goes_on(
    redis_server: RedisServer, publisher: HintPublisher, session_id: str
) -> None:
    """Who pauses costs little and disturbs nobody, and when it reads on gets everything in order."""
    async with (
        local_relay(redis_server.url, ring_bytes=10_000_000, heartbeat_s=60.0) as relay,
        client(relay.ws_url, session_id) as other,
    ):
        with await RawClient.connect(relay.port, receive_buffer=_FEW_BYTES) as raw:
            await _join(raw, session_id)
            connection = _served(relay, raw)
            count = await _stall(relay, publisher, session_id, raw)
            for number in range(count, count + 50):
                await _publish(publisher, session_id, range(number, number + 1))
                size = connection._transport.get_write_buffer_size()
                assert size <= _BOUND + 21_000, "its buffer grows"
            total = count + 50
            got = [text.split()[0] for text in await other.texts(total)]
            assert got == [str(number) for number in range(total)]
            assert await _numbers(raw, total) == list(range(total))
            # And live again.
            await _publish(publisher, session_id, range(total, total + 3))
            assert await _numbers(raw, 3) == list(range(total, total + 3))


@ON_BOTH_LOOPS
async def test_a_reader_that_fell_out_of_the_ring(
    redis_server: RedisServer, publisher: HintPublisher, session_id: str
) -> None:
    """When the ring has moved past it, it is closed with 4002, and resumes from the log."""
    async with local_relay(redis_server.url, ring_bytes=100_000, heartbeat_s=60.0) as relay:
        with await RawClient.connect(relay.port, receive_buffer=_FEW_BYTES) as raw:
            await _join(raw, session_id)
            count = await _stall(relay, publisher, session_id, raw)
            total = count + 20
            await _publish(publisher, session_id, range(count, total))
            got = []
            while (one := await raw.next()).opcode is TEXT:
                got.append(one.json)
            assert one.close_code == CloseCode.TOO_SLOW
            numbers = [int(message["text"].split()[0]) for message in got]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) < total
        with await RawClient.connect(relay.port) as raw:
            welcome = await _join(raw, session_id, since=got[-1]["position"])
            assert welcome["recovered"] is True
            assert await _numbers(raw, total - len(numbers)) == list(range(len(numbers), total))


@ON_BOTH_LOOPS
async def test_a_reader_that_has_stopped(
    redis_server: RedisServer, publisher: HintPublisher, session_id: str
) -> None:
    """Who reads nothing at all is closed with 4002 after two heartbeats, and others don't notice."""
    async with (
        local_relay(
            redis_server.url, ring_bytes=10_000_000, heartbeat_s=0.3, linger_s=0.0
        ) as relay,
        client(relay.ws_url, session_id) as other,
    ):
        with await RawClient.connect(relay.port, receive_buffer=_FEW_BYTES) as raw:
            await _join(raw, session_id)
            connection = _served(relay, raw)
            count = await _stall(relay, publisher, session_id, raw)
            await relay.until(lambda: connection._is_lost, "it is sent away")
            assert connection.code == CloseCode.TOO_SLOW
        await publisher.hint(session_id, "still here")
        assert (await other.texts(count + 1))[-1] == "still here"
        assert relay.hub.readers == 1


@ON_BOTH_LOOPS
async def test_an_end_from_a_reader_that_has_stopped(
    redis_server: RedisServer,
    publisher: HintPublisher,
    session_id: str,
) -> None:
    """Who ends it without reading what waits for it is gone soon: it can't hold on by not reading."""
    ends = [close_frame(), frame(CLOSE), _BREACH, frame(TEXT, b"\xff"), None]
    async with (
        local_relay(
            redis_server.url, ring_bytes=10_000_000, heartbeat_s=60.0, linger_s=0.0
        ) as relay,
        AsyncExitStack() as stack,
    ):
        readers = []
        for _ in ends:
            raw = await RawClient.connect(relay.port, receive_buffer=_FEW_BYTES)
            readers.append(stack.enter_context(raw))
            await _join(raw, session_id)
        await _stall(relay, publisher, session_id, *readers)
        for raw, end in zip(readers, ends, strict=True):
            if end is None:
                raw.socket.shutdown(socket.SHUT_WR)
            else:
                await raw.send(end)
        await relay.until_nothing_is_left(5)


async def test_a_slow_reader_that_always_has_as_much_to_read(
    relay: LocalRelay, session_id: str
) -> None:
    """Who reads between two heartbeats is not taken for one that has stopped.

    With messages of one size, as much can wait for it at every heartbeat.
    """
    transport = FakeTransport()
    connection = _on(relay, transport)
    room = Room(session_id, Feed(max_messages=10, max_bytes=1000), relay.hub, lambda _: None)
    connection.begin(room, Welcome(None, Backlog(None, ()), 0, 0), None)
    for _ in range(5):
        transport.buffered = 40_000
        connection.pause_writing()
        connection.beat()
        # It reads on, is written to again, and stops again.
        transport.buffered = 0
        connection.resume_writing()
        connection.data_received(frame(PONG))
    assert not connection._is_closing
    connection.connection_lost(None)


@pytest.mark.parametrize(
    "flood",
    [
        frame(PING, b"p" * 125),
        frame(PING),
        _GARBAGE,
        _PING_MESSAGE,
        frame(BINARY, b"\x00" * 100),
        frame(TEXT, b"", fin=False) + frame(CONT, b""),
        frame(PONG),
    ],
    ids=["pings", "empty pings", "garbage", "ping messages", "binary", "fragments", "pongs"],
)
async def test_a_flood_without_reading(
    relay: LocalRelay, publisher: HintPublisher, session_id: str, flood: bytes
) -> None:
    """Who makes the relay answer and reads no answers is soon not read either; others don't notice."""
    async with client(relay.ws_url, session_id) as other:
        with await RawClient.connect(relay.port, receive_buffer=_FEW_BYTES) as raw:
            await _join(raw, session_id)
            connection = _served(relay, raw)
            data = flood * (65536 // len(flood))
            sent, stuck = 0, 0
            # 1.5 MB, or until nothing goes through any more.
            while sent < 1_500_000 and stuck < 20:
                just_sent = raw.send_what_fits(data[sent % len(data) :])
                sent += just_sent
                stuck = 0 if just_sent else stuck + 1
                await asyncio.sleep(0)
                # An answer is at most twice as long as what is answered, and one read is at most
                # 256 KB.
                assert connection._transport.get_write_buffer_size() < 1_000_000, "answers pile up"
                assert len(connection._waiting or ()) < 100_000, "messages pile up"
            await publisher.hint(session_id, "still here")
            assert await other.texts(1) == ["still here"]
        await relay.until(lambda: relay.hub.readers == 1, "the flooder gone")


@ON_BOTH_LOOPS
async def test_a_flood_that_is_read(relay: LocalRelay, session_id: str) -> None:
    """Who reads its answers gets all of them, however late it begins to read."""
    count = 10_000
    with await RawClient.connect(relay.port, receive_buffer=_FEW_BYTES) as raw:
        await _join(raw, session_id)
        sending = asyncio.create_task(raw.send(_GARBAGE * count + frame(PING, b"end")))
        connection = _served(relay, raw)
        await relay.until(lambda: connection._is_paused, "the relay has to wait")
        got = [await raw.next() for _ in range(count + 1)]
        await sending
        # The pong may overtake the last answers.
        assert sum(one.opcode is PONG for one in got) == 1
        assert sum(one.opcode is TEXT and one.json["code"] == "bad_message" for one in got) == count


# Signs of life


@ON_BOTH_LOOPS
async def test_who_answers_nothing(redis_server: RedisServer, session_id: str) -> None:
    """A peer that reads and never answers a ping is closed with 4003."""
    async with local_relay(redis_server.url, heartbeat_s=0.2, linger_s=0.0) as relay:
        with await RawClient.connect(relay.port) as raw:
            await _join(raw, session_id)
            got = await raw.frames_to_end()
            assert got[-1].close_code == CloseCode.NO_PONG
            kinds = [one.opcode for one in got[:-1]]
            assert kinds.count(PING) == 1
            told = [one.json["type"] for one in got if one.opcode is TEXT]
            # Who is watching may be told in time, or not.
            assert [kind for kind in told if kind != "presence"] == ["heartbeat"]
        await relay.until_nothing_is_left()


@pytest.mark.alone
async def test_any_sign_of_life(redis_server: RedisServer, session_id: str) -> None:
    """Whatever a peer sends shows that it is there, be it the pieces of one frame."""

    async def live(signs: list[bytes]) -> None:
        with await RawClient.connect(port) as raw:
            await _join(raw, session_id)
            for sign in signs:
                while (one := await raw.read_frame()) is None or one.opcode is not PING:
                    assert one is not None
                    assert one.opcode is not CLOSE
                await raw.send(sign)

    async with local_relay(redis_server.url, heartbeat_s=0.3) as short:
        port = short.port
        await asyncio.gather(
            live([frame(PONG)] * 4),
            live([frame(PONG, b"other")] * 4),
            live([_PING_MESSAGE] * 4),
            live([_PING_MESSAGE[n : n + 1] for n in range(4)]),
        )


async def test_frozen_and_thawed(redis_server: RedisServer, session_id: str) -> None:
    """A peer that vanishes without a word is forgotten, with all that it had."""
    async with local_relay(redis_server.url, heartbeat_s=0.2, linger_s=0.0) as relay:
        with await RawClient.connect(relay.port) as raw:
            await _join(raw, session_id)
            raw.reset()
            await relay.until_nothing_is_left()


# While Redis is away


@pytest.fixture
async def waiting_relay() -> AsyncIterator[tuple[LocalRelay, RedisServer]]:
    """A relay whose Redis stands still: joins wait."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, linger_s=0.0, heartbeat_s=60.0, join_timeout_s=30.0, redis_timeout_s=20.0,
            probe_timeout_s=30.0, inbound_burst=1000,
        ) as relay:  # fmt: skip
            redis.send(signal.SIGSTOP)
            yield relay, redis
            redis.send(signal.SIGCONT)


async def _wait_to_join(relay: LocalRelay, raw: RawClient, session: str) -> Connection:
    await raw.open(_path(session))
    await relay.until(
        lambda: session in relay.hub._rooms and relay.hub._rooms[session].joining == 1, "it joins"
    )
    return _served(relay, raw)


@pytest.mark.parametrize("count", [1, 17, 500])
async def test_messages_during_a_slow_join(
    waiting_relay: tuple[LocalRelay, RedisServer], session_id: str, count: int
) -> None:
    """What is sent while Redis is awaited is answered after the ``connection`` message, and later too."""
    relay, redis = waiting_relay
    with await RawClient.connect(relay.port) as raw:
        connection = await _wait_to_join(relay, raw, session_id)
        for _ in range(count):
            await raw.send_in_pieces(_GARBAGE, len(_GARBAGE))
        await raw.send(frame(PING, b"then"))
        await asyncio.sleep(0.01)
        assert len(connection._waiting or ()) <= 100, "it waits in the kernel, not in memory"
        redis.send(signal.SIGCONT)
        got: list[Received] = []
        while sum(one.opcode is TEXT for one in got) < 1 + count:
            got.append(await raw.next())
        messages = [one.json for one in got if one.opcode is TEXT]
        assert messages[0]["type"] == "connection"
        assert {message["code"] for message in messages[1:]} == {"bad_message"}
        # The pong waits for nothing but what was sent before it, and the last answers not for it.
        assert sum(one.opcode is PONG for one in got) <= 1
        # And it is read on afterwards.
        await raw.send(frame(PING, b"after"))
        while (one := await raw.next()).payload != b"after":
            pass
        assert one.opcode is PONG


@pytest.mark.parametrize(
    "end",
    [close_frame(), _BREACH, frame(TEXT, b"\xff"), b"", None],
    ids=["close", "breach", "not UTF-8", "half-close", "reset"],
)
async def test_leaving_during_a_slow_join(
    waiting_relay: tuple[LocalRelay, RedisServer], session_id: str, end: bytes | None
) -> None:
    """Who leaves while Redis is awaited leaves nothing behind, long before Redis is back."""
    relay, _ = waiting_relay
    with await RawClient.connect(relay.port) as raw:
        await _wait_to_join(relay, raw, session_id)
        if end is None:
            raw.reset()
        elif end:
            await raw.send(_PING_MESSAGE + end)
        else:
            raw.socket.shutdown(socket.SHUT_WR)
        await relay.until_nothing_is_left(5)


async def test_a_slow_join_that_takes_too_long(session_id: str) -> None:
    """When Redis does not come back in time it is 4005, and nothing is left."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, linger_s=0.0, join_timeout_s=0.3, redis_timeout_s=20.0, probe_timeout_s=30.0
        ) as relay:
            redis.send(signal.SIGSTOP)
            with await RawClient.connect(relay.port) as raw:
                await raw.open(_path(session_id))
                await raw.send(_PING_MESSAGE)
                got = await raw.next()
                assert got.close_code == CloseCode.BROKER_LOST
                await raw.send(close_frame(got.close_code))
                assert await raw.read_to_end() == b""
            await relay.until_nothing_is_left()
            redis.send(signal.SIGCONT)


async def test_stopping_during_a_slow_join(
    waiting_relay: tuple[LocalRelay, RedisServer], session_id: str
) -> None:
    """A relay that stops meanwhile closes with 1012."""
    relay, _ = waiting_relay
    with await RawClient.connect(relay.port) as raw:
        await _wait_to_join(relay, raw, session_id)
        assert relay.server is not None
        relay.server.should_exit = True
        assert await raw.closed() == CloseCode.RESTART
        await relay.until_nothing_is_left()


# New starts


@ON_BOTH_LOOPS
async def test_a_lost_log_in_the_middle_of_a_backlog(session_id: str) -> None:
    """When the log is lost while a snapshot is half written, a new start follows, then live ones."""
    with RedisServer() as redis:
        async with (
            HintPublisher(redis.url) as publisher,
            local_relay(redis.url, ring_bytes=100_000, heartbeat_s=60.0) as relay,
        ):
            await _publish(publisher, session_id, range(100), 20_000)
            with await RawClient.connect(relay.port, receive_buffer=_FEW_BYTES) as raw:
                assert (await _join(raw, session_id))["snapshot"] == 100
                connection = _served(relay, raw)
                assert connection._is_paused, "the snapshot is too small for this test"
                before = connection.generation
                redis.command("FLUSHALL")
                await publisher.hint(session_id, "0 of the new log")
                await relay.until(lambda: connection.generation > before, "the new start")
                await publisher.hint(session_id, "1 live")
                numbers = []
                while (message := (await raw.next()).json)["type"] == "hint":
                    numbers.append(int(message["text"].split()[0]))
                assert numbers == list(range(len(numbers)))
                assert 0 < len(numbers) < 100
                assert (message["type"], message["recovered"]) == ("connection", False)
                # Whether the second is in the snapshot or comes live, it comes once.
                assert message["snapshot"] in (1, 2)
                assert await _numbers(raw, 2) == [0, 1]
                await publisher.hint(session_id, "2 live")
                assert await _numbers(raw, 1) == [2]


async def test_a_new_start_before_it_has_begun(relay: LocalRelay, session_id: str) -> None:
    """A restart between the join and ``begin`` counts: the older welcome must not come after it."""
    feed = Feed(max_messages=10, max_bytes=1000)
    feed.generation = 2
    room = Room(session_id, feed, relay.hub, lambda _: None)
    transport = FakeTransport()
    connection = _on(relay, transport)
    position = Position(1, 1)
    new = Publication(position, b'{"position":"1-1","type":"hint","text":"new"}')
    connection.restart(Welcome(position, Backlog(False, (new,)), 0, 2))
    connection.begin(room, Welcome(None, Backlog(None, ()), 0, 1), None)
    assert connection.generation == 2
    assert new.frame in transport.written
    assert b'"recovered":false' in transport.written
    connection.connection_lost(None)


# Memory


@ON_BOTH_LOOPS
async def test_it_is_small(relay: LocalRelay, session_id: str) -> None:
    """A connection has no dictionary, and in rest neither a task, nor a parser, nor a timer."""
    with await RawClient.connect(relay.port) as raw:
        await _join(raw, session_id)
        connection = _served(relay, raw)
        assert not hasattr(connection, "__dict__")
        assert (connection._inbound, connection._waiting, connection._close_timer) == (None,) * 3
        names = {task.get_coro().__qualname__ for task in asyncio.all_tasks()}  # type: ignore[union-attr]
        assert not {name for name in names if "Upgrade" in name or "WebSocket" in name}


class FakeTransport(asyncio.Transport):
    """Takes everything; how much of it waits is set by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.buffered = 0
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.buffered

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = True

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _on(relay: LocalRelay, transport: FakeTransport) -> Connection:
    connection = Connection(relay.serving, "192.0.2.1", b"", set())
    connection.connection_made(transport)
    return connection


@pytest.mark.parametrize(
    "last",
    [
        b"",
        close_frame(),
        _GARBAGE * 3,
        frame(BINARY, b"x"),
        _BREACH,
        frame(TEXT, b"\xff"),
        frame(TEXT, b"x" * 20_000),
        frame(TEXT, b"x" * 100)[:50],
        frame(CLOSE, b"\x03"),
    ],
    ids=["reset", "close", "garbage", "binary", "breach", "not text", "large", "half", "half a code"],
)  # fmt: skip
async def test_nothing_waits_for_the_collector(
    relay: LocalRelay, session_id: str, last: bytes
) -> None:
    """However somebody behaves and goes, all of it is gone at once: the collector runs rarely."""

    async def come_and_go() -> None:
        with await RawClient.connect(relay.port) as raw:
            await raw.open(f"/ws?session={session_id}")
            await raw.welcome()
            await raw.send(last)
            # What it is answered, if anything, is not waited for: who goes does not wait either.
            await asyncio.sleep(0.02)
        await relay.until(lambda: not relay.open_connections, "nobody")

    # What is made once.
    await come_and_go()
    gc.collect()
    gc.disable()
    try:
        await come_and_go()
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        ours = [one for one in gc.garbage if type(one).__module__.startswith(_OURS)]
        assert ours == []
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
