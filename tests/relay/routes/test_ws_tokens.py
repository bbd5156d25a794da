"""Who comes in with which token, on a running server over both kinds of socket."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from producers import HintPublisher
from relay.auth.jwks import Jwks
from relay.broker.broker import Broker
from relay.broker.revocations import RevocationLog
from tests.support.client import Client, client
from tests.support.issuer import Issuer, issuer
from tests.support.relay import LocalRelay, RelayProcess, local_relay
from tests.support.tokens import (
    OTHER_SECRET,
    SECRET,
    claims,
    key_pair,
    signed,
    token,
    unsigned,
)
from tests.support.websocket import RawClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from tests.support.redis import RedisServer
    from tests.support.sockets import Sockets

_HS256 = {"alg": "HS256", "typ": "JWT"}


@pytest.fixture(autouse=True)
def _short_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here needs a second to read a close frame."""
    monkeypatch.setattr("relay.socket.connection._FAREWELL_S", 0.2)


@pytest.fixture
async def relay(sockets: Sockets, redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay with a secret, whose clock is as good as everybody's."""
    async with local_relay(
        redis_server.url, options=sockets.options, jwt_secret=SECRET, jwt_leeway_s=0.0, linger_s=0.0
    ) as relay:
        yield relay


def _ways(made: str) -> list[dict[str, Any]]:
    """Return the three ways of sending a token."""
    return [
        {"token": made},
        {"headers": [("Authorization", f"Bearer {made}")]},
        {"subprotocols": ["hints.v1", f"bearer.{made}"]},
    ]


async def _refusal(relay: LocalRelay, session: str, **how: Any) -> tuple[int, str, dict[str, Any]]:
    """Return code, reason and error of a refused connection; nothing else may be said."""
    async with client(relay.ws_url, session, welcome=False, **how) as refused:
        code, reason, messages = await refused.closed()
    (error,) = messages
    assert error["type"] == "error"
    assert error["text"].endswith("."), error
    return code, reason, error


async def _assert_refused(relay: LocalRelay, session: str, code: str, **how: Any) -> None:
    got = await _refusal(relay, session, **how)
    assert (got[0], got[1], got[2]["code"]) == (1008, "Unauthorized", code), (how, got)


async def _assert_taken(relay: LocalRelay, session: str, made: str) -> None:
    async with client(relay.ws_url, session, token=made):
        pass


def _wrong_tokens(session: str) -> Iterator[str]:
    """Yield tokens that a relay with a secret has to refuse."""
    now_s = int(time.time())
    good = token(session)
    head, payload, signature = good.split(".")
    yield from (
        "garbage",
        "a.b.c",
        "..",
        "null",
        "undefined",
        "e30.e30.e30",
        "é",
        good[:-3],
        good * 2,
    )
    for algorithm in ("none", "None", "NONE", "nOnE"):
        yield unsigned({"alg": algorithm, "typ": "JWT"}, claims(session))
        yield unsigned({"alg": algorithm}, claims(session))[:-1]
        yield signed({"alg": algorithm}, claims(session))
    yield f"{head}.{payload}."
    yield f"{head}.{token('another').split('.')[1]}.{signature}"
    yield f"{head}.{payload}.{token('another').split('.')[2]}"
    yield token(session, secret=OTHER_SECRET)
    yield signed(_HS256, claims(session), b"")
    for algorithm in ("RS256", "PS256", "ES256", "EdDSA"):
        yield key_pair(algorithm).token(session)
        yield signed({"alg": algorithm}, claims(session))
    yield token(session, exp=None)
    yield token(session, exp=now_s - 1)
    yield token(session, exp=now_s)
    yield token(session, exp="tomorrow")
    yield token(session, nbf=now_s + 60)
    yield token(session, iat=now_s + 60)
    for role in ("admin", "", "FACILITATOR", 7, ["agent"]):
        yield token(session, role=role)
    for sessions in (None, [], "", "a b", "*x", ["*", ""], {"any": 1}, 7, True):
        yield token(session, sessions=sessions)
    yield token(session, sub="")
    yield token(session, sub="x" * 129)
    yield token(session, sub="two\nlines")
    headers: list[dict[str, Any]] = [
        {"crit": ["b64"], "b64": False}, {"crit": ["x"], "x": 1}, {"crit": []}, {"kid": 7}, {"kid": None},
    ]  # fmt: skip
    for header in headers:
        yield signed({**_HS256, **header}, claims(session))
    yield token(session, padding="x" * 4000)
    yield "x" * 5000


async def test_wrong_tokens(relay: LocalRelay, session_id: str) -> None:
    """Each wrong token is refused with 1008 and why, however it comes; none leaves anything behind."""
    count = 1
    await _assert_refused(relay, session_id, "unauthorized")
    for number, wrong in enumerate(_wrong_tokens(session_id)):
        ways = _ways(wrong) if wrong.isascii() else [{"token": "%C3%A9"}]
        await _assert_refused(relay, session_id, "unauthorized", **ways[number % len(ways)])
        count += 1
    assert relay.count_of("refused", code="unauthorized") == count
    await relay.until_nothing_is_left()
    await _assert_taken(relay, session_id, token(session_id))


async def test_good_tokens(relay: LocalRelay, session_id: str) -> None:
    """A good one is taken in all three ways; the first message tells what it allows."""
    exp = int(time.time()) + 60
    for role in ("facilitator", "observer", "agent"):
        made = token(session_id, sub="ada", role=role, exp=exp)
        for how in _ways(made):
            async with client(relay.ws_url, session_id, **how) as reader:
                assert reader.first["you"] == "ada"
                assert (reader.first["role"], reader.first["expires_at"]) == (role, exp)
                wanted = "hints.v1" if "subprotocols" in how else None
                assert reader.websocket.subprotocol == wanted
    await relay.until_nothing_is_left()


async def test_a_guest(relay: LocalRelay, session_id: str) -> None:
    """A token that does not say whose it is leaves its holder the name of a guest."""
    async with client(relay.ws_url, session_id, token=token(session_id), guest="mara") as reader:
        assert reader.first["you"] == "guest-mara"
    async with client(
        relay.ws_url, session_id, token=token(session_id, sub="ada"), guest="mara"
    ) as one:
        assert one.first["you"] == "ada"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_other_hashes(relay: LocalRelay, session_id: str, algorithm: str) -> None:
    """A secret that is long enough is good for the longer hashes, too."""
    await _assert_taken(relay, session_id, signed({"alg": algorithm}, claims(session_id)))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_public_keys(
    sockets: Sockets, redis_server: RedisServer, session_id: str, tmp_path: Path, algorithm: str
) -> None:
    """What the private key signed is taken; what the public one signed as if it were a secret is not."""
    pair = key_pair(algorithm)
    key_file = tmp_path / "public.pem"
    key_file.write_bytes(pair.public_pem)
    async with local_relay(
        redis_server.url, options=sockets.options, jwt_key_file=key_file
    ) as relay:
        await _assert_taken(relay, session_id, pair.token(session_id))
        for claimed in ("HS256", "HS384", "HS512", "none", algorithm):
            for secret in (pair.public_pem, pair.public_pem.strip()):
                forged = signed({"alg": claimed, "typ": "JWT"}, claims(session_id), secret)
                await _assert_refused(relay, session_id, "unauthorized", token=forged)
        stranger = key_pair(algorithm, "another")
        await _assert_refused(relay, session_id, "unauthorized", token=stranger.token(session_id))
        await _assert_refused(relay, session_id, "unauthorized", token=token(session_id))


async def test_clocks(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """Clocks may differ by the leeway and no more, at both ends of a token's life."""
    async with local_relay(
        redis_server.url, options=sockets.options, jwt_secret=SECRET, jwt_leeway_s=30.0
    ) as relay:
        now_s = int(time.time())
        for claim, ahead_s in (("exp", -20), ("nbf", 20), ("iat", 20)):
            good = signed(_HS256, claims(session_id, **{claim: now_s + ahead_s}))
            await _assert_taken(relay, session_id, good)
        for claim, ahead_s in (("exp", -31), ("nbf", 60), ("iat", 60)):
            wrong = signed(_HS256, claims(session_id, **{claim: now_s + ahead_s}))
            await _assert_refused(relay, session_id, "unauthorized", token=wrong)


async def test_audience_and_issuer(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Where audience and issuer are configured, a token must have both."""
    async with local_relay(
        redis_server.url, options=sockets.options, jwt_secret=SECRET, jwt_audience="relay",
        jwt_issuer="us",
    ) as relay:  # fmt: skip
        await _assert_taken(relay, session_id, token(session_id, aud=["x", "relay"], iss="us"))
        for wrong in (
            {}, {"aud": "relay"}, {"iss": "us"}, {"aud": "x", "iss": "us"}, {"aud": "relay", "iss": "x"},
            {"aud": ["x"], "iss": "us"}, {"aud": "relay", "iss": ["us"]}, {"aud": "", "iss": "us"},
        ):  # fmt: skip
            made = token(session_id, **wrong)
            await _assert_refused(relay, session_id, "unauthorized", token=made)


async def test_another_session(relay: LocalRelay, session_id: str) -> None:
    """A good token for another session is forbidden here, whether it exists and whatever it asks for."""
    other = f"{session_id}-b"
    async with HintPublisher(relay.settings.redis_url) as publisher:
        sent = await publisher.hint(other, "private")
    mine = token([session_id, f"{session_id}-x*"])
    await _assert_refused(relay, other, "forbidden", token=mine)
    await _assert_refused(relay, other, "forbidden", token=mine, since=str(sent.position))
    await _assert_refused(relay, other, "forbidden", token=mine, since="1-1", replay="99")
    await _assert_refused(relay, f"{session_id}-nobody", "forbidden", token=mine)
    assert relay.hub.rooms == 0, "nothing was opened for it"
    await _assert_taken(relay, session_id, mine)
    await _assert_taken(relay, f"{session_id}-xyz", mine)
    await _assert_taken(relay, f"{session_id}-x", mine)
    await _assert_taken(relay, other, token(f"{session_id}*"))
    await _assert_taken(relay, other, token("*"))
    # A star in the address is no session, and stands for nothing.
    code, _, error = await _refusal(relay, "*", token=token("*"))
    assert (code, error["code"]) == (4101, "bad_session")


async def test_several_tokens(relay: LocalRelay, session_id: str) -> None:
    """Two different tokens are refused, though both are good; the same one twice is one."""
    one, two = token(session_id, sub="ada"), token(session_id, sub="ben")
    pairs: list[dict[str, Any]] = [
        {"token": one, "headers": [("Authorization", f"Bearer {two}")]},
        {"token": one, "subprotocols": ["hints.v1", f"bearer.{two}"]},
        {"subprotocols": [f"bearer.{one}", f"bearer.{two}"]},
        {"headers": [("Authorization", f"Bearer {one}"), ("Authorization", f"Bearer {two}")]},
        {"headers": [("Authorization", "Basic dTpw")]},
        {"token": one, "headers": [("Authorization", "Basic dTpw")]},
    ]
    for both in pairs:
        await _assert_refused(relay, session_id, "unauthorized", **both)
    async with client(
        relay.ws_url, session_id, token=one, headers=[("Authorization", f"Bearer {one}")]
    ):
        pass


async def test_a_wrong_session_id_without_a_token(relay: LocalRelay) -> None:
    """Who has no token learns nothing else: it is asked for first."""
    await _assert_refused(relay, "a%20b", "unauthorized")
    async with connect(relay.ws_url, proxy=None) as websocket:
        _, _, messages = await Client(websocket).closed()
    assert messages[0]["code"] == "unauthorized"


# What is written down


def _secrets_in(text: str, *secrets: str) -> list[str]:
    """Return those that a text holds, be it a part: a log may cut long words."""
    return [
        one
        for one in secrets
        for begin in range(0, len(one) - 15, 4)
        if one[begin : begin + 16] in text
    ]


async def test_tokens_stay_out_of_the_log(relay: LocalRelay, session_id: str) -> None:
    """Neither a good token nor a bad one is in any line, in whichever way it came."""
    good, bad = token(session_id, sub="ada"), token(session_id, secret=OTHER_SECRET)
    with structlog.testing.capture_logs() as lines:
        for how in _ways(good):
            async with client(relay.ws_url, session_id, **how) as reader:
                await reader.send({"type": "refresh", "token": bad})
                assert (await reader.next())["code"] == "unauthorized"
                await reader.send({"type": "refresh", "token": [bad]})
                assert (await reader.next())["code"] == "bad_message"
        for how in _ways(bad):
            await _refusal(relay, session_id, **how)
            await _refusal(relay, "a%20b", **how)
        await relay.until_nothing_is_left()
    assert len(lines) >= 15
    assert _secrets_in(str(lines), good.split(".")[1], bad.split(".")[2], SECRET) == []


async def test_nothing_secret_on_stderr(redis_server: RedisServer, session_id: str) -> None:
    """A process that logs all it can writes no token and no secret, also for malformed requests."""
    good, bad = token(session_id, sub="ada"), token(session_id, secret=OTHER_SECRET)
    flags = ("--log-level", "debug")
    environment = {"RELAY_JWT_SECRET": SECRET}
    with RelayProcess(redis_server.url, *flags, environment=environment) as relay:
        for made in (good, bad):
            for how in _ways(made):
                async with client(relay.ws_url, session_id, welcome=False, **how) as reader:
                    await reader.next()
                    if made == good:
                        await reader.send({"type": "refresh", "token": good})
                        assert (await reader.next())["type"] == "refreshed"
                        await reader.send({"type": "refresh", "token": bad})
                        assert (await reader.next())["code"] == "unauthorized"
        for request in (
            f"GET /ws?session=x&token={good} HTTP/9.9\r\n\r\n",
            f"GET /ws?token={good} HTTP/1.1\r\nno header {good}\r\n\r\n",
            f"GET /ws?token={good} HTTP/1.1\r\nAuthorization: Bearer {good}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nHost: localhost\r\nSec-WebSocket-Version: 7\r\n\r\n",
            f"GET /nothing?token={good} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {good}\r\n\r\n",
            f"GET /ws?token={good}{'x' * 20_000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            f"{good}\r\n\r\n",
        ):
            with await RawClient.connect(relay.port) as raw:
                await raw.send(request.encode())
                await raw.read_answer()
        assert await asyncio.to_thread(relay.stop) == 0
        parts = [part for made in (good, bad) for part in made.split(".")[1:]]
        assert _secrets_in(relay.output, *parts, SECRET) == []
        assert "debug" in relay.output
        assert "Traceback" not in relay.output


# Expiry and refreshing


@pytest.mark.alone
async def test_expiry(relay: LocalRelay, session_id: str) -> None:
    """An open connection is closed with 4004 when its token expires, unless it has shown a newer one."""
    exp = int(time.time() + 2.5)
    old = token(session_id, sub="ada", exp=exp)
    refreshed: dict[str, Any] = {}

    async def expire(*refused: str) -> None:
        async with client(relay.ws_url, session_id, token=old) as reader:
            for wrong in refused:
                await reader.send({"type": "refresh", "token": wrong})
                error = await reader.next_of("error")
                assert error["code"] in ("unauthorized", "forbidden"), error
                assert "ref" not in error or error["ref"] is None
            code, reason, _ = await reader.closed()
            assert (code, reason) == (4004, "Token expired")
            assert exp <= time.time() < exp + 2.5
        await _assert_refused(relay, session_id, "unauthorized", token=old)

    async def go_on() -> None:
        async with client(relay.ws_url, session_id, token=old) as reader:
            newer = token(session_id, sub="ada", exp=exp + 60)
            await reader.send({"type": "refresh", "token": newer})
            refreshed.update(await reader.next())
            await asyncio.sleep(max(0.0, exp + 2.5 - time.time()))
            await reader.send({"type": "ping"})
            assert (await reader.next())["type"] == "heartbeat"

    await asyncio.gather(
        expire(),
        expire(
            token(session_id, sub="ben"),
            token(session_id),
            token("another", sub="ada"),
            token(session_id, sub="ada", exp=int(time.time()) - 1),
            token(session_id, sub="ada", role="observer"),
            token(session_id, sub="ada", secret=OTHER_SECRET),
            unsigned({"alg": "none"}, claims(session_id, sub="ada")),
            "garbage",
            "",
        ),
        go_on(),
    )
    assert refreshed == {"type": "refreshed", "expires_at": exp + 60.0, "role": "facilitator"}
    assert relay.count_of("expired_tokens") == 2
    await relay.until_nothing_is_left()


async def test_refreshing_an_open_relay(
    sockets: Sockets, redis_server: RedisServer, session_id: str
) -> None:
    """Where no tokens are asked for there is nothing to refresh, and that is said."""
    async with (
        local_relay(redis_server.url, options=sockets.options) as relay,
        client(relay.ws_url, session_id) as reader,
    ):
        assert "role" not in reader.first
        assert "expires_at" not in reader.first
        await reader.send({"type": "refresh", "token": token(session_id)})
        assert (await reader.next())["code"] == "bad_message"


# Roles


async def test_observers(relay: LocalRelay, session_id: str) -> None:
    """An observer reads, is told that it may not send, and is nobody that an agent speaks to."""
    watching = token(session_id, sub="ada")
    observing = token(session_id, sub="eve", role="observer")
    async with (
        HintPublisher(relay.settings.redis_url) as publisher,
        client(relay.ws_url, session_id, token=observing) as observer,
        client(relay.ws_url, session_id, token=watching) as facilitator,
    ):
        # First, because whatever else is read passes over it.
        presence = await facilitator.next_of("presence")
        assert (presence["facilitators"], presence["who"]) == (1, ["ada"])
        hint = await publisher.hint(session_id, "Breathe.")
        assert await observer.texts(1) == ["Breathe."]
        for message in (
            {"type": "feedback", "id": "f1", "hint": hint.id, "action": "used"},
            {"type": "command", "id": "f1", "name": "steer", "text": "Stop."},
            {"type": "seen", "id": "f1", "hints": [hint.id]},
        ):
            await observer.send(message)
            error = await observer.next()
            assert (error["type"], error["code"], error["ref"]) == ("error", "forbidden", "f1")
        await observer.send({"type": "ping"})
        assert (await observer.next())["type"] == "heartbeat"
        assert await facilitator.texts(1) == ["Breathe."]
        await facilitator.send({"type": "feedback", "id": "f2", "hint": hint.id, "action": "used"})
        got = {(await facilitator.next())["type"] for _ in range(2)}
        assert got == {"ack", "feedback"}
        assert (await observer.next())["by"] == "ada", "the observer reads what others send"
    await relay.until_nothing_is_left()


async def test_agents_do_not_contribute(relay: LocalRelay, session_id: str) -> None:
    """An agent publishes over HTTP; what facilitators send is not its to send."""
    made = token(session_id, sub="coach", role="agent")
    async with client(relay.ws_url, session_id, token=made) as agent:
        await agent.send({"type": "command", "id": "1", "name": "steer", "text": "Stop."})
        assert (await agent.next())["code"] == "forbidden"


# Revocation


@pytest.mark.alone
async def test_revocation(sockets: Sockets, redis_server: RedisServer, session_id: str) -> None:
    """Within two seconds a revoked token's connections are ended on all relays, and new ones refused."""
    ada, ben, issued = f"ada-{session_id}", f"ben-{session_id}", int(time.time()) - 5
    by_id = token(session_id, sub=ben, jti=session_id, iat=issued)
    by_name = token(session_id, sub=ada, iat=issued)
    stays = token(session_id, sub=ben, jti=f"{session_id}-b", iat=issued)
    options: dict[str, Any] = {"options": sockets.options, "jwt_secret": SECRET, "linger_s": 0.0}
    async with contextlib.AsyncExitStack() as stack:
        enter = stack.enter_async_context
        relays = [await enter(local_relay(redis_server.url, **options)) for _ in range(2)]
        open_ones = {
            made: [await enter(client(relay.ws_url, session_id, token=made)) for relay in relays]
            for made in (by_id, by_name, stays)
        }
        log = RevocationLog(await enter(Broker(redis_server.url)))
        began_s = time.monotonic()
        await log.add("jti", session_id, for_s=60)
        await log.add("sub", ada, for_s=60)
        for made in (by_id, by_name):
            for reader in open_ones[made]:
                code, reason, messages = await reader.closed()
                assert (code, reason) == (1008, "Unauthorized")
                (error,) = [one for one in messages if one["type"] == "error"]
                assert error["code"] == "unauthorized"
        assert time.monotonic() - began_s < 2.0
        later = token(session_id, sub=ada, iat=int(time.time()) + 1)
        for relay, reader in zip(relays, open_ones[stays], strict=True):
            await reader.send({"type": "refresh", "token": by_id})
            assert (await reader.next_of("error"))["code"] == "unauthorized"
            await _assert_refused(relay, session_id, "unauthorized", token=by_id)
            await _assert_refused(relay, session_id, "unauthorized", token=by_name)
            await _assert_taken(relay, session_id, stays)
            await _assert_taken(relay, session_id, later)
    # A relay that is started later knows it as well.
    async with local_relay(redis_server.url, **options) as relay:
        for made in (by_id, by_name):
            async with client(relay.ws_url, session_id, welcome=False, token=made) as reader:
                assert (await reader.closed())[0] == 1008
        await _assert_taken(relay, session_id, stays)
        await relay.until_nothing_is_left()


# Published keys


@pytest.fixture
async def keys() -> AsyncIterator[Issuer]:
    """An issuer with one key."""
    async with issuer() as one:
        one.publish(key_pair("ES256"))
        yield one


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many seconds the clock of published keys is ahead of the real one."""
    ahead = [0.0]

    def made(url: str) -> Jwks:
        return Jwks(url, clock_s=lambda: time.monotonic() + ahead[0])

    monkeypatch.setattr("relay.app.Jwks", made)
    return ahead


async def test_published_keys(
    sockets: Sockets, redis_server: RedisServer, session_id: str, keys: Issuer, clock: list[float]
) -> None:
    """A new key is asked for once; made-up ones cost nothing; while the issuer is away keys stay."""
    one, two, three = (key_pair("ES256", name) for name in ("one", "two", "three"))
    async with local_relay(
        redis_server.url, options=sockets.options, jwks_url=keys.url, linger_s=0.0
    ) as relay:
        await _assert_taken(relay, session_id, one.token(session_id))
        assert len(keys.asked) == 1
        # Rotation.
        keys.publish(one, two)
        clock[0] += 10
        await _assert_taken(relay, session_id, two.token(session_id))
        await _assert_taken(relay, session_id, one.token(session_id))
        assert len(keys.asked) == 2
        # Strangers, or the next rotation: nobody can tell until the issuer is asked again.
        for number in range(20):
            made = three.token(session_id, key_id=f"made-up-{number}")
            code, _, error = await _refusal(relay, session_id, token=made)
            assert (code, error["code"]) == (1011, "unavailable")
        pem = one.public_pem
        for header in ({"alg": "HS256", "kid": "one"}, {"alg": "none", "kid": "one"}):
            forged = signed(header, claims(session_id), pem)
            await _assert_refused(relay, session_id, "unauthorized", token=forged)
        assert len(keys.asked) == 2
        # Outage: what is known goes on; about the rest nobody can tell.
        await keys.stop()
        clock[0] += 10
        await _assert_taken(relay, session_id, two.token(session_id))
        code, _, error = await _refusal(relay, session_id, token=three.token(session_id))
        assert (code, error["code"]) == (1011, "unavailable")
        await _assert_taken(relay, session_id, one.token(session_id))
        await keys.start()
        clock[0] += 10
        await _assert_refused(relay, session_id, "unauthorized", token=three.token(session_id))
        # Withdrawn.
        keys.publish(two, three)
        clock[0] += 10
        await _assert_taken(relay, session_id, three.token(session_id))
        clock[0] += 10
        await _assert_refused(relay, session_id, "unauthorized", token=one.token(session_id))
        await relay.until_nothing_is_left()


async def test_a_published_secret(
    sockets: Sockets, redis_server: RedisServer, session_id: str, keys: Issuer
) -> None:
    """A secret among published keys is none: it can't be, since everybody can read it."""
    secret = {"kty": "oct", "k": "c" * 86, "kid": "oct", "alg": "HS256"}
    keys.say(json.dumps({"keys": [secret, key_pair("ES256").jwk]}).encode())
    async with local_relay(redis_server.url, options=sockets.options, jwks_url=keys.url) as relay:
        await _assert_taken(relay, session_id, key_pair("ES256").token(session_id))
        shared = base64.urlsafe_b64decode(secret["k"] + "==")
        for kid in ("oct", "one"):
            forged = signed({"alg": "HS256", "kid": kid}, claims(session_id), shared)
            await _assert_refused(relay, session_id, "unauthorized", token=forged)


@pytest.mark.parametrize(
    "how", ["away", "garbage", "huge", "redirect", "500", "no keys", "not HTTP"]
)
async def test_an_issuer_that_never_answered(
    sockets: Sockets, redis_server: RedisServer, session_id: str, keys: Issuer, how: str,
    clock: list[float],
) -> None:  # fmt: skip
    """Until keys could be had everybody is asked to come back, nobody to stay away; then all is well."""
    match how:
        case "away":
            await keys.stop()
        case "garbage":
            keys.say(b"<html>")
        case "huge":
            keys.say(b" " * 3_000_000 + b"{}")
        case "redirect":
            keys.say(b"", "302 Found", f"Location: http://127.0.0.1:{keys.port}/elsewhere")
        case "500":
            keys.say(b"", "500 Oops")
        case "no keys":
            keys.say(b'{"keys":[]}')
        case "not HTTP":
            keys.answer = b"SSH-2.0-OpenSSH_9.2\r\n\r\n"
    made = key_pair("ES256").token(session_id)
    with structlog.testing.capture_logs() as lines:
        async with local_relay(
            redis_server.url, options=sockets.options, jwks_url=keys.url, linger_s=0.0
        ) as relay:
            code, reason, error = await _refusal(relay, session_id, token=made)
            assert (code, reason, error["code"]) == (1011, "Internal error", "unavailable")
            assert not any("/elsewhere" in path for path in keys.asked)
            if how == "away":
                await keys.start()
            keys.publish(key_pair("ES256"))
            clock[0] += 2
            await _assert_taken(relay, session_id, made)
            await relay.until_nothing_is_left()
    assert [line["event"] for line in lines if line["log_level"] == "error"] == []
    assert "of-the-operator" not in str(lines)


async def test_many_who_wait_for_keys(
    sockets: Sockets, redis_server: RedisServer, session_id: str, keys: Issuer
) -> None:
    """When keys come, as many of those who waited come in as there is room for; others come back."""
    answer, keys.answer = keys.answer, None
    made = key_pair("ES256").token(session_id)
    async with local_relay(
        redis_server.url, options=sockets.options, jwks_url=keys.url, max_connections=2,
        linger_s=0.0,
    ) as relay:  # fmt: skip
        await relay.until(lambda: bool(keys.asked), "the first question")
        served: list[Client] = []
        turned_away: list[int] = []

        async def come() -> None:
            try:
                async with client(relay.ws_url, session_id, token=made) as reader:
                    served.append(reader)
                    await relay.until(lambda: len(turned_away) == 3, "the others")
            except InvalidStatus as error:
                turned_away.append(error.response.status_code)

        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(come())
            await relay.until(lambda: len(relay.open_connections) == 5, "all wait")
            keys.answer_now(answer)
        assert (len(served), turned_away) == (2, [429] * 3)
        await relay.until_nothing_is_left()


async def test_an_issuer_that_hangs(
    sockets: Sockets, redis_server: RedisServer, session_id: str, keys: Issuer,
    monkeypatch: pytest.MonkeyPatch, clock: list[float],
) -> None:  # fmt: skip
    """While an issuer does not answer, others are served as if nothing were; then all is well."""
    monkeypatch.setattr("relay.auth.jwks.fetch_url.__defaults__", (1.0,))
    keys.answer = None
    made = key_pair("ES256").token(session_id)
    async with local_relay(
        redis_server.url, options=sockets.options, jwks_url=keys.url, jwt_secret=SECRET,
        linger_s=0.0,
    ) as relay:  # fmt: skip
        async with client(relay.ws_url, session_id, token=token(session_id)) as other:

            async def wait_for_keys() -> None:
                refused = await _refusal(relay, session_id, token=made)
                assert refused[0] == 1011

            async def come_and_go() -> None:
                # Who leaves while he waits leaves nothing behind.
                with contextlib.suppress(TimeoutError, ConnectionClosed):
                    async with asyncio.timeout(0.2), client(relay.ws_url, session_id, token=made):
                        pass

            waiting = asyncio.create_task(wait_for_keys())
            going = asyncio.create_task(come_and_go())
            answers = 0
            while not waiting.done():
                await other.send({"type": "ping"})
                await other.next_of("heartbeat")
                answers += 1
                await asyncio.sleep(0.1)
            assert answers >= 3
            await waiting
            await going
        keys.publish(key_pair("ES256"))
        clock[0] += 2
        await _assert_taken(relay, session_id, made)
        await relay.until_nothing_is_left()


@pytest.mark.alone
async def test_stopping_while_an_issuer_hangs(redis_server: RedisServer, keys: Issuer) -> None:
    """A relay that waits for keys stops as soon as any other."""
    keys.answer = None
    with RelayProcess(redis_server.url, "--jwks-url", keys.url) as relay:
        async with asyncio.timeout(10):
            while not keys.asked:
                await asyncio.sleep(0.01)
        began_s = time.monotonic()
        assert await asyncio.to_thread(relay.stop) == 0
        assert time.monotonic() - began_s < 3
        assert "of-the-operator" not in relay.output
