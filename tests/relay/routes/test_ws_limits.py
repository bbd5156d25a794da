"""How many, how fast and how much: every limit, and every origin, on a running server."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from relay.broker.broker import Broker
from tests.support.client import client
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, local_relay
from tests.support.tokens import SECRET, token
from tests.support.websocket import CLOSE, PING, TEXT, RawClient, frame, request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.sockets import Sockets

_LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here needs a second to read a close frame."""
    monkeypatch.setattr("relay.socket.connection._FAREWELL_S", 0.2)


def _relay(
    sockets: Sockets, redis_server: RedisServer, **settings: Any
) -> contextlib.AbstractAsyncContextManager[LocalRelay]:
    return local_relay(redis_server.url, options=sockets.options, linger_s=0.0, **settings)


async def _refusal(relay: LocalRelay, session: str, **how: Any) -> tuple[int, str]:
    """Return the close code and the error's code of a refused connection."""
    async with client(relay.ws_url, session, welcome=False, **how) as refused:
        code, _, messages = await refused.closed()
    (error,) = messages
    assert error["type"] == "error"
    return code, error["code"]


async def _too_many(relay: LocalRelay, session: str, **how: Any) -> Any:
    """Return the answer to a handshake that is refused with 429."""
    with pytest.raises(InvalidStatus) as refusal:
        async with client(relay.ws_url, session, welcome=False, **how):
            pass
    response = refusal.value.response
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) >= 1
    assert b'"limit_reached"' in response.body
    return response


# How many


_XFF_1, _XFF_2 = ([("X-Forwarded-For", f"203.0.113.{n}")] for n in (1, 2))


@pytest.mark.parametrize(
    ("limit", "one", "another"),
    [
        ("max_connections_per_session", {"session": "a"}, {"session": "b"}),
        ("max_connections_per_address", {"headers": _XFF_1}, {"headers": _XFF_2}),
        ("max_connections_per_subject", {"sub": "ada"}, {"sub": "ben"}),
        ("max_connections_per_subject", {"jti": "1"}, {"jti": "2"}),
    ],
)
async def test_how_many(
    sockets: Sockets, redis_server: RedisServer, session_id: str, limit: str,
    one: dict[str, Any], another: dict[str, Any],
) -> None:  # fmt: skip
    """The one too many is told so with 4102, others come in; when one has left there is room again."""

    def who(how: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        claims = {name: how[name] for name in ("sub", "jti") if name in how}
        session = f"{session_id}-{how.get('session', 'x')}"
        return session, {"token": token(**claims), "headers": how.get("headers", [])}

    async with _relay(sockets, redis_server, jwt_secret=SECRET, **{limit: 2}) as relay:
        (session, how), (other, other_how) = who(one), who(another)
        async with client(relay.ws_url, session, **how) as first:
            async with client(relay.ws_url, session, **how):
                for _ in range(2):
                    assert await _refusal(relay, session, **how) == (4102, "limit_reached")
                async with client(relay.ws_url, other, **other_how):
                    pass
            await relay.until(lambda: relay.hub.readers == 1, "one left")
            async with client(relay.ws_url, session, **how):
                assert await _refusal(relay, session, **how) == (4102, "limit_reached")
            first.reset()
        await relay.until(lambda: relay.hub.readers == 0, "the other one, too")
        for _ in range(3):
            async with client(relay.ws_url, session, **how):
                pass
            await relay.until(lambda: relay.hub.readers == 0, "and again")
        assert relay.count_of("limits_reached", limit=limit) == 3
        assert relay.count_of("refused", code="limit_reached") == 3
        await relay.until_nothing_is_left()


async def test_sessions_of_one_token(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """One person may be in so many sessions; more connections to them are fine."""
    made = token(sub="ada")
    async with _relay(sockets, redis_server, jwt_secret=SECRET, max_sessions_per_token=2) as relay:
        async with (
            client(relay.ws_url, f"{session_id}-1", token=made),
            client(relay.ws_url, f"{session_id}-2", token=made),
            client(relay.ws_url, f"{session_id}-2", token=token(sub="ada")),
        ):
            third = f"{session_id}-3"
            assert await _refusal(relay, third, token=made) == (4102, "limit_reached")
            async with client(relay.ws_url, third, token=token(sub="ben")):
                pass
        assert relay.count_of("limits_reached", limit="max_sessions_per_token") == 1
        await relay.until_nothing_is_left()


async def test_a_full_worker(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """A full worker refuses the handshake with 429 and when to come back: another one may have room."""
    async with _relay(sockets, redis_server, max_connections=2) as relay:
        async with client(relay.ws_url, session_id), client(relay.ws_url, session_id):
            for _ in range(3):
                assert (await _too_many(relay, session_id)).headers["Retry-After"] == "1"
        await relay.until(lambda: relay.hub.readers == 0, "all left")
        async with client(relay.ws_url, session_id):
            pass
        assert relay.count_of("limits_reached", limit="max_connections") == 3
        await relay.until_nothing_is_left()


async def test_who_is_refused_takes_no_place(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Refused, malformed, broken off: none of them keeps a place of the two that there are."""
    async with _relay(
        sockets, redis_server, jwt_secret=SECRET, max_connections=2, max_connections_per_session=2
    ) as relay:
        good = token(session_id)
        for _ in range(5):
            assert await _refusal(relay, session_id) == (1008, "unauthorized")
            assert await _refusal(relay, "other", token=good) == (1008, "forbidden")
            assert await _refusal(relay, session_id, token=good, since="x") == (
                4101,
                "bad_position",
            )
            with await RawClient.connect(relay.port) as raw:
                await raw.send(request(f"/ws?session={session_id}&token={good}"))
                raw.reset()
            async with client(relay.ws_url, session_id, token=good) as reader:
                reader.reset()
            await relay.until_nothing_is_left()
        async with (
            client(relay.ws_url, session_id, token=good),
            client(relay.ws_url, session_id, token=good),
        ):
            pass


async def test_joins_that_come_to_nothing(sockets: Sockets, session_id: str) -> None:
    """Who waited for Redis in vain, or left while waiting, has given his place back."""
    with RedisServer() as redis:
        async with local_relay(
            redis.url, options=sockets.options, linger_s=0.0, join_timeout_s=1.0, max_connections=2,
            jwt_secret=SECRET, redis_timeout_s=20.0, probe_timeout_s=30.0,
        ) as relay:  # fmt: skip
            made = token(sub="ada")
            redis.send(signal.SIGSTOP)
            try:
                async with client(relay.ws_url, session_id, welcome=False, token=made) as late:
                    assert (await late.closed())[0] == 4005
                await relay.until(lambda: len(relay.serving._gate.admission) == 0, "timed out")
                async with client(relay.ws_url, session_id, welcome=False, token=made) as gone:
                    await relay.until(lambda: len(relay.serving._gate.admission) == 1, "waiting")
                    gone.reset()
                await relay.until(lambda: len(relay.serving._gate.admission) == 0, "gone")
            finally:
                redis.send(signal.SIGCONT)
            await relay.until_nothing_is_left()


async def test_invented_addresses(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Where loopback is no trusted proxy, whatever it says, it is counted as itself."""
    async with _relay(
        sockets, redis_server, trusted_proxies="192.0.2.0/24", max_connections_per_address=1
    ) as relay:
        async with client(relay.ws_url, session_id, headers=_XFF_1):
            for headers in (_XFF_2, [], [("X-Forwarded-For", "192.0.2.1")]):
                got = await _refusal(relay, session_id, headers=headers)
                assert got == (4102, "limit_reached")
        await relay.until_nothing_is_left()


async def test_a_proxy_is_not_counted(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """A trusted proxy that names nobody is not counted itself; whom a client names is not believed."""
    async with _relay(sockets, redis_server, max_connections_per_address=1) as relay:
        async with (
            client(relay.ws_url, session_id),
            client(relay.ws_url, session_id),
            client(relay.ws_url, session_id, headers=_XFF_1),
        ):
            spoofed = [("X-Forwarded-For", "6.6.6.6, 203.0.113.1")]
            assert await _refusal(relay, session_id, headers=spoofed) == (4102, "limit_reached")
        await relay.until_nothing_is_left()


# How fast


async def test_handshakes_of_one_address(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Who comes too often gets 429 before anything else is looked at; each is counted; others come in."""
    async with _relay(
        sockets, redis_server, handshakes_per_address_per_s=0.1, handshake_burst_per_address=2
    ) as relay:
        for _ in range(2):
            async with client(relay.ws_url, session_id, headers=_XFF_1):
                pass
        for session in (session_id, "a%20b"):
            response = await _too_many(relay, session, headers=_XFF_1)
            assert 8 <= int(response.headers["Retry-After"]) <= 10
        for path in (f"/events?session={session_id}", f"/sessions/{session_id}/messages"):
            with await RawClient.connect(relay.port) as raw:
                lines = f"Host: localhost\r\n{': '.join(_XFF_1[0])}\r\n"
                assert (await raw.ask(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())).status == 429
        async with client(relay.ws_url, session_id, headers=_XFF_2):
            pass
        assert relay.count_of("limits_reached", limit="handshakes_per_address_per_s") == 4
        assert relay.count_of("refused", code="limit_reached") == 4
        await relay.until_nothing_is_left()


async def test_handshakes_of_all(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """All together have a rate as well; when its time has come, one more comes in."""
    async with _relay(sockets, redis_server, handshakes_per_s=1.0, handshake_burst=2) as relay:
        for _ in range(2):
            async with client(relay.ws_url, session_id):
                pass
        assert (await _too_many(relay, session_id)).headers["Retry-After"] == "1"
        assert relay.count_of("limits_reached", limit="handshakes_per_s") == 1
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(InvalidStatus):
                    async with client(relay.ws_url, session_id):
                        break
                await asyncio.sleep(0.05)
        await relay.until_nothing_is_left()


async def test_connections_of_one_address(redis_server: RedisServer) -> None:
    """Connections that come too fast from a stranger are dropped at once."""
    async with local_relay(
        redis_server.url, trusted_proxies=",", handshakes_per_address_per_s=0.1,
        handshake_burst_per_address=1,
    ) as relay:  # fmt: skip
        async with contextlib.AsyncExitStack() as stack:
            some = [stack.enter_context(await RawClient.connect(relay.port)) for _ in range(6)]
            assert [await raw.read_to_end() for raw in some[4:]] == [b"", b""]
            assert (await some[0].ask(_LIVE)).status == 200
        assert relay.count_of("limits_reached", limit="handshakes_per_address_per_s") >= 2
        await relay.until_nothing_is_left()


async def test_messages(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """Too many messages are refused with when to try again, and the connection stays."""
    async with (
        _relay(sockets, redis_server, inbound_per_s=1.0, inbound_burst=3) as relay,
        client(relay.ws_url, session_id) as reader,
    ):
        for _ in range(5):
            await reader.send({"type": "nothing", "id": "1"})
        codes = [await reader.next_of("error") for _ in range(5)]
        assert [one["code"] for one in codes] == ["bad_message"] * 3 + ["rate_limited"] * 2
        assert all(0 < one["retry_after_ms"] <= 1000 for one in codes[3:])
        assert relay.count_of("limits_reached", limit="inbound_per_s") == 2
        await asyncio.sleep(codes[-1]["retry_after_ms"] / 1000)
        await reader.send({"type": "ping"})
        assert await reader.next() == {"type": "heartbeat", "position": None}


async def test_bytes(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """Who sends more bytes than may be is told so and closed with 4102; others are not disturbed."""
    async with _relay(
        sockets,
        redis_server,
        inbound_bytes_per_s=1024,
        heartbeat_s=10.0,
        max_inbound_bytes=2048,
        inbound_burst=10_000,
    ) as relay:
        async with client(relay.ws_url, session_id) as other:
            async with client(relay.ws_url, session_id) as flooder:
                with contextlib.suppress(ConnectionClosed):
                    for _ in range(30):
                        await flooder.websocket.send('{"type":"ping","x":"' + "x" * 1000 + '"}')
                code, reason, messages = await flooder.closed()
                assert (code, reason) == (4102, "Limit reached")
                assert messages[-1]["code"] == "limit_reached"
            await other.send({"type": "ping"})
            assert (await other.next_of("heartbeat"))["position"] is None
        assert relay.count_of("limits_reached", limit="inbound_bytes_per_s") == 1
        await relay.until_nothing_is_left()


async def test_sizes(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """Too large a message closes its sender with 1009, and is counted; so is a large publication."""
    async with (
        _relay(sockets, redis_server, max_inbound_bytes=2048, max_publication_bytes=1024) as relay,
        Broker(redis_server.url) as broker,
        client(relay.ws_url, session_id) as reader,
    ):
        await reader.send(
            {"type": "command", "id": "1", "name": "steer", "text": "x", "more": "x" * 1000}
        )
        assert (await reader.next_of("error"))["code"] == "too_large"
        assert relay.count_of("limits_reached", limit="max_publication_bytes") == 1
        await broker.publish_live(f"hints:{session_id}", b'{"text":"%b"}' % (b"x" * 1024))
        await relay.until(
            lambda: relay.count_of("limits_reached", limit="max_publication_bytes") == 2,
            "a large publication is not counted",
        )
        await reader.websocket.send("x" * 2049)
        assert (await reader.closed())[0] == 1009
        assert relay.count_of("limits_reached", limit="max_inbound_bytes") == 1


async def test_the_largest_message_is_no_flood(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """However short heartbeats are, a message of the largest size is taken."""
    async with (
        _relay(
            sockets, redis_server, heartbeat_s=1.0, inbound_bytes_per_s=1024, max_inbound_bytes=8192
        ) as relay,
        client(relay.ws_url, session_id) as reader,
    ):
        text = '{"type":"ping","x":"'
        await reader.websocket.send(text + "x" * (8192 - len(text) - 2) + '"}')
        assert (await reader.next_of("heartbeat"))["position"] is None
        await reader.send({"type": "nothing"})
        assert (await reader.next_of("error"))["code"] == "bad_message"


async def test_small_frames(redis_server: RedisServer, session_id: str) -> None:
    """Frames cost something, too: thousands of empty ones are a flood."""
    async with local_relay(
        redis_server.url,
        inbound_bytes_per_s=1024,
        heartbeat_s=10.0,
        max_inbound_bytes=2048,
        linger_s=0.0,
    ) as relay:
        for opcode, count in ((PING, 300), (TEXT, 300)):
            with await RawClient.connect(relay.port) as raw:
                await raw.open(f"/ws?session={session_id}")
                await raw.send(frame(opcode) * count)
                got = await raw.frames_to_end()
                (closed,) = [one for one in got if one.opcode is CLOSE]
                assert closed.close_code == 4102
                assert got[-1] is closed
        assert relay.count_of("limits_reached", limit="inbound_bytes_per_s") == 2
        await relay.until_nothing_is_left()


# How large, and how slow


def _heads(size: int) -> list[bytes]:
    """Return requests, plain and for a WebSocket, whose heads are about this large."""
    lines = [("X-Padding", "x" * 1000)] * (size // 1000)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines).encode()
    return [
        _LIVE[:-2] + head + b"\r\n",
        request("/ws?session=s", headers=lines),
        b"GET /health/live?" + b"x" * size + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        _LIVE[:-2] + b"X-Long: " + b"x" * size + b"\r\n\r\n",
    ]


async def test_large_heads(redis_server: RedisServer) -> None:
    """A head that is too large is refused with 431, whether it comes at once, in pieces or never ends."""
    async with local_relay(redis_server.url, max_header_bytes=4096, linger_s=0.0) as relay:
        count = 0
        for head in _heads(3000):
            with await RawClient.connect(relay.port) as raw:
                assert (await raw.ask(head)).status in (101, 200)
        for head in _heads(5000):
            for ending in (len(head), len(head) - 2):
                for size in (len(head), 100):
                    with await RawClient.connect(relay.port) as raw:
                        with contextlib.suppress(ConnectionError):
                            await raw.send_in_pieces(head[:ending], size)
                        assert (await raw.read_answer()).status == 431, head[:100]
                        assert await raw.read_to_end() == b""
                    count += 1
        assert relay.count_of("limits_reached", limit="max_header_bytes") == count
        await relay.until_nothing_is_left()


async def test_what_hides_behind_a_body(redis_server: RedisServer) -> None:
    """Trailers and chunk extensions have no end of their own, and no more room than a head."""
    head = b"POST /health/live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    async with local_relay(redis_server.url, max_header_bytes=4096, linger_s=0.0) as relay:
        for more in (
            b"0\r\n" + b"X-Trailer: x\r\n" * 1000,
            b"0\r\nX: " + b"x" * 9000,
            b"1;" + b"x" * 9000,
        ):
            with await RawClient.connect(relay.port) as raw:
                with contextlib.suppress(ConnectionError):
                    await raw.send_in_pieces(head + more, 500)
                # The endpoint may have answered before the body had come: the end is what counts.
                await raw.read_to_end()
            await relay.until_nothing_is_left()
        assert relay.count_of("limits_reached", limit="max_header_bytes") == 3


async def test_large_bodies_pass(redis_server: RedisServer) -> None:
    """A body is no head: one that is larger, in one piece or in chunks, is not refused for that."""
    async with local_relay(redis_server.url, max_header_bytes=1024) as relay:
        with await RawClient.connect(relay.port) as raw:
            for _ in range(2):
                await raw.send(
                    b"POST /health/live HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n"
                    + b"x" * 50_000
                )
                assert (await raw.read_answer()).status == 405
        assert relay.count_of("limits_reached", limit="max_header_bytes") == 0


_HALF = {
    "nothing": b"",
    "half a line": b"GET /health/l",
    "half a head": b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n",
    "half an upgrade": request("/ws?session=s")[:-2],
    "blank lines": b"\r\n\r\n",
    "no body": b"POST /nowhere/at/all HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n1",
}


@pytest.mark.alone
async def test_half_requests(redis_server: RedisServer) -> None:
    """A request that does not arrive in time is given up with 408, also one that dribbles in."""
    async with local_relay(redis_server.url, handshake_timeout_s=0.5, linger_s=0.0) as relay:

        async def give_up(half: bytes, dribble: bytes = b"") -> None:
            with await RawClient.connect(relay.port) as raw:
                began_s = time.monotonic()
                await raw.send(half)
                with contextlib.suppress(ConnectionError):
                    while dribble and time.monotonic() < began_s + 1.2:
                        await raw.send(dribble)
                        await asyncio.sleep(0.05)
                got = await raw.read_to_end()
                assert got.startswith((b"HTTP/1.1 408", b"HTTP/1.1 404")) or dribble, (half, got)
                assert time.monotonic() - began_s < 3

        await asyncio.gather(
            *(give_up(half) for half in _HALF.values()),
            give_up(_HALF["half a head"], b"X: y\r\n"),
            give_up(b"GET /", b"x"),
        )
        assert relay.count_of("limits_reached", limit="handshake_timeout_s") == len(_HALF) + 2
        await relay.until_nothing_is_left()


async def test_half_requests_on_a_used_connection(
    redis_server: RedisServer, session_id: str
) -> None:
    """What was a good connection is given up as well when its next request does not come."""
    async with local_relay(redis_server.url, handshake_timeout_s=0.5, linger_s=0.0) as relay:

        async def give_up(half: bytes) -> None:
            with await RawClient.connect(relay.port) as raw:
                assert (await raw.ask(_LIVE)).status == 200
                await raw.send(half)
                # The end is what counts: who keeps it open fails the test by its timeout.
                await raw.read_to_end()

        async def stay() -> None:
            async with client(relay.ws_url, session_id) as reader:
                with await RawClient.connect(relay.port) as raw:
                    assert (await raw.ask(b"\r\n" + _LIVE + b"\r\n")).status == 200
                    await raw.open(f"/ws?session={session_id}")
                    await raw.welcome()
                    await asyncio.sleep(1.2)
                    await raw.send(frame(PING, b"still here"))
                    assert (await raw.next(passing=["heartbeat"])).payload == b"still here"
                await reader.send({"type": "ping"})
                assert (await reader.next_of("heartbeat"))["position"] is None

        halves = [half for half in _HALF.values() if half]
        async with asyncio.timeout(4):
            await asyncio.gather(*(give_up(half) for half in halves), stay())
        await relay.until_nothing_is_left()


@pytest.mark.parametrize("ending", ["keep-alive", "close"])
@pytest.mark.parametrize("size", [100_000, 5_000_000], ids=["some is left", "much is left"])
async def test_answers_that_nobody_reads(
    redis_server: RedisServer, tmp_path: Path, size: int, ending: str
) -> None:
    """An answer that is not read is given up, however much of it is left; others arrive whole."""
    (tmp_path / "index.html").write_text("")
    (tmp_path / "large.js").write_bytes(b"x" * size)
    ask = f"GET /large.js HTTP/1.1\r\nHost: localhost\r\nConnection: {ending}\r\n\r\n".encode()
    async with local_relay(
        redis_server.url,
        options={"timeout_keep_alive": 0.1},
        handshake_timeout_s=1.0,
        page_dir=tmp_path,
    ) as relay:
        # Else the kernel takes some of them whole.
        relay.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with await RawClient.connect(relay.port, receive_buffer=2048) as reader:
            await reader.send(ask)
            with await RawClient.connect(relay.port, receive_buffer=2048) as deaf:
                await deaf.send(ask)
                assert len(await reader.read_exactly(size)) == size
                await relay.until(lambda: not relay.open_connections, "nobody")
        assert relay.count_of("limits_reached", limit="handshake_timeout_s") == 1


async def test_idle_connections(redis_server: RedisServer) -> None:
    """A connection that is kept alive and not used is closed by the server, without a word."""
    async with local_relay(
        redis_server.url, options={"timeout_keep_alive": 0.3}, handshake_timeout_s=60
    ) as relay:
        with await RawClient.connect(relay.port) as raw:
            assert (await raw.ask(_LIVE)).status == 200
            assert await raw.read_to_end() == b""
        await relay.until_nothing_is_left()


async def test_too_many_half_requests(redis_server: RedisServer, session_id: str) -> None:
    """One more than may wait displaces the oldest; whoever sends a request at once gets through."""
    async with local_relay(redis_server.url, max_pending=5, linger_s=0.0) as relay:
        async with contextlib.AsyncExitStack() as stack:
            some = []
            for _ in range(8):
                raw = stack.enter_context(await RawClient.connect(relay.port))
                await raw.send(_HALF["half a head"])
                some.append(raw)
                await asyncio.sleep(0.01)
            for raw in some[:3]:
                assert (await raw.read_to_end()).startswith(b"HTTP/1.1 408")
            assert len(relay.lobby) == 5
            async with client(relay.ws_url, session_id):
                pass
            for raw in some[4:]:
                assert (await raw.ask(b"\r\n")).status == 200
        assert relay.count_of("limits_reached", limit="max_pending") == 4
        await relay.until_nothing_is_left()


# From where


def _origin(*values: str, host: str | None = None) -> dict[str, Any]:
    headers = [("Origin", value) for value in values]
    return {"headers": headers if host is None else [*headers, ("Host", host)]}


async def _handshake(relay: LocalRelay, session: str, **options: Any) -> tuple[int, str | None]:
    """Return the close code and the error's code after a handshake by hand; 0 when it is served."""
    with await RawClient.connect(relay.port) as raw:
        answer = await raw.ask(request(f"/ws?session={session}", **options))
        if answer.status != 101:
            return answer.status, None
        message = (await raw.next()).json
        if message["type"] == "connection":
            return 0, None
        return (await raw.next()).close_code, message["code"]


_SERVED, _FORBIDDEN = (0, None), (1008, "forbidden")


async def test_pages_of_a_local_relay(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """A relay for this machine serves pages of this machine, under names of this machine."""
    async with _relay(sockets, redis_server) as relay:
        own = f"127.0.0.1:{relay.port}"
        for options in (
            _origin(), _origin(host=own), _origin(f"http://{own}", host=own),
            _origin("http://localhost:3000", host=own), _origin("http://[::1]", host="[::1]"),
        ):  # fmt: skip
            assert await _handshake(relay, session_id, **options) == _SERVED, options
        for options in (
            _origin("https://evil.example", host=own), _origin("null", host=own),
            # DNS rebinding: to the browser it is the page's own origin.
            _origin(f"http://evil.example:{relay.port}", host=f"evil.example:{relay.port}"),
            _origin(host="evil.example"), _origin(host="localhost.evil.example"),
            _origin(f"http://{own}.evil.example", host=own), _origin("", host=own),
        ):  # fmt: skip
            assert await _handshake(relay, session_id, **options) == _FORBIDDEN, options
        # Two: the server's own protocol may refuse them before anybody looks.
        code, _ = await _handshake(
            relay, session_id, **_origin(f"http://{own}", "https://evil.example", host=own)
        )
        assert code in (1008, 400)
        await relay.until_nothing_is_left()


async def test_pages_of_a_public_relay(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """A relay with tokens serves its own pages and configured ones; a token does not help others."""
    async with _relay(
        sockets, redis_server, jwt_secret=SECRET, allowed_origins="https://coach.example.com"
    ) as relay:
        session = f"{session_id}&token={token(session_id)}"
        host = "relay.example.com"
        for options in (
            _origin(host=host), _origin("https://coach.example.com", host=host),
            _origin("https://relay.example.com", host=host), _origin(f"http://{host}", host=host),
        ):  # fmt: skip
            assert await _handshake(relay, session, **options) == _SERVED, options
        for options in (
            _origin("https://evil.example", host=host), _origin("null", host=host),
            _origin("http://coach.example.com", host=host),
            _origin("https://coach.example.com.evil.example", host=host),
            _origin("https://sub.coach.example.com", host=host),
            _origin("http://localhost:3000", host=host),
        ):  # fmt: skip
            assert await _handshake(relay, session, **options) == _FORBIDDEN, options
        assert relay.count_of("refused", code="forbidden") == 6
        await relay.until_nothing_is_left()


async def test_all_pages(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """With a star every page may; without tokens and for this machine, only under its names."""
    async with _relay(sockets, redis_server, allowed_origins="*", insecure=True) as relay:
        for origin in ("https://evil.example", "null"):
            options = _origin(origin, host="relay.example.com")
            assert await _handshake(relay, session_id, **options) == _SERVED
    async with _relay(sockets, redis_server, allowed_origins="*") as relay:
        assert await _handshake(relay, session_id, **_origin("null", host="localhost")) == _SERVED
        options = _origin(host="relay.example.com")
        assert await _handshake(relay, session_id, **options) == _FORBIDDEN
