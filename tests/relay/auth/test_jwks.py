"""An issuer's keys: asked for when they are needed, and not more often than is good."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import TYPE_CHECKING

import pytest
import structlog

from relay.auth.jwks import Jwks, fetch_url
from tests.support.issuer import Issuer, issuer
from tests.support.tokens import KeyPair, key_pair

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ONE, _TWO = key_pair("ES256"), key_pair("ES256", "two")


def _set(*pairs: KeyPair) -> bytes:
    return json.dumps({"keys": [pair.jwk for pair in pairs]}).encode()


class World:
    """Keys with a clock that is turned by hand, and an issuer that says what it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.answer: bytes | Exception = _set(_ONE)
        self.asked = 0
        self.jwks = Jwks(
            "http://issuer.test/?secret", fetch=self._fetch, clock_s=lambda: self.now_s
        )

    def _fetch(self, url: str) -> bytes:
        assert url == "http://issuer.test/?secret"
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @property
    def ids(self) -> list[str | None]:
        """The ids of the keys that are at hand."""
        return [key.key_id for key in self.jwks.keys]


async def test_nothing_before_it_is_needed() -> None:
    """Making it asks nobody."""
    world = World()
    assert (world.ids, world.asked) == ([], 0)
    assert await world.jwks.look_again()
    assert (world.ids, world.asked) == (["one"], 1)


async def test_many_at_once() -> None:
    """Many who need keys at the same time share one answer."""
    world = World()
    assert await asyncio.gather(*(world.jwks.look_again() for _ in range(50))) == [True] * 50
    assert world.asked == 1


async def test_who_gives_up_waiting() -> None:
    """One of them who goes takes nothing from the others."""
    hurry = threading.Event()
    jwks = Jwks("http://issuer.test", fetch=lambda _: (hurry.wait(10) and _set(_ONE)) or b"")
    waiting = [asyncio.create_task(jwks.look_again()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    hurry.set()
    assert await waiting[1]
    assert len(jwks.keys) == 1


async def test_rotation_and_the_cooldown() -> None:
    """A new key is found by asking again, once in ten seconds, whatever tokens name."""
    world = World()
    await world.jwks.look_again()
    world.answer = _set(_ONE, _TWO)
    for _ in range(100):
        assert not await world.jwks.look_again(), "nobody was asked"
    assert (world.ids, world.asked) == (["one"], 1)
    world.now_s += 10
    await world.jwks.look_again()
    assert (world.ids, world.asked) == (["one", "two"], 2)
    # Withdrawn.
    world.answer = _set(_TWO)
    world.now_s += 10
    await world.jwks.look_again()
    assert world.ids == ["two"]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (OSError("connection refused"), "connection refused"),
        (TimeoutError(), "timed out"),
        (ValueError("more than 262,144 bytes"), "more than"),
        (b"", "not JSON"),
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", "no JSON Web Key Set"),
        (b'{"keys":[]}', "no key"),
        (b'{"keys":[{"kty":"oct","k":"AAAA","kid":"one"}]}', "no key"),
    ],
)
async def test_outages(answer: bytes | Exception, told: str) -> None:
    """What can't be had, or is no set of keys, leaves those that are known, and is told why."""
    world = World()
    await world.jwks.look_again()
    world.answer = answer
    world.now_s += 10
    with structlog.testing.capture_logs() as lines:
        assert not await world.jwks.look_again()
    (line,) = lines
    assert (line["event"], line["kept"]) == ("keys not fetched", 1)
    assert told in line["error"]
    assert "secret" not in str(line)
    assert world.ids == ["one"]
    # The next try comes sooner than after a good answer, but not at once.
    assert not await world.jwks.look_again()
    assert world.asked == 2
    world.answer = _set(_TWO)
    world.now_s += 2
    assert await world.jwks.look_again()
    assert world.ids == ["two"]


async def test_keys_that_are_passed_over() -> None:
    """Keys of a set that can't be used are told, and the others are taken."""
    world = World()
    world.answer = json.dumps({"keys": [{"kty": "oct", "k": "AAAA"}, _ONE.jwk]}).encode()
    with structlog.testing.capture_logs() as lines:
        assert await world.jwks.look_again()
    assert world.ids == ["one"]
    assert [line["event"] for line in lines] == ["keys passed over", "keys fetched"]


async def test_running() -> None:
    """While it runs, keys are there before the first token, also after the issuer was away."""
    world = World()
    world.answer = OSError("away")
    running = asyncio.create_task(world.jwks.run())
    async with asyncio.timeout(10):
        while world.asked == 0:
            await asyncio.sleep(0.001)
        world.answer = _set(_ONE)
        # The first answer may still be on its way.
        while not world.ids:
            world.now_s += 2
            await world.jwks.look_again()
    assert world.ids == ["one"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
async def real() -> AsyncIterator[Issuer]:
    """An issuer on a real socket."""
    async with issuer() as one:
        yield one


async def _fetched(real: Issuer, timeout_s: float = 5.0) -> bytes:
    return await asyncio.to_thread(fetch_url, real.url, timeout_s)


async def test_fetching(real: Issuer) -> None:
    """What is answered with 200 is returned, up to its bound."""
    real.publish(_ONE)
    assert json.loads(await _fetched(real))["keys"][0]["kid"] == "one"
    real.say(b"x" * 256 * 1024)
    assert len(await _fetched(real)) == 256 * 1024


@pytest.mark.parametrize("size", [256 * 1024 + 1, 50_000_000])
async def test_a_huge_answer(real: Issuer, size: int) -> None:
    """A larger one is given up, and not read to its end."""
    real.say(b"x" * size)
    with pytest.raises(ValueError, match="262,144 bytes"):
        await _fetched(real)


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_redirections(real: Issuer, status: str) -> None:
    """Keys are taken from the configured address, and from nowhere that it points to."""
    async with issuer() as other:
        other.publish(_TWO)
        real.say(b"", status, f"Location: {other.url}")
        with pytest.raises(OSError, match="30"):
            await _fetched(real)
        assert other.asked == []


@pytest.mark.parametrize(
    "status", ["404 Not Found", "500 Oops", "401 Unauthorized", "204 No Content"]
)
async def test_other_statuses(real: Issuer, status: str) -> None:
    """An answer of another status holds no keys."""
    real.say(b"" if status.startswith("204") else _set(_ONE), status)
    try:
        assert await _fetched(real) == b""
    except OSError:
        pass


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    ],
    ids=["nothing", "garbage", "length", "status", "chunk", "cut", "many headers", "long header"],
)
async def test_what_is_no_answer(real: Issuer, answer: bytes) -> None:
    """Whatever the other side speaks, the keys that are known stay, and asking can go on."""
    real.answer = answer
    jwks = Jwks(real.url)
    with structlog.testing.capture_logs() as lines:
        assert not await jwks.look_again()
    assert [line["event"] for line in lines] == ["keys not fetched"]
    assert "of-the-operator" not in str(lines)


async def test_nobody_there(real: Issuer) -> None:
    """A port where nobody listens is an error without the address."""
    url = real.url
    await real.stop()
    with structlog.testing.capture_logs() as lines:
        assert not await Jwks(url).look_again()
    assert "of-the-operator" not in str(lines)
    assert "refused" in str(lines)
    await real.start()


async def test_an_answer_that_never_comes(real: Issuer) -> None:
    """An issuer that hangs, or sends byte by byte, is given up after the time that it has."""
    real.answer = None
    with pytest.raises(OSError, match="timed out"):
        await _fetched(real, 0.1)
    real.is_slow = True
    real.say(b"x" * 1000)
    with pytest.raises(OSError, match="timed out"):
        await _fetched(real, 0.1)
