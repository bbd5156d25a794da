"""A token is for its sessions, whatever way somebody tries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from producers import HintPublisher
from tests.support.client import client
from tests.support.relay import local_relay
from tests.support.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.redis import RedisServer
    from tests.support.relay import LocalRelay

_HINT = {"type": "hint", "text": "forged"}
_FEEDBACK = {"type": "feedback", "id": "f", "hint": "h1", "action": "used"}


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay that asks for tokens."""
    async with local_relay(redis_server.url, jwt_secret=SECRET, linger_s=0) as relay:
        yield relay


@pytest.mark.parametrize("role", ["agent", "facilitator", "observer"])
@pytest.mark.parametrize(
    ("method", "path", "query", "body"),
    [
        ("GET", "/sessions/{b}/messages", {}, None),
        ("GET", "/sessions/{b}/messages", {"since": "{since}"}, None),
        ("GET", "/sessions/{b}/presence", {}, None),
        ("POST", "/sessions/{b}/messages", {}, _HINT),
        ("POST", "/sessions/{b}/messages", {}, [_HINT, _HINT]),
        ("POST", "/sessions/{b}/messages", {"guest": "ada"}, _FEEDBACK),
        ("POST", "/sessions/{b}/messages", {}, {"type": "seen", "hints": ["h1"]}),
        ("POST", "/sessions/{b}/disconnect", {}, {}),
        ("POST", "/sessions/{b}/disconnect", {}, {"who": "ada"}),
        ("GET", "/events", {"session": "{b}"}, None),
        ("GET", "/events", {"session": "{b}", "since": "{since}"}, None),
        ("HEAD", "/events", {"session": "{b}"}, None),
        # Whoever says two things is not believed the better one.
        ("GET", "/events", {"session": "{b}", "token": "{good}"}, None),
    ],
)
async def test_no_way_into_another_session(
    relay: LocalRelay,
    redis_server: RedisServer,
    session_id: str,
    role: str,
    method: str,
    path: str,
    query: dict[str, str],
    body: Any,
) -> None:
    """With a token for session A nothing of B is read, published, seen or ended."""
    a, b = f"{session_id}-a", f"{session_id}-b"
    shown = token([a, f"{session_id}-bb*"], sub="eve", role=role)
    good = token(b, sub="ada")
    async with (
        HintPublisher(redis_server.url) as publisher,
        client(relay.ws_url, b, token=good) as watched,
        httpx.AsyncClient(base_url=relay.base_url, trust_env=False) as http,
    ):
        since = (await publisher.hint(b, "secret", id="h1")).position
        assert await watched.texts(1) == ["secret"]
        words = {name: value.format(b=b, since=since, good=good) for name, value in query.items()}
        answer = await http.request(
            method,
            path.format(b=b),
            params=words,
            json=body,
            headers={"authorization": f"Bearer {shown}", "last-event-id": str(since)},
        )
        assert answer.status_code in (401, 403)
        assert "secret" not in answer.text
        # Nothing has come of it.
        assert (await publisher.hint(b, "after", id="h2")).position.offset == since.offset + 1
        assert await watched.texts(1) == ["after"]
        assert (await publisher.receipt(b, "h1")).seen == frozenset()


@pytest.mark.parametrize("query", [{}, {"since": "{since}"}, {"replay": "0"}])
async def test_no_socket_into_another_session(
    relay: LocalRelay, redis_server: RedisServer, session_id: str, query: dict[str, str]
) -> None:
    """The same over a WebSocket, also with a position of the other session."""
    a, b = f"{session_id}-a", f"{session_id}-b"
    async with HintPublisher(redis_server.url) as publisher:
        since = str((await publisher.hint(b, "secret")).position)
    words: Any = {name: value.format(since=since) for name, value in query.items()}
    async with client(relay.ws_url, b, welcome=False, token=token(a), **words) as eve:
        code, reason, said = await eve.closed()
    assert (code, reason) == (1008, "Unauthorized")
    assert [one["code"] for one in said] == ["forbidden"]
    # A position of B is one like any other in A: it brings nothing of B.
    async with client(relay.ws_url, a, welcome=False, token=token(a), since=since) as eve:
        first = await eve.next()
        assert (first["recovered"], first["snapshot"]) == (False, 0)


async def test_a_refreshed_token_stays_in_its_session(relay: LocalRelay, session_id: str) -> None:
    """A newer token that is for another session changes nothing."""
    async with client(relay.ws_url, session_id, token=token(session_id, sub="ada")) as ada:
        await ada.send({"type": "refresh", "token": token("another", sub="ada")})
        assert (await ada.next_of("error"))["code"] == "forbidden"
