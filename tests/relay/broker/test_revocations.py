"""The list of revoked tokens in Redis."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from relay.auth.revocations import Revocation
from relay.broker import keys
from relay.broker.broker import Broker
from relay.broker.revocations import RevocationLog
from relay.errors import BrokerUnavailable
from tests.support.process import stable_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def broker(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, session_id: str
) -> AsyncIterator[Broker]:
    """A broker; the list is under another name, because there is only one and others use it."""
    monkeypatch.setattr(keys, "REVOCATIONS", f"hints-test-revocations:{session_id}")
    async with Broker(redis_url) as broker:
        yield broker


@pytest.fixture
def log(broker: Broker) -> RevocationLog:
    """The list, on the usual clock."""
    return RevocationLog(broker)


async def test_written_and_read(log: RevocationLog) -> None:
    """What is written is read by everybody, in its order, and each entry once."""
    assert await log.read(None) == (None, [])
    one = await log.add("jti", "1", for_s=60)
    last, found = await log.read(None)
    assert found == [one]
    assert one.until_s == pytest.approx(one.revoked_at_s + 60)
    two = await log.add("sub", "ada é", for_s=60)
    last, found = await log.read(last)
    assert found == [two]
    assert await log.read(last) == (last, [])
    assert (await log.read(None))[1] == [one, two]


async def test_many(log: RevocationLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """More than a page is read to the end."""
    monkeypatch.setattr("relay.broker.revocations._PAGE", 3)
    written = [await log.add("jti", str(n), for_s=60) for n in range(7)]
    last, found = await log.read(None)
    assert found == written
    assert await log.read(last) == (last, [])


async def test_a_list_that_was_lost(broker: Broker, log: RevocationLog) -> None:
    """After a failover that lost the newest entries, also one with a lower id than they had is read."""

    async def write(entry_id: str, name: str) -> Revocation:
        fields: Any = {"kind": "jti", "name": name, "at": "1", "until": "2"}
        await broker.redis.xadd(keys.REVOCATIONS, fields, id=entry_id)
        return Revocation("jti", name, 1.0, 2.0)

    await write("5-1", "kept")
    await write("9-1", "lost")
    last, _ = await log.read(None)
    assert last == "9-1"
    await broker.redis.delete(keys.REVOCATIONS)
    kept, new = await write("5-1", "kept"), await write("7-1", "new")
    last, found = await log.read(last)
    assert (last, found) == ("7-1", [kept, new])
    assert await log.read(last) == (last, [])
    await broker.redis.delete(keys.REVOCATIONS)
    assert await log.read(last) == (None, [])


async def test_how_long_it_is_kept(broker: Broker, log: RevocationLog) -> None:
    """The list stays as long as any entry concerns anything, whichever came first, and no longer."""
    for for_s, expected_s in ((60, 60), (600, 600), (10, 600)):
        await log.add("jti", str(for_s), for_s=for_s)
        left_s = await broker.redis.ttl(keys.REVOCATIONS)
        assert expected_s - 2 <= left_s <= expected_s + 2


@pytest.mark.parametrize(
    "fields",
    [
        {"x": "y"},
        {"kind": "jti", "name": "1", "at": "x", "until": "1"},
        {"kind": "jti", "name": "1", "at": "nan", "until": "1"},
        {"kind": "jti", "name": "1", "at": "1", "until": "inf"},
        {"kind": "all", "name": "1", "at": "1", "until": "2"},
        {"kind": "jti", "at": "1", "until": "2"},
        {"kind": "sub", "name": b"ren\xe9", "at": "1", "until": "2"},
        {b"\xff": "jti"},
    ],
)
async def test_what_others_write(
    broker: Broker, log: RevocationLog, fields: dict[Any, Any]
) -> None:
    """An entry that is none is passed over, and those behind it are read."""
    entry: dict[Any, Any] = dict(fields)
    await broker.redis.xadd(keys.REVOCATIONS, entry)
    one = await log.add("jti", "1", for_s=60)
    assert (await log.read(None))[1] == [one]


async def test_the_clock(broker: Broker) -> None:
    """Times are the writer's: until then tokens that were issued before are revoked."""
    now_s = time.time()
    one = await RevocationLog(broker, clock_s=lambda: now_s).add("sub", "ada", for_s=5)
    assert one == Revocation("sub", "ada", now_s, now_s + 5)
    assert (await RevocationLog(broker).read(None))[1] == [one]


async def test_without_redis() -> None:
    """Without Redis both fail with what the caller knows how to deal with."""
    async with Broker(f"redis://127.0.0.1:{stable_port()}/0") as broker:
        log = RevocationLog(broker)
        with pytest.raises(BrokerUnavailable):
            await log.add("jti", "1", for_s=1)
        with pytest.raises(BrokerUnavailable):
            await log.read(None)
