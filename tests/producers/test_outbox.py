"""What waits while Redis is away: bounded, in order, each message once."""

from __future__ import annotations

import asyncio

import pytest

from producers import HintPublisher
from relay.broker.broker import Broker
from relay.errors import BrokerUnavailable, BufferFull
from relay.position import Position
from tests.support.redis import RedisServer


async def _texts(url: str, session: str) -> list[bytes]:
    async with Broker(url) as broker:
        publications = (await broker.read(session)).publications
    return [publication.payload.partition(b'"text":"')[2][:2] for publication in publications]


async def _until_buffered(publisher: HintPublisher, count: int) -> None:
    async with asyncio.timeout(10):
        while publisher.buffered < count:
            await asyncio.sleep(0.01)


async def test_what_waits_is_published_in_order(session_id: str) -> None:
    """Messages handed in while Redis is away are published in that order when it is back."""
    with RedisServer() as server:
        async with HintPublisher(server.url, give_up_s=30, timeout_s=0.5) as publisher:
            server.kill()
            waiting = []
            for n in range(20):
                waiting.append(asyncio.create_task(publisher.hint(session_id, f"{n:02}")))
                await _until_buffered(publisher, n + 1)
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
            async with asyncio.timeout(20):
                sent = await asyncio.gather(*waiting)
            assert [message.position.offset for message in sent] == list(range(1, 21))
            assert publisher.buffered == 0
        assert await _texts(server.url, session_id) == [f"{n:02}".encode() for n in range(20)]


async def test_a_full_buffer_refuses(session_id: str) -> None:
    """What finds the buffer full is refused at once and counted; what waits is not harmed."""
    with RedisServer() as server:
        async with HintPublisher(
            server.url, give_up_s=30, timeout_s=0.5, max_buffered=3
        ) as publisher:
            server.kill()
            waiting = [asyncio.create_task(publisher.hint(session_id, f"0{n}")) for n in range(3)]
            await _until_buffered(publisher, 3)
            with pytest.raises(BufferFull, match="3 messages"):
                await publisher.hint(session_id, "one too many")
            assert publisher.refused == 1
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
            async with asyncio.timeout(20):
                await asyncio.gather(*waiting)
        assert len(await _texts(server.url, session_id)) == 3


async def test_a_full_buffer_in_bytes(session_id: str) -> None:
    """Bytes are bounded, too."""
    with RedisServer() as server:
        async with HintPublisher(
            server.url, give_up_s=30, timeout_s=0.5, max_buffered_bytes=5000
        ) as publisher:
            server.kill()
            first = asyncio.create_task(publisher.hint(session_id, "x" * 4000))
            await _until_buffered(publisher, 1)
            with pytest.raises(BufferFull):
                await publisher.hint(session_id, "y" * 4000)
            first.cancel()


async def test_what_waits_too_long_is_told(session_id: str) -> None:
    """A message whose time is over fails, and the buffer is empty again."""
    with RedisServer() as server:
        async with HintPublisher(server.url, give_up_s=0.5, timeout_s=0.2) as publisher:
            server.kill()
            with pytest.raises(BrokerUnavailable, match="not available"):
                await publisher.hint(session_id, "in vain")
            assert publisher.buffered == 0


async def test_closing_fails_what_waits(session_id: str) -> None:
    """Nobody waits for ever for a publisher that was closed."""
    with RedisServer() as server:
        publisher = HintPublisher(server.url, give_up_s=30, timeout_s=0.2)
        server.kill()
        waiting = asyncio.create_task(publisher.hint(session_id, "x"))
        await _until_buffered(publisher, 1)
        await publisher.close()
        with pytest.raises(BrokerUnavailable, match="closed"):
            await waiting


async def test_a_caller_that_has_gone(session_id: str) -> None:
    """A cancelled message is not tried again, and does not hold up the others."""
    with RedisServer() as server:
        async with HintPublisher(server.url, give_up_s=30, timeout_s=0.2) as publisher:
            server.kill()
            gone = asyncio.create_task(publisher.hint(session_id, "00"))
            await _until_buffered(publisher, 1)
            stays = asyncio.create_task(publisher.hint(session_id, "01"))
            await _until_buffered(publisher, 2)
            gone.cancel()
            server.start()
            await asyncio.to_thread(server.wait_until_ready)
            async with asyncio.timeout(20):
                sent = await stays
            assert isinstance(sent.position, Position)
        assert await _texts(server.url, session_id) == [b"01"]
