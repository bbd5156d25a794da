"""Publishing and reading, on the real Redis and on the embedded broker."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from relay.broker import keys
from relay.broker.broker import Broker
from relay.errors import BrokerError, BrokerFull, BrokerUnavailable
from relay.position import Position
from tests.support.process import stable_port
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """A broker whose logs keep ten messages."""
    async with Broker(redis_url, log_messages=10, log_ttl_s=60, dedupe_s=60) as broker:
        yield broker


async def test_positions_count_from_one(broker: Broker, session_id: str) -> None:
    """The first message opens an epoch; the following ones count up in it."""
    first = await broker.publish(session_id, b'{"type":"hint"}', "a")
    second = await broker.publish(session_id, b'{"type":"hint"}', "b")
    assert first.position.offset == 1
    assert second.position == Position(first.position.epoch, 2)


async def test_the_position_comes_first(broker: Broker, session_id: str) -> None:
    """What is kept is the producer's JSON with the position put in front."""
    position = (await broker.publish(session_id, b'{"type":"hint","text":"a"}', "a")).position
    kept = (await broker.read(session_id)).publications[0]
    assert kept.payload == b'{"position":"%s","type":"hint","text":"a"}' % str(position).encode()
    assert kept.position == position


async def test_an_id_is_published_once(broker: Broker, session_id: str) -> None:
    """Publishing an id again returns the first one's position and adds nothing."""
    first = await broker.publish(session_id, b'{"n":1}', "same")
    again = await broker.publish(session_id, b'{"n":2}', "same")
    assert (first.new, again.new) == (True, False)
    assert again.position == first.position
    assert len((await broker.read(session_id)).publications) == 1


async def test_ids_of_other_sessions_don_t_matter(broker: Broker, session_id: str) -> None:
    """The same id in another session is another message."""
    await broker.publish(session_id, b'{"n":1}', "same")
    assert (await broker.publish(session_id + "-b", b'{"n":1}', "same")).new


async def test_a_hundred_at_once_keep_count(broker: Broker, session_id: str) -> None:
    """Concurrent publishers get different positions, without a gap."""
    published = await asyncio.gather(
        *(broker.publish(session_id, b'{"n":1}', str(n)) for n in range(100))
    )
    assert sorted(p.position.offset for p in published) == list(range(1, 101))


async def test_reading_after_a_position(broker: Broker, session_id: str) -> None:
    """Only what came after the position is read, and what the log reaches back to is said."""
    positions = [(await broker.publish(session_id, b'{"n":1}', str(n))).position for n in range(3)]
    log = await broker.read(session_id, positions[0])
    assert [p.position for p in log.publications] == positions[1:]
    assert log.head == positions[-1]
    assert log.reaches_back_to(positions[0])


async def test_a_session_without_messages_has_no_log(broker: Broker, session_id: str) -> None:
    """Nothing is made up for a session that nobody has published to."""
    log = await broker.read(session_id)
    assert (log.head, log.floor, log.publications) == (None, None, ())


async def test_another_epoch_reads_the_whole_log(broker: Broker, session_id: str) -> None:
    """A position of an older log gets all that is kept now, and no claim to be complete."""
    await broker.publish(session_id, b'{"n":1}', "a")
    log = await broker.read(session_id, Position(5, 900))
    assert len(log.publications) == 1
    assert not log.reaches_back_to(Position(5, 900))


async def test_the_floor_says_what_was_trimmed(broker: Broker, session_id: str) -> None:
    """Whatever is trimmed, a reader can tell whether its position is still reached."""
    positions = [
        (await broker.publish(session_id, b'{"n":1}', str(n))).position for n in range(500)
    ]
    log = await broker.read(session_id)
    first = log.publications[0].position
    assert log.floor is not None
    assert first is not None
    assert first.offset == log.floor.offset + 1
    # Redis trims whole nodes of its stream, 100 entries each by default.
    assert 10 <= len(log.publications) <= 210
    assert log.reaches_back_to(log.floor)
    assert not log.reaches_back_to(positions[0])


@pytest.mark.parametrize("loss", ["trimmed", "gone", "another log"])
async def test_what_is_lost_while_it_is_read(
    redis_url: str, session_id: str, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    """A stretch of the log ends before the hole, and who goes on behind it is told of the loss."""
    async with Broker(redis_url, log_messages=100) as broker:

        async def publish(begin: int, end: int) -> None:
            for n in range(begin, end):
                await broker.publish(session_id, b'{"n":1}', f"{n}")

        await publish(0, 100)
        read_page = broker._read_page
        pages = 0

        async def read_and_lose(*args: Any) -> Any:
            nonlocal pages
            pages += 1
            page = await read_page(*args)
            if pages == 1:
                if loss == "trimmed":
                    # Redis trims whole nodes of its stream, 100 entries each by default.
                    await publish(100, 400)
                else:
                    await broker.redis.delete(keys.log(session_id), keys.meta(session_id))
                if loss == "another log":
                    await publish(400, 410)
            return page

        monkeypatch.setattr(broker, "_read_page", read_and_lose)
        some, more = await broker.read_some(
            session_id, None, max_messages=1000, max_bytes=1_000_000
        )
        offsets = [one.position.offset for one in some.publications if one.position]
        assert offsets == list(range(1, len(offsets) + 1))
        assert more
        last = some.publications[-1].position
        assert last is not None
        rest, _ = await broker.read_some(session_id, last, max_messages=1000, max_bytes=1_000_000)
        assert not rest.reaches_back_to(last)
        assert len(rest.publications) == len((await broker.read(session_id, last)).publications)


async def test_what_is_trimmed_up_to_a_restart_is_missed(broker: Broker, session_id: str) -> None:
    """When just the entries before a restart of Redis are trimmed, who lacks some of them is told."""
    # Redis trims whole nodes of its stream; each of these fills one.
    message = b'{"text":"%s"}' % (b"x" * 5000)
    before = [(await broker.publish(session_id, message, str(n))).position for n in range(3)]
    await broker.redis.hset(keys.meta(session_id), "run", "before")
    after = [(await broker.publish(session_id, message, f"b{n}")).position for n in range(10)]
    log = await broker.read(session_id, before[0])
    assert [p.position for p in log.publications] == after
    assert not log.reaches_back_to(before[0])
    assert (await broker.read(session_id, after[0])).reaches_back_to(after[0])


async def test_who_had_all_of_an_epoch_may_lack_the_next(broker: Broker, session_id: str) -> None:
    """Over two restarts of Redis, what is trimmed of the epoch in between is missed, too."""
    message = b'{"text":"%s"}' % (b"x" * 5000)
    epochs: list[list[Position]] = []
    for count in (3, 8, 5):
        epochs.append(
            [
                (await broker.publish(session_id, message, f"{len(epochs)} {n}")).position
                for n in range(count)
            ]
        )
        await broker.redis.hset(keys.meta(session_id), "run", "before")
    last = epochs[0][-1]
    log = await broker.read(session_id, last)
    assert [p.position for p in log.publications] == [*epochs[1][3:], *epochs[2]]
    assert not log.reaches_back_to(last)


async def test_long_logs_are_read_in_pages(redis_url: str, session_id: str) -> None:
    """A log of several pages is read whole and in order."""
    async with Broker(redis_url, log_messages=5000) as broker:
        for start in range(0, 1203, 50):
            await asyncio.gather(
                *(broker.publish(session_id, b'{"n":1}', str(start + n)) for n in range(50))
            )
        offsets = [
            p.position.offset for p in (await broker.read(session_id)).publications if p.position
        ]
        assert offsets == list(range(1, len(offsets) + 1))
        assert len(offsets) == 1250


async def test_everything_expires(redis_server: RedisServer, session_id: str) -> None:
    """Every key has a time to live: a session that is over leaves nothing behind."""
    async with Broker(redis_server.url, log_ttl_s=60, dedupe_s=30) as broker:
        await broker.publish(session_id, b'{"n":1}', "a")
    for key, longest_ms in (
        (keys.log(session_id), 60_000),
        (keys.meta(session_id), 60_000),
        (keys.published(session_id, "a"), 30_000),
    ):
        left_ms = int(redis_server.command("PTTL", key)[1:])
        assert 0 < left_ms <= longest_ms, key


async def test_a_new_log_has_a_later_epoch(redis_server: RedisServer, session_id: str) -> None:
    """When the log is evicted, the next message opens a later epoch, also if the clock stands."""
    async with Broker(redis_server.url) as broker:
        before = (await broker.publish(session_id, b'{"n":1}', "a")).position
        redis_server.command("HSET", keys.meta(session_id), "epoch", str(before.epoch + 10**9))
        redis_server.command("DEL", keys.log(session_id))
        after = (await broker.publish(session_id, b'{"n":1}', "b")).position
    assert after == Position(before.epoch + 10**9 + 1, 1)


async def test_flushed_scripts_are_loaded_again(redis_server: RedisServer, session_id: str) -> None:
    """SCRIPT FLUSH costs a round trip and no message."""
    async with Broker(redis_server.url) as broker:
        await broker.publish(session_id, b'{"n":1}', "a")
        redis_server.command("SCRIPT", "FLUSH")
        assert (await broker.publish(session_id, b'{"n":1}', "b")).position.offset == 2


async def test_what_goes_out_is_what_is_kept(redis_server: RedisServer, session_id: str) -> None:
    """The bytes on the channel are the bytes in the log."""
    import redis.asyncio

    async with (
        Broker(redis_server.url) as broker,
        redis.asyncio.Redis.from_url(redis_server.url) as client,
        client.pubsub() as pubsub,
    ):
        await pubsub.subscribe(keys.channel(session_id))
        await broker.publish(session_id, json.dumps({"text": "é \u2028 👏"}).encode(), "a")
        async with asyncio.timeout(5):
            async for message in pubsub.listen():
                if message["type"] == "message":
                    break
        assert message["data"] == (await broker.read(session_id)).publications[0].payload


async def test_redis_away() -> None:
    """Without Redis the error says so, and it is the kind that trying again can help."""
    async with Broker(f"redis://127.0.0.1:{stable_port()}/0", timeout_s=1) as broker:
        with pytest.raises(BrokerUnavailable, match="not available"):
            await broker.ping()


async def test_wrong_password() -> None:
    """Refused credentials are said to be that, without showing them."""
    with RedisServer("--requirepass", "right") as server:
        async with Broker(f"redis://:wrong@127.0.0.1:{server.port}/0") as broker:
            with pytest.raises(BrokerError, match="credentials") as refusal:
                await broker.ping()
            assert "wrong@" not in str(refusal.value)


async def test_redis_full(session_id: str) -> None:
    """At maxmemory nothing is written, and the error says what to change."""
    with RedisServer("--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as server:
        async with Broker(server.url) as broker:
            message = b'{"text":"' + b"x" * 50_000 + b'"}'
            accepted = 0

            async def fill() -> None:
                nonlocal accepted
                for n in range(100):
                    published = await broker.publish(session_id, message, str(n))
                    accepted = published.position.offset

            with pytest.raises(BrokerFull, match="maxmemory"):
                await fill()
            log = await broker.read(session_id)
            assert log.head is not None
            assert log.head.offset == accepted
