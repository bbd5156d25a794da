"""Server-Sent Events on a real server: one suite over both kinds of server and both brokers."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import os
import signal
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintPublisher
from relay.broker import keys
from relay.broker.broker import Broker
from relay.broker.revocations import RevocationLog
from relay.position import Position
from relay.snapshot import fold
from relay.socket.event_stream import EventStream
from tests.faults.checker import Text, Witness
from tests.support.client import client
from tests.support.events import (
    EventParser,
    EventsClient,
    HttpAnswer,
    Refused,
    events,
    events_path,
)
from tests.support.memory import resident_mib
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, RelayProcess, local_relay
from tests.support.sockets import OWN
from tests.support.tokens import SECRET, token
from tests.support.websocket import RawClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.sockets import Sockets


@pytest.fixture
def redis_url(kind: tuple[Sockets, str]) -> str:
    """The broker."""
    return kind[1]


@pytest.fixture
async def relay(kind: tuple[Sockets, str]) -> AsyncIterator[LocalRelay]:
    """A relay with short times."""
    sockets, url = kind
    async with local_relay(url, options=sockets.options, linger_s=0.0, heartbeat_s=0.5) as relay:
        yield relay


@pytest.fixture
async def closed_relay(kind: tuple[Sockets, str]) -> AsyncIterator[LocalRelay]:
    """A relay that asks for tokens."""
    sockets, url = kind
    async with local_relay(
        url, options=sockets.options, linger_s=0.0, heartbeat_s=0.5, jwt_secret=SECRET,
        jwt_leeway_s=0.0,
    ) as relay:  # fmt: skip
        yield relay


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """What speaks to Redis directly."""
    async with Broker(redis_url) as broker:
        yield broker


async def refused(relay: LocalRelay, session: str | None, **options: Any) -> Refused:
    """Ask, and return why it was refused."""
    with pytest.raises(Refused) as error:
        await EventsClient.connect(relay.port, session, **options)
    return error.value


# What comes


async def test_the_beginning(relay: LocalRelay, session_id: str) -> None:
    """The answer is a stream that nobody may keep; it says when to come back, then who one is."""
    async with events(relay.port, session_id, welcome=False, guest="mara") as reader:
        event = await reader.next_event()
        assert json.loads(event.data) == {
            "type": "connection",
            "status": "connected",
            "session": session_id,
            "position": None,
            "recovered": None,
            "snapshot": 0,
            "heartbeat_s": 0.5,
            "you": "guest-mara",
        }
        assert event.last_id == "", "there is no position to resume from"
        assert reader.raw.startswith(b"retry: ")
        assert reader.parser.retry_ms is not None
        assert 1000 <= reader.parser.retry_ms < 5000
        headers = reader.answer.headers
        assert headers["content-type"] == "text/event-stream; charset=utf-8"
        assert headers["cache-control"] == "no-store"
        assert headers["x-accel-buffering"] == "no"


async def test_the_same_as_a_websocket(
    relay: LocalRelay, publisher: HintPublisher, broker: Broker, session_id: str
) -> None:
    """Snapshot, live, plain and streaming messages come as over a WebSocket, in the same order."""
    for n in range(3):
        await publisher.hint(session_id, f"kept {n} é🎭")
    last = await publisher.transcript(session_id, "line", speaker="Mara")
    queries: list[dict[str, Any]] = [
        {},
        {"since": str(Position(last.position.epoch, 2))},
        {"replay": "1"},
    ]
    for number, query in enumerate(queries):
        end = f"end {number}"
        async with (
            events(relay.port, session_id, welcome=False, guest="a", **query) as reader,
            client(relay.ws_url, session_id, welcome=False, guest="a", **query) as facilitator,
        ):
            # Both are there before anything is live.
            got = [await reader.next()]
            wanted = [await facilitator.next()]
            await publisher.hint(session_id, "live")
            await broker.publish_live(
                keys.channel(session_id), b'{"type":"plain","text":"\xc3\xa9"}'
            )
            async with publisher.stream_hint(session_id) as hint:
                for piece in ("Let ", "her ", "finish."):
                    await hint.append(piece)
            await publisher.hint(session_id, end)
            passing = ("presence", "heartbeat")
            while wanted[-1].get("text") != end:
                wanted.append(await facilitator.next(passing=passing))
            while got[-1].get("text") != end:
                got.append(await reader.next(passing=passing))
            assert got == wanted


@pytest.mark.alone
async def test_heartbeats(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """In silence the heartbeat message comes, with the position that its reader has."""
    sent = await publisher.hint(session_id, "one")
    async with events(relay.port, session_id) as reader:
        assert await reader.texts(1) == ["one"]
        began_s = time.monotonic()
        for _ in range(3):
            beat = await reader.next(2.0)
            assert beat == {"type": "heartbeat", "position": str(sent.position)}
        assert 1.0 < time.monotonic() - began_s < 4.0


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
async def test_line_breaks_in_the_json(
    relay: LocalRelay, broker: Broker, session_id: str, line_break: str
) -> None:
    """JSON that somebody has published with line breaks in it arrives whole, and so does the next."""
    pretty = json.dumps({"type": "hint", "id": "a", "text": "b: c", "meta": {"id": [1]}}, indent=1)
    payload = pretty.replace("\n", line_break).encode() + line_break.encode()
    async with events(relay.port, session_id) as reader:
        await broker.publish_live(keys.channel(session_id), payload)
        event = await reader.next_event()
        assert json.loads(event.data) == json.loads(pretty)
        assert event.last_id == ""
        kept = await broker.publish(session_id, payload, "a")
        event = await reader.next_event()
        assert json.loads(event.data) == {"position": str(kept.position), **json.loads(pretty)}
        assert event.last_id == str(kept.position)
        assert "\r" not in event.data
    async with events(relay.port, session_id) as reader:
        event = await reader.next_event()
        assert json.loads(event.data)["text"] == "b: c", "from the snapshot, too"


async def test_what_is_not_utf8(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """A kept message that is not UTF-8 takes its place with replacement marks, as over WebSockets."""
    async with (
        events(relay.port, session_id) as reader,
        client(relay.ws_url, session_id) as facilitator,
    ):
        kept = await broker.publish(session_id, b'{"type":"hint","id":"a","text":"\xff\xfe"}', "a")
        event = await reader.next_event()
        assert json.loads(event.data) == await facilitator.next(passing=("presence", "heartbeat"))
        assert json.loads(event.data)["text"] == "\ufffd\ufffd"
        assert event.last_id == str(kept.position)


async def test_an_event_is_too_large_for_one_write(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """Large messages arrive whole and in order."""
    async with events(relay.port, session_id) as reader:
        for n in range(10):
            await publisher.hint(session_id, f"{n}" * 60_000)
        assert await reader.texts(10) == [f"{n}" * 60_000 for n in range(10)]


# Going on


async def test_a_last_event_id_wins(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """A browser that comes back to an address with ``since`` in it has its own, newer position."""
    sent = [(await publisher.hint(session_id, str(n))).position for n in range(4)]
    query: dict[str, Any] = {"since": str(sent[0])}
    async with events(relay.port, session_id, welcome=False, **query) as reader:
        assert (await reader.next())["recovered"] is True
        assert await reader.texts(3) == ["1", "2", "3"]
    async with events(
        relay.port, session_id, welcome=False, last_id=str(sent[2]), **query
    ) as reader:
        assert (await reader.next())["recovered"] is True
        assert await reader.texts(1) == ["3"]
    async with events(
        relay.port, session_id, welcome=False, headers={"Last-Event-ID": ""}, **query
    ) as reader:
        assert (await reader.next())["recovered"] is True


async def test_a_lost_position(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """Who comes with a position of another log is told, and gets a snapshot; then ids are right."""
    sent = await publisher.hint(session_id, "one")
    async with events(relay.port, session_id, welcome=False, last_id="17-4") as reader:
        first = await reader.next_event()
        assert json.loads(first.data)["recovered"] is False
        assert first.last_id == "17-4", "a break here asks again"
        assert (await reader.next_event()).last_id == str(sent.position)


async def test_replay(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """Only the newest, or nothing of what is kept; then the first event has the id."""
    sent = [await publisher.hint(session_id, str(n)) for n in range(3)]
    head = str(sent[-1].position)
    async with events(relay.port, session_id, welcome=False, replay="2") as reader:
        assert [(await reader.next_event()).last_id for _ in range(3)] == ["", "", head]
    async with events(relay.port, session_id, welcome=False, replay="0") as reader:
        first = await reader.next_event()
        assert json.loads(first.data)["snapshot"] == 0
        assert first.last_id == head


async def _live(
    broker: Broker, publisher: HintPublisher, session: str, reader: EventsClient, *, loses: bool
) -> None:
    """Let happen what can happen to a stream that is read."""

    async def until(text: str) -> None:
        while not (await reader.next()).get("text", "").endswith(text):
            pass

    async def publish(text: str) -> None:
        await publisher.hint(session, text)
        await until(text)

    await publish("live")
    await broker.publish_live(keys.channel(session), b'{"type":"hint","id":"plain","text":"plain"}')
    await publisher.transcript(session, "inter", id="line", final=False)
    async with publisher.stream_hint(session, id="grows") as hint:
        for piece in ("Let ", "hér ", "🎭 "):
            await hint.append(piece)
            # One message each, and not what came within a moment.
            await until(piece)
        await publish("between pieces")
        for piece in ("finish", "."):
            await hint.append(piece)
            await until(piece)
    await publisher.transcript(session, "interim", id="line")
    await publish("before the loss")
    if loses:
        # A log that is lost in the very millisecond in which it began can't be told from the next.
        await asyncio.sleep(0.005)
        await broker.redis.delete(keys.log(session), keys.meta(session))
        await publish("after the loss")
    await publish("the end")


class _Picture:
    """What a client has that understands messages, and of positions only resends the last id."""

    def __init__(self, session: str) -> None:
        self.witness = Witness(session, "client", streams=True)
        self.last_id = ""
        self.texts: dict[str, Text] = {}

    def take(self, stream: bytes) -> None:
        """Take what came over one connection, as far as it is complete."""
        parser = EventParser(self.last_id)
        for event in parser.feed(stream):
            message = json.loads(event.data)
            if message["type"] == "connection" and message["recovered"] is not True:
                self.texts = {}
            self.witness.take(message)
            assert not self.witness.begin_anew, "a piece came whose beginning is missing"
            if message["type"] in ("hint", "transcript") and "position" in message:
                self.texts[message["id"]] = Text(message["text"], message.get("status"))
            elif message["type"] == "append":
                self.texts[message["id"]] = self.witness.texts[message["id"]]
            position = self.witness.position
            assert event.last_id == ("" if position is None else str(position))
        self.last_id = parser.last_id


@pytest.mark.parametrize("loses", [False, True], ids=["kept", "lost"])
async def test_every_place_to_break_off(
    relay: LocalRelay, publisher: HintPublisher, broker: Broker, session_id: str, *, loses: bool
) -> None:
    """Cut anywhere, and again while it catches up, who only resends the last id misses nothing.

    After each event the id is the position that a client has by the rules, and no byte between two
    events changes that. What comes after it completes what came before, each message once.
    """
    for n in range(3):
        await publisher.hint(session_id, f"kept {n}")
    reader = await EventsClient.connect(relay.port, session_id)
    try:
        await _live(broker, publisher, session_id, reader, loses=loses)
    finally:
        reader.reset()
    log = await broker.read(session_id)
    truth = {
        message["id"]: Text(message["text"], message.get("status"))
        for message in (json.loads(one.payload) for one in fold(log.publications))
    }
    resumed: dict[str, bytes] = {}

    async def resume(last_id: str) -> bytes:
        if last_id not in resumed:
            async with events(relay.port, session_id, welcome=False, last_id=last_id) as again:
                await again.next_event()
                while again.parser.last_id != str(log.head):
                    await again.next_event()
                resumed[last_id] = again.raw
        return resumed[last_id]

    cuts = 0
    for end in _places_to_break_off(reader.raw):
        before = _Picture(session_id)
        before.take(reader.raw[:end])
        stream = await resume(before.last_id)
        for again in _places_to_break_off(stream, before.last_id):
            picture = copy.deepcopy(before)
            picture.take(stream[:again])
            picture.take(await resume(picture.last_id))
            assert picture.witness.position == log.head
            assert picture.texts == truth
            cuts += 1
    assert cuts > 50


def _places_to_break_off(stream: bytes, last_id: str = "") -> list[int]:
    """Return where events end; a break anywhere else is one at the last of these places."""
    parser = EventParser(last_id)
    ends = [0]
    reached = last_id
    for n in range(len(stream)):
        found = parser.feed(stream[n : n + 1])
        if found:
            ends.append(n + 1)
            reached = parser.last_id
        assert parser.last_id == reached
    return ends


# Who asks


async def test_head(relay: LocalRelay, session_id: str) -> None:
    """Asked for the head alone, the relay says what the stream would be, and counts nobody."""
    answer = await HttpAnswer.ask(relay.port, "HEAD", events_path(session_id))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    assert relay.hub.rooms == 0
    answer.writer.close()


async def test_other_methods(relay: LocalRelay, session_id: str) -> None:
    """There is nothing to be posted."""
    answer = await HttpAnswer.ask(relay.port, "POST", events_path(session_id))
    assert answer.status == 405
    assert json.loads(await answer.body())["code"] == "method_not_allowed"
    answer.writer.close()


@pytest.mark.parametrize(
    ("session", "options", "code"),
    [
        (None, {}, "bad_request"),
        ("a b", {}, "bad_session"),
        ("s", {"since": "x"}, "bad_position"),
        ("s", {"since": "0-1"}, "bad_position"),
        ("s", {"last_id": "x"}, "bad_position"),
        ("s", {"last_id": "x", "since": "17-4"}, "bad_position"),
        ("s", {"replay": "-1"}, "bad_request"),
        ("s", {"guest": "a b"}, "bad_request"),
    ],
)
async def test_bad_requests(
    relay: LocalRelay, session: str | None, options: dict[str, str], code: str
) -> None:
    """What can't be served is refused with 400, and a code."""
    error = await refused(relay, session, **options)
    assert (error.status, error.problem["code"]) == (400, code)


async def test_no_token(closed_relay: LocalRelay, session_id: str) -> None:
    """Who shows no token, or a wrong one, is asked for it."""
    for options in ({}, {"token": "x"}, {"headers": {"Authorization": "Bearer x"}}):
        error = await refused(closed_relay, session_id, **options)
        assert (error.status, error.problem["code"]) == (401, "unauthorized")
        assert error.headers["www-authenticate"].startswith("Bearer")


async def test_a_token(closed_relay: LocalRelay, session_id: str) -> None:
    """A token counts in the header and in the address; the first message says what it allows."""
    good = token(session_id, sub="mara")
    async with (
        events(
            closed_relay.port, session_id, welcome=False,
            headers={"Authorization": f"Bearer {good}"},
        ) as one,
        events(closed_relay.port, session_id, welcome=False, token=good) as other,
    ):  # fmt: skip
        for reader in (one, other):
            first = await reader.next()
            assert (first["you"], first["role"]) == ("mara", "facilitator")
            assert first["expires_at"] > time.time()


async def test_another_sessions_token(closed_relay: LocalRelay, session_id: str) -> None:
    """A good token for another session is refused as such."""
    error = await refused(closed_relay, session_id, token=token("another"))
    assert (error.status, error.problem["code"]) == (403, "forbidden")


async def test_a_strange_page(relay: LocalRelay, session_id: str) -> None:
    """A page of an origin that is not allowed gets nothing."""
    error = await refused(relay, session_id, headers={"Origin": "https://evil.example"})
    assert (error.status, error.problem["code"]) == (403, "forbidden")


async def test_limits_count_both_kinds(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Readers of events and WebSockets are counted together; who goes makes room."""
    async with local_relay(
        redis_server.url, options=sockets.options, max_connections_per_session=2, linger_s=0.0
    ) as relay:
        async with client(relay.ws_url, session_id), events(relay.port, session_id) as reader:
            error = await refused(relay, session_id)
            assert (error.status, error.problem["code"]) == (429, "limit_reached")
            assert error.headers["retry-after"] == "30", "nobody knows when one of them goes"
            async with client(relay.ws_url, session_id, welcome=False) as third:
                code, _, messages = await third.closed()
                assert (code, messages[-1]["code"]) == (4102, "limit_reached")
            reader.reset()
            await relay.until(lambda: relay.hub.readers == 1, "one left")
            async with events(relay.port, session_id):
                pass
        await relay.until_nothing_is_left()
        assert len(relay.serving._gate.admission) == 0
        assert relay.serving._gate.admission.traces == 0


async def test_a_full_worker(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """A worker that can take nobody says so before it looks any closer."""
    async with (
        local_relay(redis_server.url, options=sockets.options, max_connections=1) as relay,
        events(relay.port, session_id),
    ):
        error = await refused(relay, session_id)
        assert (error.status, error.headers["retry-after"]) == (429, "1")


async def test_too_fast(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """More requests than a relay takes are told when to come back."""
    async with (
        local_relay(
            redis_server.url, options=sockets.options, handshakes_per_s=0.1, handshake_burst=1
        ) as relay,
        events(relay.port, session_id),
    ):
        error = await refused(relay, session_id)
        assert (error.status, error.problem["code"]) == (429, "limit_reached")
        assert int(error.headers["retry-after"]) >= 1
        assert error.problem["retry_after_ms"] > 1000


async def test_without_redis(sockets: Sockets, session_id: str) -> None:
    """A session that can't be had for want of Redis is refused, and worth another try."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, options=sockets.options, join_timeout_s=0.3, linger_s=0.0
        ) as relay:
            redis.kill()
            error = await refused(relay, session_id)
            assert (error.status, error.problem["code"]) == (503, "unavailable")
            assert int(error.headers["retry-after"]) >= 1
            await relay.until_nothing_is_left()


# The end


async def test_an_expired_token(closed_relay: LocalRelay, session_id: str) -> None:
    """When its token expires, a reader is told to come back with another."""
    async with events(closed_relay.port, session_id, token=_brief(session_id, 2)) as reader:
        code, reason, messages = await reader.closed()
        assert (code, reason) == (4004, "Token expired")
        assert {one["type"] for one in messages} <= {"heartbeat"}
    error = await refused(closed_relay, session_id, token=_brief(session_id, -1))
    assert error.status == 401


async def test_a_revoked_token(closed_relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """When its token is revoked, a reader is told why, and to stay away."""
    subject = f"sub-{session_id}"
    async with events(
        closed_relay.port, session_id, token=token(session_id, sub=subject)
    ) as reader:
        await RevocationLog(broker).add("sub", subject, for_s=60)
        code, reason, messages = await reader.closed()
        assert (code, reason) == (1008, "Unauthorized")
        assert (messages[-1]["type"], messages[-1]["code"]) == ("error", "unauthorized")


async def test_a_kick(relay: LocalRelay, broker: Broker, session_id: str) -> None:
    """Whom an operator ends is told so; others stay."""
    async with (
        events(relay.port, session_id, guest="a") as one,
        events(relay.port, session_id, guest="b") as other,
    ):
        await broker.publish_live(keys.channel(session_id), b'{"type":"kick","who":"guest-a"}')
        code, reason, _ = await one.closed()
        assert (code, reason) == (4103, "Kicked")
        assert (await other.next())["type"] == "heartbeat"


@pytest.mark.alone
async def test_the_relay_stops(redis_server: RedisServer, session_id: str) -> None:
    """A relay that stops says so at once; who only joins is refused, and worth another try."""
    with RedisServer() as away:
        async with local_relay(redis_server.url, linger_s=0.0) as relay:
            async with events(relay.port, session_id) as reader:
                assert relay.server is not None
                began_s = time.monotonic()
                relay.server.should_exit = True
                code, reason, _ = await reader.closed(2.0)
                assert (code, reason) == (1012, "Service restart")
            await relay.until_nothing_is_left()
            assert time.monotonic() - began_s < 2
        async with local_relay(away.url, linger_s=0.0, join_timeout_s=30.0) as relay:
            away.kill()
            joining = asyncio.create_task(refused(relay, session_id))
            await relay.until(lambda: relay.hub.rooms == 1, "somebody joins")
            assert relay.server is not None
            relay.server.should_exit = True
            async with asyncio.timeout(2):
                error = await joining
            assert error.status == 503
            assert "stops" in error.problem["detail"]
            await relay.until_nothing_is_left()


async def test_redis_away_for_too_long(sockets: Sockets, session_id: str) -> None:
    """Readers of a relay that has lost Redis for long are sent to other relays."""
    with RedisServer() as redis:
        async with (
            local_relay(
                redis.url, options=sockets.options, broker_lost_s=0.5, heartbeat_s=0.2
            ) as relay,
            events(relay.port, session_id) as reader,
        ):
            redis.kill()
            code, reason, _ = await reader.closed()
            assert (code, reason) == (4005, "Broker lost")


async def test_a_slow_reader_is_sent_away_and_delays_nobody(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Who does not keep up is closed with 4002, behind what it was given; others get all at once."""
    async with (
        local_relay(redis_server.url, options=sockets.options, ring_messages=20) as relay,
        HintPublisher(redis_server.url) as publisher,
        events(relay.port, session_id) as other,
    ):
        with await RawClient.connect(relay.port, receive_buffer=4096) as raw:
            await raw.send(_request(session_id))
            await raw.read_answer()
            await relay.until(lambda: relay.hub.readers == 2, "both read")
            text = "x" * 50_000
            for n in range(100):
                await publisher.hint(session_id, f"{n} {text}")
                if n % 10 == 9:
                    got = await other.texts(10, 5.0)
                    assert [one.split()[0] for one in got] == [str(m) for m in range(n - 9, n + 1)]
            stream = _unchunked(await _read_to_last_chunk(raw))
        parser = EventParser()
        *messages, last = [one for one in parser.feed(stream) if "presence" not in one.data[:30]]
        assert (last.type, json.loads(last.data)) == ("close", {"code": 4002, "reason": "Too slow"})
        numbers = [
            int(hint["text"].split()[0])
            for hint in (json.loads(one.data) for one in messages)
            if hint["type"] == "hint"
        ]
        assert numbers == list(range(len(numbers))), "what it got is in order and without a gap"
        assert len(numbers) < 100
        await relay.until(lambda: relay.hub.readers == 1, "the slow one has left")


async def test_a_reader_that_reads_nothing(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Who never reads costs a bounded amount of memory, and is dropped after two heartbeats."""
    async with (
        local_relay(
            redis_server.url, options=sockets.options, heartbeat_s=1.0, linger_s=0.0,
            ring_bytes=100_000,
        ) as relay,
        HintPublisher(redis_server.url) as publisher,
    ):  # fmt: skip
        deaf = [await RawClient.connect(relay.port, receive_buffer=4096) for _ in range(20)]
        try:
            for raw in deaf:
                await raw.send(_request(session_id))
            await relay.until(lambda: relay.hub.readers == 20, "all are there")
            before_mib = resident_mib(os.getpid())
            for n in range(200):
                await publisher.hint(session_id, f"{n} {'x' * 50_000}")
            # 10 MB were published; each may hold two writes of 64 KiB.
            assert resident_mib(os.getpid()) - before_mib < 20 * 2 * 64 / 1024 + 7.6
            await relay.until(lambda: relay.hub.readers == 0, "all are dropped", 10)
            if sockets is OWN:
                # Under any other server its transport is the server's, and waits for the kernel.
                await relay.until_nothing_is_left()
        finally:
            for raw in deaf:
                raw.reset()
        await relay.until_nothing_is_left()


async def test_the_reader_goes(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """Readers that go, with a word or without, leave nothing behind."""
    for n in range(4):
        async with events(relay.port, session_id) as reader:
            if n % 2:
                reader.answer.writer.close()
    await relay.until_nothing_is_left()
    assert len(relay.serving._gate.admission) == 0
    with await RawClient.connect(relay.port) as raw:
        await raw.send(_request(session_id))
        raw.reset()
    await publisher.hint(session_id, "to nobody")
    await relay.until_nothing_is_left()


async def test_no_work_for_the_collector(redis_server: RedisServer, session_id: str) -> None:
    """Streams that have ended are freed at once: the collector runs so rarely that they would pile up."""
    async with local_relay(redis_server.url, linger_s=0.0, heartbeat_s=0.5) as relay:

        async def read(*, breaks_off: bool) -> None:
            async with events(relay.port, session_id) as reader:
                if breaks_off:
                    return
                async with Broker(redis_server.url) as broker:
                    await broker.publish_live(keys.channel(session_id), b'{"type":"kick"}')
                await reader.closed()

        gc.collect()
        gc.disable()
        try:
            for breaks_off in (True, False):
                await read(breaks_off=breaks_off)
            await relay.until_nothing_is_left()
            left = [one for one in gc.get_objects() if isinstance(one, EventStream)]
            assert left == []
        finally:
            gc.enable()


async def test_who_leaves_before_it_is_served(sockets: Sockets, session_id: str) -> None:
    """A reader that goes while its join waits for Redis is let go at once."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, options=sockets.options, join_timeout_s=30.0, linger_s=0.0
        ) as relay:
            redis.kill()
            with await RawClient.connect(relay.port) as raw:
                await raw.send(_request(session_id))
                await relay.until(lambda: relay.hub.rooms == 1, "it joins")
                assert len(relay.serving._gate.admission) == 1
            await relay.until_nothing_is_left(3.0)
            assert len(relay.serving._gate.admission) == 0


async def test_a_slow_join(sockets: Sockets, session_id: str) -> None:
    """Who waits until Redis is back is served."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, options=sockets.options, join_timeout_s=30.0, redis_timeout_s=20.0,
            probe_timeout_s=30.0,
        ) as relay:  # fmt: skip
            redis.send(signal.SIGSTOP)
            try:
                joining = asyncio.create_task(EventsClient.connect(relay.port, session_id))
                await relay.until(lambda: relay.hub.rooms == 1, "it joins")
            finally:
                redis.send(signal.SIGCONT)
            reader = await joining
            assert (await reader.next())["type"] == "connection"
            reader.reset()


# In company


async def test_who_is_watching(closed_relay: LocalRelay, session_id: str) -> None:
    """A facilitator that reads events is watching, an observer is not; both are told."""
    async with events(
        closed_relay.port, session_id, token=token(session_id, sub="mara")
    ) as facilitator:
        first = await facilitator.next_of("presence")
        assert (first["facilitators"], first["who"]) == (1, ["mara"])
        observing = token(session_id, role="observer", sub="obs")
        async with (
            events(closed_relay.port, session_id, token=observing),
            client(closed_relay.ws_url, session_id, token=token(session_id, sub="ben")) as other,
        ):
            assert (await other.next_of("presence"))["who"] == ["ben", "mara"]
            assert (await facilitator.next_of("presence"))["who"] == ["ben", "mara"]


async def test_receipts(relay: LocalRelay, publisher: HintPublisher, session_id: str) -> None:
    """What a reader of events was served counts as delivered."""
    async with events(relay.port, session_id, guest="mara") as reader:
        await publisher.hint(session_id, "one", id="h-1")
        assert await reader.texts(1) == ["one"]
        # Each time the relay is asked it has 0.2 s.
        async with asyncio.timeout(5):
            while (await publisher.receipt(session_id, "h-1")).delivered != 1:
                await asyncio.sleep(0.05)


async def test_what_a_reader_says(
    relay: LocalRelay, publisher: HintPublisher, session_id: str
) -> None:
    """Feedback goes by a request beside the stream, and comes back in it, from the same person."""
    await publisher.hint(session_id, "one", id="h-1")
    async with events(relay.port, session_id, guest="mara") as reader:
        assert await reader.texts(1) == ["one"]
        body = json.dumps({"type": "feedback", "id": "f", "hint": "h-1", "action": "used"}).encode()
        said: dict[str, Any] = {}
        for is_again in (False, True):
            answer = await HttpAnswer.ask(
                relay.port, "POST", f"/sessions/{session_id}/messages?guest=mara", body=body,
                headers={"Content-Type": "application/json"},
            )  # fmt: skip
            (said,) = json.loads(await answer.body())["messages"]
            answer.writer.close()
            assert (answer.status, said["duplicate"]) == (200, is_again)
        got = await reader.next_of("feedback")
        assert (got["by"], got["action"], got["position"]) == (
            "guest-mara", "used", said["position"],
        )  # fmt: skip
        assert await reader.next() == {"type": "heartbeat", "position": said["position"]}


@pytest.mark.alone
async def test_two_workers(redis_server: RedisServer, session_id: str) -> None:
    """With several workers each reader has everything, resumes at any, and both stop at once."""
    with RelayProcess(redis_server.url, "--workers", "2", "--linger-s", "0") as relay:
        async with HintPublisher(redis_server.url) as publisher, AsyncExitStack() as stack:
            readers = [
                await stack.enter_async_context(events(relay.port, session_id)) for _ in range(12)
            ]
            sent = [await publisher.hint(session_id, str(n)) for n in range(20)]
            for reader in readers:
                assert await reader.texts(20) == [str(n) for n in range(20)]
                assert reader.parser.last_id == str(sent[-1].position)
            for _ in range(8):
                async with events(
                    relay.port, session_id, welcome=False, last_id=str(sent[9].position)
                ) as again:
                    assert (await again.next())["recovered"] is True
                    assert await again.texts(10) == [str(n) for n in range(10, 20)]
            began_s = time.monotonic()
            relay.send(signal.SIGTERM)
            for reader in readers:
                assert (await reader.closed(5.0))[0] == 1012
            assert await asyncio.to_thread(relay.wait) == 0
            assert time.monotonic() - began_s < 4
        assert "Traceback" not in relay.output


@pytest.mark.alone
async def test_the_process_stops(redis_server: RedisServer, session_id: str) -> None:
    """With open streams a relay is gone within two seconds, and its log tells of no failure."""
    with RelayProcess(redis_server.url) as relay:
        async with AsyncExitStack() as stack:
            readers = [
                await stack.enter_async_context(events(relay.port, session_id)) for _ in range(50)
            ]
            began_s = time.monotonic()
            assert await asyncio.to_thread(relay.stop) == 0
            assert time.monotonic() - began_s < 2
            for reader in readers:
                assert (await reader.closed())[0] == 1012
        for mark in ("Traceback", "rror", "Cancel"):
            assert mark not in relay.output, relay.output


@pytest.mark.alone
async def test_the_process_stops_for_who_does_not_read(
    redis_server: RedisServer, session_id: str
) -> None:
    """Readers that take nothing delay the end by a second, and leave no failure in the log."""
    with RelayProcess(redis_server.url) as relay:
        async with AsyncExitStack() as stack, HintPublisher(redis_server.url) as publisher:
            for _ in range(5):
                deaf = stack.enter_context(await RawClient.connect(relay.port, receive_buffer=4096))
                await deaf.send(_request(session_id))
            listening = await stack.enter_async_context(events(relay.port, session_id))
            # More than the kernel takes, and less than the ring has.
            for n in range(10):
                await publisher.hint(session_id, f"{n} {'x' * 60_000}")
            await listening.texts(10)
            began_s = time.monotonic()
            assert await asyncio.to_thread(relay.stop) == 0
            assert time.monotonic() - began_s < 3
            assert (await listening.closed())[0] == 1012
        for mark in ("Traceback", "rror", "Cancel"):
            assert mark not in relay.output, relay.output


def _brief(session: str, lives_s: int) -> str:
    return token(session, exp=int(time.time()) + lives_s)


def _request(session: str) -> bytes:
    return f"GET {events_path(session)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def _read_to_last_chunk(raw: RawClient) -> bytes:
    data = b""
    while not data.endswith(b"\r\n0\r\n\r\n"):
        data += await raw.read_exactly(1)
        data += await _what_is_there(raw)
    return data


async def _what_is_there(raw: RawClient) -> bytes:
    return await raw.read_exactly(len(raw._buffer))


def _unchunked(data: bytes) -> bytes:
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body, data = body + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return body
