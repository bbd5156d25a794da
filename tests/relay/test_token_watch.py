"""Ending connections whose token is not good any more, on a clock that is turned by hand."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, cast

import pytest
import structlog

from relay.admission import Ticket
from relay.auth.grant import OPEN, Grant, Role
from relay.auth.revocations import Revocation, Revocations
from relay.close_codes import CloseCode
from relay.errors import BrokerUnavailable
from relay.metrics import Metrics
from relay.token_watch import TokenWatch

if TYPE_CHECKING:
    from relay.broker.revocations import RevocationLog
    from relay.publication import Publication


class Log:
    """Revocations in a list; or Redis is away."""

    def __init__(self) -> None:
        self.entries: list[Revocation] = []
        self.is_away = False

    async def read(self, after: str | None) -> tuple[str | None, list[Revocation]]:
        if self.is_away:
            raise BrokerUnavailable("away")
        return str(len(self.entries)), self.entries[int(after or 0) :]


class Holder:
    """Notes what it is told."""

    def __init__(self, **grant: Any) -> None:
        self.ticket: Ticket | None = Ticket("s", Grant(Role.FACILITATOR, ("*",), **grant), None)
        self.told: list[Any] = []

    def tell(self, message: Publication) -> None:
        self.told.append(json.loads(message.payload))

    def end(self, code: CloseCode) -> None:
        self.told.append(code)


class World:
    """A watch, its log, and its clock."""

    def __init__(self, leeway_s: float = 0.0) -> None:
        self.now_s = 1000.0
        self.log = Log()
        self.revocations = Revocations()
        self.metrics = Metrics()
        self.watch = TokenWatch(
            cast("RevocationLog", self.log),
            self.revocations,
            self.metrics,
            leeway_s=leeway_s,
            clock_s=lambda: self.now_s,
        )

    def add(self, **grant: Any) -> Holder:
        """Watch a new holder."""
        holder = Holder(**grant)
        self.watch.add(holder)
        return holder


@pytest.mark.parametrize("leeway_s", [0.0, 5.0])
def test_expiry(leeway_s: float) -> None:
    """A connection is ended within a second after its token's end and the leeway, not before."""
    world = World(leeway_s)
    early, late = world.add(expires_at_s=1010.0), world.add(expires_at_s=1020.5)
    world.now_s = 1010.0 + leeway_s
    world.watch.end_expired()
    assert early.told == []
    world.now_s = 1011.0 + leeway_s
    world.watch.end_expired()
    assert (early.told, late.told) == ([CloseCode.TOKEN_EXPIRED], [])
    world.now_s = 1022.0 + leeway_s
    world.watch.end_expired()
    world.watch.end_expired()
    assert (early.told, late.told) == ([CloseCode.TOKEN_EXPIRED], [CloseCode.TOKEN_EXPIRED])
    assert len(world.watch) == 0
    # As a connection does when it is gone.
    world.watch.discard(early)


def test_what_is_not_watched() -> None:
    """Who has no ticket, or one without an end, needs no watching, and can be discarded."""
    world = World()
    nobody, guest = Holder(), Holder()
    nobody.ticket, guest.ticket = None, Ticket("s", OPEN, None)
    for holder in (nobody, guest):
        world.watch.add(holder)
        assert len(world.watch) == 0
        world.watch.discard(holder)


def test_a_newer_token() -> None:
    """Who gets a newer token is watched for that one's end only."""
    world = World()
    holder = world.add(expires_at_s=1010.0)
    world.watch.discard(holder)
    holder.ticket = Ticket("s", Grant(Role.FACILITATOR, ("*",), expires_at_s=1100.0), None)
    world.watch.add(holder)
    assert len(world.watch) == 1
    world.now_s = 1050.0
    world.watch.end_expired()
    assert holder.told == []
    world.now_s = 1101.0
    world.watch.end_expired()
    assert holder.told == [CloseCode.TOKEN_EXPIRED]


@pytest.mark.parametrize("expires_at_s", [1e15, 1e300, -1e300, 0.0])
def test_odd_ends(expires_at_s: float) -> None:
    """A token's end may be any number."""
    world = World()
    holder = world.add(expires_at_s=expires_at_s)
    world.watch.end_expired()
    assert holder.told == ([CloseCode.TOKEN_EXPIRED] if expires_at_s < 1000 else [])
    world.watch.discard(holder)
    assert len(world.watch) == 0


async def test_revocation() -> None:
    """Whom a revocation concerns is told why, and ended; nobody else is."""
    world = World()
    gone = [world.add(expires_at_s=1e6, token_id="1"), world.add(expires_at_s=2e6, subject="ada")]
    stays = [
        world.add(expires_at_s=1e6, token_id="2"),
        world.add(expires_at_s=1e6, subject="ada", issued_at_s=1001.0),
    ]
    world.log.entries = [
        Revocation("jti", "1", 1000.0, 1e7),
        Revocation("sub", "ada", 1000.0, 1e7),
    ]
    await world.watch.read_revocations()
    for holder in gone:
        error, code = holder.told
        assert (error["type"], error["code"]) == ("error", "unauthorized")
        assert "revoked" in error["text"]
        assert code is CloseCode.UNAUTHORIZED
    assert [holder.told for holder in stays] == [[], []]
    assert world.metrics.revocations._value.get() == 2


async def test_revocations_are_read_on() -> None:
    """What has been read is not read again, and is forgotten when it concerns nothing any more."""
    world = World()
    world.log.entries.append(Revocation("jti", "1", 1000.0, 1010.0))
    await world.watch.read_revocations()
    world.log.entries.append(Revocation("jti", "2", 1000.0, 2000.0))
    await world.watch.read_revocations()
    assert len(world.revocations) == 2
    world.now_s = 1500.0
    await world.watch.read_revocations()
    assert len(world.revocations) == 1
    assert world.metrics.revocations._value.get() == 1


async def test_redis_is_away() -> None:
    """While Redis is away, what is known stays known; that is told once, not every second."""
    world = World()
    world.log.entries.append(Revocation("jti", "1", 1000.0, 1e7))
    await world.watch.read_revocations()
    world.log.is_away = True
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            await world.watch.read_revocations()
    assert [line["event"] for line in lines] == ["can't read revocations"]
    assert len(world.revocations) == 1
    world.log.is_away = False
    holder = world.add(expires_at_s=1e6, token_id="2")
    world.log.entries.append(Revocation("jti", "2", 1000.0, 1e7))
    await world.watch.read_revocations()
    assert holder.told[-1] is CloseCode.UNAUTHORIZED


async def test_redis_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """While Redis keeps a question waiting, connections end with their tokens all the same."""
    monkeypatch.setattr("relay.token_watch._EVERY_S", 0.001)
    world = World()
    asked = asyncio.Event()

    async def read(_after: str | None) -> tuple[str | None, list[Revocation]]:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(world.log, "read", read)
    holder = world.add(expires_at_s=1010.0)
    running = asyncio.create_task(world.watch.run())
    try:
        async with asyncio.timeout(5):
            await asked.wait()
            world.now_s = 1011.0
            while not holder.told:
                await asyncio.sleep(0.001)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert holder.told == [CloseCode.TOKEN_EXPIRED]
