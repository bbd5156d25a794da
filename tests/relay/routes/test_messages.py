"""A session over plain HTTP, on a running relay."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import structlog

from producers import HintPublisher
from relay.broker.broker import Broker
from relay.broker.revocations import RevocationLog
from tests.support.client import client
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, RelayProcess, local_relay
from tests.support.tokens import SECRET, token
from tests.support.websocket import RawClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HINT = {"type": "hint", "text": "Slow down."}
_HUGE = 10**400


@asynccontextmanager
async def _http(relay: LocalRelay, shown: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {} if shown is None else {"authorization": f"Bearer {shown}"}
    async with httpx.AsyncClient(
        base_url=relay.base_url, headers=headers, trust_env=False, timeout=10
    ) as http:
        yield http


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay for this machine."""
    async with local_relay(redis_server.url) as relay:
        yield relay


@pytest.fixture
async def guarded(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay that asks for tokens."""
    async with local_relay(redis_server.url, jwt_secret=SECRET) as relay:
        yield relay


def _offsets(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [int(one["position"].partition("-")[2]) for one in answer.json()["messages"]]


def _refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    said: dict[str, Any] = answer.json()
    assert (said["status"], said["code"], said["type"]) == (status, code, "about:blank")
    assert said["title"]
    assert said["detail"].endswith((".", ".*", "hand")), said["detail"]
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1
    return said


# Publishing


async def test_one_and_many(relay: LocalRelay, session_id: str) -> None:
    """One message, or several in their order, reach everybody and get positions and ids."""
    path = f"/sessions/{session_id}/messages"
    async with _http(relay) as http, client(relay.ws_url, session_id) as facilitator:
        assert _offsets(await http.post(path, json=_HINT)) == [1]
        several = [
            {"type": "hint", "text": "a", "id": "mine"},
            {"type": "transcript", "text": "b", "speaker": "Mara"},
            {"type": "error", "text": "c"},
            {"type": "of-my-own", "anything": [1, {"x": None}]},
        ]
        answer = await http.post(path, json=several)
        assert _offsets(answer) == [2, 3, 4, 5]
        assert answer.json()["messages"][0]["id"] == "mine"
        got = [await facilitator.next() for _ in range(5)]
    assert [one["type"] for one in got] == ["hint", "hint", "transcript", "error", "of-my-own"]
    assert all(one["id"] for one in got)
    assert [one["position"] for one in got[1:]] == [
        one["position"] for one in answer.json()["messages"]
    ]
    assert relay.metrics.published.labels("http")._value.get() == 5


async def test_ids_are_published_once(relay: LocalRelay, session_id: str) -> None:
    """A message with an id of its own is published once, and said to be a repetition then."""
    path = f"/sessions/{session_id}/messages"
    async with _http(relay) as http:
        first = await http.post(path, json={**_HINT, "id": "1"})
        again = await http.post(path, json={**_HINT, "id": "1"})
    assert _offsets(first) == _offsets(again) == [1]
    assert [one["duplicate"] for one in first.json()["messages"]] == [False]
    assert [one["duplicate"] for one in again.json()["messages"]] == [True]


async def test_an_idempotency_key(
    relay: LocalRelay, redis_server: RedisServer, session_id: str
) -> None:
    """The same request under a key changes nothing, on any relay; another one is a conflict."""
    path, key = f"/sessions/{session_id}/messages", {"idempotency-key": "k-1"}
    body = [_HINT, {"type": "custom"}]
    async with local_relay(redis_server.url) as other, _http(relay) as http, _http(other) as there:
        first = await http.post(path, json=body, headers=key)
        both = await asyncio.gather(
            *(one.post(path, json=body, headers=key) for one in (http, there, http, there))
        )
        assert {tuple(_offsets(answer)) for answer in (first, *both)} == {(1, 2)}
        ids = [one["id"] for one in first.json()["messages"]]
        assert all([one["id"] for one in answer.json()["messages"]] == ids for answer in both)
        _refused(await there.post(path, json=_HINT, headers=key), 409, "conflict")
        assert _offsets(await http.post(path, json=body)) == [3, 4]


async def test_keys_of_two_holders(guarded: LocalRelay, session_id: str) -> None:
    """Two who chose the same key don't meet."""
    path, key = f"/sessions/{session_id}/messages", {"idempotency-key": "same"}
    found = []
    for who in ("a", "b"):
        async with _http(guarded, token(session_id, sub=who, role="agent")) as http:
            found += _offsets(await http.post(path, json=_HINT, headers=key))
    assert found == [1, 2]


@pytest.mark.parametrize("key", ["", "a b", "x" * 129, "é"])
async def test_what_is_no_key(relay: LocalRelay, session_id: str, key: str) -> None:
    """A key is 1 to 128 visible ASCII characters."""
    async with _http(relay) as http:
        answer = await http.post(
            f"/sessions/{session_id}/messages",
            json=_HINT,
            headers=[(b"idempotency-key", key.encode("latin-1"))],
        )
    assert "Idempotency-Key" in _refused(answer, 400, "bad_request")["detail"]


async def test_redis_goes_in_between(session_id: str) -> None:
    """Without Redis the answer is 503; the same request afterwards publishes each message once."""
    body = [{"type": "hint", "text": str(number)} for number in range(5)]
    path, key = f"/sessions/{session_id}/messages", {"idempotency-key": "k"}
    with RedisServer(append_only=True) as redis:
        async with local_relay(redis.url, redis_timeout_s=0.5) as relay, _http(relay) as http:
            assert _offsets(await http.post(path, json=body[:1])) == [1]
            redis.kill()
            _refused(await http.post(path, json=body, headers=key), 503, "unavailable")
            redis.start()
            redis.wait_until_ready()
            async with asyncio.timeout(10):
                while (answer := await http.post(path, json=body, headers=key)).status_code == 503:
                    await asyncio.sleep(0.05)
            again = await http.post(path, json=body, headers=key)
            assert _offsets(answer) == _offsets(again)
            kept = (await http.get(path)).json()["messages"]
    assert [one["text"] for one in kept] == ["0", *"01234"]


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        ({"type": "hint"}, "/text"),
        ({"type": "hint", "text": 5}, "/text"),
        ({"type": "hint", "text": "x", "priority": "huge"}, "/priority"),
        ({"type": "hint", "text": "x", "timestamp": "now"}, "/timestamp"),
        ({"type": "hint", "text": "x", "id": "i" * 129}, "/id"),
        ({"type": "hint", "text": "x", "position": "1-1"}, "/position"),
        ({"type": "hint", "text": "x", "began": "1-1"}, "/began"),
        ({"type": "hint", "text": "x", "status": "streaming"}, "/status"),
        ({"type": "append", "id": "1", "text": "x", "at": 0}, "/status"),
        ({"type": "connection", "status": "connected"}, "/type"),
        ({"type": "kick", "who": "ada"}, "/type"),
        ({"type": "report"}, "/type"),
        ({"type": "presence", "facilitators": 99}, "/type"),
        ({"type": 5}, "/type"),
        ({"type": ""}, "/type"),
        ({}, "/type"),
        ({"type": "command", "id": "1", "name": "cancel"}, "/hint"),
        ({"type": "command", "id": "1", "name": "steer", "text": " "}, "/text"),
        ({"type": "feedback", "hint": "h", "action": "used"}, "/id"),
        ({"type": "feedback", "id": "1", "hint": "h", "action": "used", "by": "me"}, "/by"),
        ({"type": "seen", "hints": []}, "/hints"),
    ],
)
async def test_wrong_messages(
    relay: LocalRelay, session_id: str, message: dict[str, Any], pointer: str
) -> None:
    """A wrong message is refused with the field that is wrong, and none of its array is published."""
    path = f"/sessions/{session_id}/messages"
    async with _http(relay) as http:
        alone = _refused(await http.post(path, json=message), 422, "bad_message")
        assert alone["errors"][0]["pointer"] == pointer
        among = _refused(await http.post(path, json=[_HINT, message, _HINT]), 422, "bad_message")
        assert among["errors"][0]["pointer"] == f"/1{pointer}"
        assert (await http.get(path)).json()["position"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nul", b"5", b"null", b'"text"', b"[]", b"[5]", b"[[]]", b"\xef\xbb\xbf{}",
        b'{"type":"hint","text":"\\ud800"}', b'{"type":"hint","text":NaN}', b"[" * 100_000,
        b'{"type":"hint","text":"\xff"}', b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
        json.dumps([_HINT] * 101).encode(),
        b'{"type":"hint","text":"x","meta":{"n":1' + b"0" * 400 + b"}}",
    ],
)  # fmt: skip
async def test_what_is_no_message(relay: LocalRelay, session_id: str, body: bytes) -> None:
    """What is not a JSON message, or some, is refused, however strange, and nothing is published."""
    path = f"/sessions/{session_id}/messages"
    async with _http(relay) as http:
        answer = await http.post(
            path, content=body, headers={"content-type": "application/json; charset=utf-8"}
        )
        assert answer.status_code in (400, 422), answer.text
        _refused(
            answer,
            answer.status_code,
            "bad_request" if answer.status_code == 400 else "bad_message",
        )
        assert (await http.get(path)).json()["position"] is None


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_other_types_of_content(relay: LocalRelay, session_id: str, kind: str) -> None:
    """What a foreign page could send without being asked is not taken."""
    async with _http(relay) as http:
        answer = await http.post(
            f"/sessions/{session_id}/messages", content=b"{}", headers={"content-type": kind}
        )
    _refused(answer, 415, "bad_request")


# Facilitators


async def test_roles(guarded: LocalRelay, session_id: str) -> None:
    """Agents publish, facilitators answer, observers only read; nobody does what is another's."""
    path = f"/sessions/{session_id}/messages"
    feedback = {"type": "feedback", "id": "f1", "hint": "h1", "action": "used"}
    kick = f"/sessions/{session_id}/disconnect"
    allowed = {
        "agent": {"hint", "kick"},
        "facilitator": {"feedback"},
        "observer": set[str](),
    }
    for role, may in allowed.items():
        async with _http(guarded, token(session_id, sub=role, role=role)) as http:
            for name, where, body in (
                ("hint", path, {**_HINT, "id": "h1"}),
                ("feedback", path, feedback),
                ("kick", kick, {"who": "nobody"}),
            ):
                answer = await http.post(where, json=body)
                if name in may:
                    assert answer.is_success, answer.text
                else:
                    _refused(answer, 403, "forbidden")
            assert (await http.get(path)).status_code == 200
            assert (await http.get(f"/sessions/{session_id}/presence")).status_code == 200


async def test_what_facilitators_send(
    relay: LocalRelay, redis_server: RedisServer, session_id: str
) -> None:
    """Feedback, commands and sightings over HTTP are as those over a WebSocket."""
    path = f"/sessions/{session_id}/messages"
    async with (
        HintPublisher(redis_server.url) as publisher,
        _http(relay) as http,
        client(relay.ws_url, session_id) as other,
    ):
        await publisher.hint(session_id, "One.", id="h1")
        assert await other.texts(1) == ["One."]
        feedback = {"type": "feedback", "id": "f1", "hint": "h1", "action": "used"}
        for is_repeated in (False, True):
            answer = await http.post(path, params={"guest": "ada"}, json=feedback)
            assert _offsets(answer) == [2]
            assert answer.json()["messages"][0]["duplicate"] is is_repeated
        told = await other.next()
        assert (told["type"], told["by"], told["hint"]) == ("feedback", "guest-ada", "h1")
        answer = await http.post(
            path, params={"guest": "ada"}, json={"type": "seen", "hints": ["h1"]}
        )
        assert answer.json() == {"messages": [{"id": None, "position": None, "duplicate": False}]}
        async with asyncio.timeout(5):
            while (await publisher.receipt(session_id, "h1")).seen != {"guest-ada"}:
                await asyncio.sleep(0.05)
        for unknown in ({**feedback, "id": "f2", "hint": "no"}, {"type": "seen", "hints": ["no"]}):
            _refused(await http.post(path, json=unknown), 404, "unknown_hint")
        _refused(await http.post(path, params={"guest": "a b"}, json=feedback), 400, "bad_request")


async def test_an_unknown_hint_in_an_array(relay: LocalRelay, session_id: str) -> None:
    """Who names a hint that is not there is told where, and nothing of the array is published."""
    path = f"/sessions/{session_id}/messages"
    known = {"type": "feedback", "id": "f1", "hint": "h1", "action": "used"}
    stop = {"type": "command", "id": "c1", "name": "cancel", "hint": "no"}
    good = [{**_HINT, "id": "h1"}, known]
    key = {"idempotency-key": "k"}
    async with _http(relay) as http:
        for wrong, field in (
            ({**known, "id": "f2", "hint": "no"}, "hint"),
            (stop, "hint"),
            ({"type": "seen", "hints": ["no", "neither"]}, "hints"),
        ):
            body = [*good, wrong]
            said = _refused(await http.post(path, json=body, headers=key), 404, "unknown_hint")
            assert said["errors"][0]["pointer"] == f"/2/{field}"
            assert "messages" not in said
            alone = _refused(await http.post(path, json=wrong), 404, "unknown_hint")
            assert alone["errors"][0]["pointer"] == f"/{field}"
        assert (await http.get(path)).json()["position"] is None
        # The key was not used, and a hint may be named behind itself.
        assert _offsets(await http.post(path, json=good, headers=key)) == [1, 2]


# Bounds


async def test_sizes(redis_server: RedisServer, session_id: str) -> None:
    """Too large a message or body is refused, announced or not, and nothing is published."""
    path = f"/sessions/{session_id}/messages"

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    async with (
        local_relay(redis_server.url, max_body_bytes=5000, max_publication_bytes=1024) as relay,
        _http(relay) as http,
    ):
        _refused(await http.post(path, json={**_HINT, "text": "x" * 2000}), 413, "too_large")
        _refused(await http.post(path, json={**_HINT, "text": "x" * 6000}), 413, "too_large")
        headers = {"content-type": "application/json"}
        _refused(await http.post(path, content=unannounced(), headers=headers), 413, "too_large")
        assert (await http.get(path)).json()["position"] is None
        assert relay.metrics.limits.labels("max_body_bytes")._value.get() == 2
        assert relay.metrics.limits.labels("max_publication_bytes")._value.get() == 1


async def test_a_slow_body(redis_server: RedisServer, session_id: str) -> None:
    """A body that does not come ends the request."""
    async with local_relay(redis_server.url, handshake_timeout_s=0.5) as relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", relay.port)
        writer.write(
            f"POST /sessions/{session_id}/messages HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            "Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{".encode()
        )
        async with asyncio.timeout(5):
            assert b" 408 " in await reader.readline()
            await reader.read()
        writer.close()


async def test_a_body_that_comes_after_its_revocation(
    redis_server: RedisServer, guarded: LocalRelay, session_id: str
) -> None:
    """Who was revoked while a body came slowly does not get it published."""
    shown = token(session_id, role="agent", jti=session_id)
    body = json.dumps(_HINT).encode()
    head = (
        f"POST /sessions/{session_id}/messages HTTP/1.1\r\nHost: localhost\r\n"
        f"Authorization: Bearer {shown}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    async with Broker(redis_server.url) as broker:
        with await RawClient.connect(guarded.port) as raw:
            await raw.send(head.encode() + body[:5])
            async with client(guarded.ws_url, session_id, token=shown) as reader:
                await RevocationLog(broker).add("jti", session_id, for_s=60)
                assert (await reader.closed())[0] == 1008
            answer = await raw.ask(body[5:])
        assert (answer.status, json.loads(answer.body)["code"]) == (401, "unauthorized")
        assert list((await broker.read(session_id)).publications) == []


async def test_rates(redis_server: RedisServer, session_id: str) -> None:
    """Who sends too fast is told when to come back, agents and facilitators each by their rate."""
    path = f"/sessions/{session_id}/messages"
    async with (
        local_relay(
            redis_server.url, publications_per_s=0.1, publication_burst=100, inbound_per_s=0.1,
            inbound_burst=2,
        ) as relay,
        _http(relay) as http,
    ):  # fmt: skip
        assert len(_offsets(await http.post(path, json=[{**_HINT, "id": "h"}] * 100))) == 100
        said = _refused(await http.post(path, json=_HINT), 429, "rate_limited")
        assert said["retry_after_ms"] > 0
        seen = {"type": "seen", "hints": ["h"]}
        assert (await http.post(path, json=[seen, seen])).status_code == 200
        _refused(await http.post(path, json=seen), 429, "rate_limited")
        _refused(await http.post(path, json=[seen] * 3), 400, "bad_request")
        limits = relay.metrics.limits
        assert limits.labels("publications_per_s")._value.get() == 1
        assert limits.labels("inbound_per_s")._value.get() == 2


async def test_who_was_refused(guarded: LocalRelay, session_id: str) -> None:
    """The log says where a refused request came from, also behind a load balancer."""
    with structlog.testing.capture_logs() as lines:
        async with _http(guarded, "wrong") as http:
            for headers in ({}, {"x-forwarded-for": "203.0.113.9"}):
                answer = await http.get(f"/sessions/{session_id}/presence", headers=headers)
                _refused(answer, 401, "unauthorized")
    clients = [line["client"] for line in lines if line["event"] == "request refused"]
    assert clients == ["127.0.0.1", "203.0.113.9"]


async def test_requests_of_one_address(redis_server: RedisServer, session_id: str) -> None:
    """Requests count like handshakes: too many from one address get 429."""
    async with (
        local_relay(
            redis_server.url, trusted_proxies="127.0.0.1",
            handshakes_per_address_per_s=0.1, handshake_burst_per_address=3,
        ) as relay,
        _http(relay) as http,
    ):  # fmt: skip
        headers = {"x-forwarded-for": "192.0.2.7"}
        path = f"/sessions/{session_id}/presence"
        for _ in range(3):
            assert (await http.get(path, headers=headers)).status_code == 200
        said = _refused(await http.get(path, headers=headers), 429, "limit_reached")
        assert said["retry_after_ms"] > 1000
        assert (await http.get(path, headers={"x-forwarded-for": "192.0.2.8"})).is_success


# Reading


async def test_history(relay: LocalRelay, redis_server: RedisServer, session_id: str) -> None:
    """What is kept is read page by page to its end, growing hints in one piece."""
    path = f"/sessions/{session_id}/messages"
    async with HintPublisher(redis_server.url) as publisher, _http(relay) as http:
        empty = (await http.get(path)).json()
        assert empty == {"messages": [], "position": None, "recovered": None, "more": False}
        for number in range(25):
            await publisher.transcript(session_id, str(number))
        async with publisher.stream_hint(session_id) as growing:
            await growing.append("All of it.")
        last = await publisher.hint(session_id, "last")
        pages: list[dict[str, Any]] = []
        since: dict[str, str] = {}
        while not pages or pages[-1]["more"]:
            pages.append((await http.get(path, params={"limit": "10", **since})).json())
            since = {"since": pages[-1]["messages"][-1]["position"]}
        assert [len(page["messages"]) for page in pages] == [10, 10, 7]
        assert [page["recovered"] for page in pages] == [None, True, True]
        assert {page["position"] for page in pages} == {str(last.position)}
        texts = [one["text"] for page in pages for one in page["messages"]]
        assert texts == [*map(str, range(25)), "All of it.", "last"]
        nothing = (await http.get(path, params={"since": str(last.position)})).json()
        assert (nothing["messages"], nothing["recovered"], nothing["more"]) == ([], True, False)
        foreign = (await http.get(path, params={"since": "5-5"})).json()
        assert (len(foreign["messages"]), foreign["recovered"]) == (27, False)


async def test_a_trimmed_history(redis_server: RedisServer, session_id: str) -> None:
    """Who asks for more than is kept is told so; whose position is still kept, is not."""
    path = f"/sessions/{session_id}/messages"
    async with local_relay(redis_server.url, log_messages=5) as relay, _http(relay) as http:
        beginning = ""
        for first in range(0, 300, 100):
            batch = [{"type": "custom", "n": number} for number in range(first, first + 100)]
            answer = await http.post(path, json=batch)
            beginning = beginning or answer.json()["messages"][0]["position"]
        late = (await http.get(path, params={"since": beginning})).json()
        assert late["recovered"] is False
        assert 5 <= len(late["messages"]) < 299
        assert late["messages"][-1]["n"] == 299
        oldest = late["messages"][0]["position"]
        kept = (await http.get(path, params={"since": oldest, "limit": "1"})).json()
        assert (kept["recovered"], kept["more"]) == (True, True)
        assert kept["messages"] == late["messages"][1:2]


async def test_a_page_of_history_is_bounded(relay: LocalRelay, session_id: str) -> None:
    """A page ends when it is large enough, whatever its limit."""
    path = f"/sessions/{session_id}/messages"
    async with _http(relay) as http:
        for _ in range(10):
            await http.post(path, json=[{**_HINT, "text": "x" * 50_000}] * 16)
        page = (await http.get(path, params={"limit": "1000"})).json()
    assert page["more"]
    size = sum(len(json.dumps(one)) for one in page["messages"])
    assert 2**20 <= size < 2**20 + 51_000


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"limit": "0"}, "bad_request"), ({"limit": "1001"}, "bad_request"),
        ({"limit": "-1"}, "bad_request"), ({"limit": "many"}, "bad_request"),
        ({"limit": "٣"}, "bad_request"), ({"limit": str(_HUGE)}, "bad_request"),
        ({"since": "yesterday"}, "bad_position"), ({"since": f"1-{_HUGE}"}, "bad_position"),
    ],
)  # fmt: skip
async def test_wrong_questions(
    relay: LocalRelay, session_id: str, query: dict[str, str], code: str
) -> None:
    """What can't be asked is said."""
    async with _http(relay) as http:
        _refused(await http.get(f"/sessions/{session_id}/messages", params=query), 400, code)


async def test_too_much_history(redis_server: RedisServer, session_id: str) -> None:
    """Who asks for more than a page may have is told how much that is, and counted."""
    path = f"/sessions/{session_id}/messages"
    async with local_relay(redis_server.url, max_history=10) as relay, _http(relay) as http:
        assert (await http.get(path, params={"limit": 10})).status_code == 200
        told = _refused(await http.get(path, params={"limit": 11}), 400, "bad_request")
        assert "from 1 to 10" in told["detail"]
        assert relay.count_of("limits_reached", limit="max_history") == 1


async def test_presence_and_disconnecting(redis_server: RedisServer, session_id: str) -> None:
    """An agent sees who is there on all relays, and sends out one person, or all, and nobody else."""
    path = f"/sessions/{session_id}"
    async with (
        local_relay(redis_server.url, jwt_secret=SECRET) as one,
        local_relay(redis_server.url, jwt_secret=SECRET) as two,
        HintPublisher(redis_server.url) as publisher,
        _http(one, token(session_id, role="agent")) as http,
        client(one.ws_url, session_id, token=token(session_id, sub="ada")),
        client(two.ws_url, session_id, token=token(session_id, sub="ada")) as ada,
        client(two.ws_url, session_id, token=token(session_id, sub="bea")) as bea,
        client(two.ws_url, session_id, token=token(session_id, role="observer", sub="oz")) as oz,
    ):
        async with asyncio.timeout(10):
            while (await http.get(f"{path}/presence")).json()["facilitators"] != 2:
                await asyncio.sleep(0.05)
        assert (await http.get(f"{path}/presence")).json()["who"] == ["ada", "bea"]
        first = await publisher.hint(session_id, "First.")
        heard = publisher.listen(session_id, first.position)
        await publisher.hint(session_id, "Second.")
        # From here on it listens.
        assert (await anext(heard)).type == "hint"
        answer = await http.post(f"{path}/disconnect", json={"who": "ada"})
        assert answer.status_code == 202
        assert answer.json()["relays"] >= 2
        assert (await ada.closed())[0] == 4103
        await publisher.hint(session_id, "Still here?", id="h1")
        assert await bea.texts(3) == ["First.", "Second.", "Still here?"]
        assert (await http.post(f"{path}/disconnect", json={})).status_code == 202
        assert (await bea.closed())[0] == (await oz.closed())[0] == 4103
        # An agent that listens is nobody to be sent out.
        async with client(one.ws_url, session_id, token=token(session_id, sub="ada")) as back:
            await back.send({"type": "feedback", "id": "f", "hint": "h1", "action": "used"})
            async with asyncio.timeout(5):
                assert (await anext(heard)).type == "hint"
                assert (await anext(heard)).type == "feedback"
        await heard.aclose()
        # Whoever misspells it must not send everybody out.
        wrong: list[Any] = [{"who": 5}, {"who": ""}, [{}], {"who": None}, {"name": "ada"}]
        for body in wrong:
            _refused(await http.post(f"{path}/disconnect", json=body), 400, "bad_request")


# Around it


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/sessions/s", 404, "not_found"),
        ("GET", "/sessions/s/messages/1", 404, "not_found"),
        ("DELETE", "/sessions/s/messages", 405, "method_not_allowed"),
        ("POST", "/sessions/s/presence", 405, "method_not_allowed"),
        ("GET", "/sessions/s/disconnect", 405, "method_not_allowed"),
        ("POST", "/events", 405, "method_not_allowed"),
        ("GET", "/sessions/a%20b/messages", 400, "bad_session"),
        ("GET", "/sessions/%C3%A9/messages", 400, "bad_session"),
        ("GET", f"/sessions/{'s' * 129}/presence", 400, "bad_session"),
    ],
)
async def test_wrong_addresses(
    relay: LocalRelay, method: str, path: str, status: int, code: str
) -> None:
    """What is not there, or not so, is a problem like any other."""
    async with _http(relay) as http:
        answer = await http.request(method, path)
        _refused(answer, status, code)
        assert ("allow" in answer.headers) == (status == 405)


async def test_what_an_address_takes(relay: LocalRelay) -> None:
    """Who uses a wrong method is told all the right ones, and can look with HEAD."""
    path = "/sessions/s/messages"
    async with _http(relay) as http:
        wrong = await http.delete(path)
        assert {one.strip() for one in wrong.headers["allow"].split(",")} == {"GET", "HEAD", "POST"}
        for address in (path, "/sessions/s/presence", "/health/live", "/metrics", "/openapi.json"):
            looked, got = await http.head(address), await http.get(address)
            assert looked.status_code == got.status_code == 200, address
            assert looked.headers["content-type"] == got.headers["content-type"]
            assert looked.content == b""


async def test_without_a_token(guarded: LocalRelay, session_id: str) -> None:
    """Every way in asks for a token, and says how one is sent."""
    ways = [
        ("GET", f"/sessions/{session_id}/messages"), ("POST", f"/sessions/{session_id}/messages"),
        ("GET", f"/sessions/{session_id}/presence"), ("POST", f"/sessions/{session_id}/disconnect"),
        ("GET", f"/events?session={session_id}"),
    ]  # fmt: skip
    for shown in (None, "garbage", token(session_id, exp=1)):
        async with _http(guarded, shown) as http:
            for method, path in ways:
                answer = await http.request(method, path)
                _refused(answer, 401, "unauthorized")
                assert answer.headers["www-authenticate"].startswith("Bearer")
    async with _http(guarded) as http:
        basic = await http.get(ways[0][1], headers={"authorization": "Basic YTpi"})
        _refused(basic, 401, "unauthorized")
        assert (await http.get(ways[0][1], params={"token": token(session_id)})).is_success


async def test_another_name_of_a_local_relay(relay: LocalRelay, session_id: str) -> None:
    """Who opens a relay without tokens by a name of the network is told what would help."""
    async with _http(relay) as http:
        answer = await http.get(
            f"/sessions/{session_id}/messages", headers={"host": "coach.example.com:8000"}
        )
    assert "localhost" in _refused(answer, 403, "forbidden")["detail"]


async def test_pages_of_other_origins(redis_server: RedisServer, session_id: str) -> None:
    """A page of a configured origin may ask and read the answer; any other may do neither."""
    path = f"/sessions/{session_id}/messages"
    asks = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,idempotency-key",
    }
    async with (
        local_relay(redis_server.url, insecure=True, allowed_origins="https://a.example") as relay,
        _http(relay) as http,
    ):
        for origin, may in (("https://a.example", True), ("https://b.example", False)):
            headers = {"origin": origin}
            preflight = await http.options(path, headers={**headers, **asks})
            answer = await http.post(path, json=_HINT, headers=headers)
            shown = answer.headers.get("access-control-allow-origin")
            if may:
                assert preflight.status_code == 200
                assert (shown, answer.status_code) == (origin, 200)
                assert "retry-after" in answer.headers["access-control-expose-headers"].lower()
            else:
                assert preflight.status_code == 400
                assert shown is None
                _refused(answer, 403, "forbidden")
        kept = (await http.get(path)).json()["messages"]
    assert len(kept) == 1


async def test_a_history_with_what_is_not_utf8(
    relay: LocalRelay, redis_server: RedisServer, session_id: str
) -> None:
    """A kept message that is not UTF-8 has replacement marks, as live, and spoils no other."""
    async with Broker(redis_server.url) as broker, _http(relay) as http:
        for text in (b"one", b"\xff\xfe", b"two"):
            await broker.publish(session_id, b'{"type":"own","text":"%b"}' % text, text.hex())
        answer = await http.get(f"/sessions/{session_id}/messages")
    kept = json.loads(answer.content)["messages"]
    assert [one["text"] for one in kept] == ["one", "\ufffd\ufffd", "two"]


async def test_histories_that_nobody_reads(redis_server: RedisServer, session_id: str) -> None:
    """Who asks for more long answers than it reads is told to come back; others are served."""
    path = f"/sessions/{session_id}/messages"
    async with (
        local_relay(redis_server.url, max_history_answers=3, linger_s=0.0) as relay,
        HintPublisher(redis_server.url) as publisher,
        _http(relay) as http,
        AsyncExitStack() as stack,
    ):
        for _ in range(20):
            await publisher.hint(session_id, "x" * 50_000)
        all_deaf = [await RawClient.connect(relay.port, receive_buffer=4096) for _ in range(3)]
        for deaf in all_deaf:
            stack.enter_context(deaf)
            await deaf.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(5):
            while (answer := await http.get(path)).status_code == 200:
                assert len(answer.json()["messages"]) == 20
        _refused(answer, 429, "limit_reached")
        assert relay.count_of("limits_reached", limit="max_history_answers") >= 1
        assert (await http.get(path, params={"guest": "another"})).status_code == 200
        assert (await http.head(path, params={"guest": "another"})).status_code == 200
        all_deaf[0].reset()
        async with asyncio.timeout(5):
            while (await http.get(path)).status_code == 429:
                await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "path",
    ["/events/?session={}", "/sessions/{}/messages/", "/sessions/{}/presence/", "/health/live/"],
)
async def test_no_redirects(relay: LocalRelay, session_id: str, path: str) -> None:
    """An address with a slash too many is none: a redirect could take a token where TLS is not."""
    async with _http(relay) as http:
        _refused(await http.get(path.format(session_id)), 404, "not_found")


async def test_an_operators_numbers(redis_server: RedisServer) -> None:
    """Metrics and details of health are for those who are near, and not through a proxy."""
    async with local_relay(redis_server.url) as relay, _http(relay) as http:
        assert "hint_relay_limits_reached" in (await http.get("/metrics")).text
        through = {"x-forwarded-for": "192.0.2.1"}
        _refused(await http.get("/metrics", headers=through), 404, "not_found")
        for foreign in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
            _refused(await http.get("/metrics", headers=foreign), 404, "not_found")
        assert (await http.get("/health/ready", headers=through)).is_success
        assert (await http.get("/health/live")).headers["x-content-type-options"] == "nosniff"


async def test_health_hides_the_network() -> None:
    """A stranger is told that Redis is away, and not where it is."""
    with RedisServer() as redis:
        async with local_relay(redis.url, redis_timeout_s=0.5) as relay, _http(relay) as http:
            redis.kill()
            near = await http.get("/health/ready")
            far = await http.get("/health/ready", headers={"x-forwarded-for": "192.0.2.1"})
    assert near.status_code == far.status_code == 503
    assert str(redis.port) in near.text or "127.0.0.1" in near.text
    assert far.json()["problems"]["redis"] == "away"


async def test_failures_hide_the_network(session_id: str) -> None:
    """Who asks for something while Redis is away is not told where it is; the log is."""
    path = f"/sessions/{session_id}"
    feedback = {"type": "feedback", "id": "f1", "hint": "h1", "action": "used"}
    with RedisServer() as redis, RelayProcess(redis.url, "--redis-timeout-s", "0.5") as relay:
        async with httpx.AsyncClient(base_url=relay.base_url, trust_env=False) as http:
            redis.kill()
            for answer in (
                await http.post(f"{path}/messages", json=_HINT),
                await http.post(f"{path}/messages", json=_HINT, headers={"idempotency-key": "k"}),
                await http.post(f"{path}/messages", json=feedback),
                await http.get(f"{path}/messages"),
                await http.get(f"{path}/presence"),
                await http.post(f"{path}/disconnect", json={}),
            ):
                _refused(answer, 503, "unavailable")
                assert str(redis.port) not in answer.text
        failures = [line for line in relay.output.splitlines() if "request failed" in line]
        assert len(failures) == 6
        assert all(str(redis.port) in line and session_id in line for line in failures)


async def test_a_session_that_was_about_to_close(
    redis_server: RedisServer, session_id: str
) -> None:
    """A request keeps its session open to its end, also when everybody had left it just before."""
    async with local_relay(redis_server.url, linger_s=0.05) as relay:
        with relay.hub.visit(session_id):
            pass
        # It lingers now.
        with relay.hub.visit(session_id) as room:
            await asyncio.sleep(0.2)
            assert relay.hub.rooms == 1
            assert await room.known_hints({"h"}) == set()
        await relay.until_nothing_is_left()
