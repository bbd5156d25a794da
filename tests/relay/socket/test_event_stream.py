"""Streams of events against servers that say little, much too late, or stop."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest

from producers import HintPublisher
from relay.broker import keys
from relay.broker.broker import Broker
from relay.socket.protocol import CONTROL, Control
from tests.support.client import client
from tests.support.events import Event, EventParser, events_path
from tests.support.relay import LocalRelay, local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

    from tests.support.redis import RedisServer


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay whose app is called by the test."""
    async with local_relay(redis_server.url, linger_s=0.0, heartbeat_s=60.0) as relay:
        yield relay


class Call:
    """One request to the app, with the test as its server.

    Attributes:
        flows: while it is not set, whatever is sent waits.
        takes: how much is taken before ``flows`` is cleared; None for ever.
        error: what ``send`` raises instead of sending.
    """

    def __init__(
        self,
        relay: LocalRelay,
        session: str,
        *,
        takes: int | None = None,
        control: Control | None = None,
    ) -> None:
        path, _, query = events_path(session).partition("?")
        scope: dict[str, Any] = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "method": "GET",
            "path": path, "query_string": query.encode(), "headers": [(b"host", b"localhost")], "root_path": "",
            "scheme": "http", "client": None,
        }  # fmt: skip
        if control is not None:
            scope["extensions"] = {CONTROL: control}
        self.flows = asyncio.Event()
        self.flows.set()
        self.takes = takes
        self.error: OSError | None = None
        self.sent: list[dict[str, Any]] = []
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._parser = EventParser()
        self._read = 0
        self.task = asyncio.create_task(relay.app(scope, self.incoming.get, self._send))

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        await self.flows.wait()
        if self.error is not None:
            raise self.error
        self.sent.append(dict(message))
        if len(self.sent) == self.takes:
            self.flows.clear()

    async def events(self, count: int) -> list[Event]:
        """Return at least the next ``count`` events."""
        found: list[Event] = []
        async with asyncio.timeout(10):
            while len(found) < count:
                for message in self.sent[self._read :]:
                    found += self._parser.feed(message.get("body", b""))
                self._read = len(self.sent)
                await asyncio.sleep(0.005)
        return found


class _Deaf(asyncio.Transport):
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Take it."""


async def test_the_client_goes(relay: LocalRelay, session_id: str) -> None:
    """A disconnect ends the endpoint, whatever else the server has told of the request."""
    call = Call(relay, session_id)
    call.incoming.put_nowait({"type": "http.request", "body": b"", "more_body": False})
    await call.events(1)
    call.incoming.put_nowait({"type": "http.disconnect"})
    async with asyncio.timeout(5):
        await call.task
    assert call.sent[-1]["more_body"] is True, "there is nobody to tell that it is complete"
    await relay.until_nothing_is_left()


async def test_a_server_that_raises(
    relay: LocalRelay, redis_server: RedisServer, session_id: str
) -> None:
    """A server that tells by OSError that the client has gone (ASGI, HTTP, 2.4) fails nothing."""
    call = Call(relay, session_id)
    await call.events(1)
    call.error = BrokenPipeError()
    async with HintPublisher(redis_server.url) as publisher, asyncio.timeout(5):
        await publisher.hint(session_id, "one")
        await call.task
    await relay.until_nothing_is_left()


async def test_a_server_that_cancels(relay: LocalRelay, session_id: str) -> None:
    """A server that cancels the endpoint, reading or joining, leaves nothing behind."""
    for is_joining in (False, True):
        call = Call(relay, session_id)
        if not is_joining:
            await call.events(1)
        else:
            await asyncio.sleep(0)
        call.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call.task
        await relay.until_nothing_is_left()
        assert len(relay.serving._gate.admission) == 0


async def test_a_server_that_stops(relay: LocalRelay, session_id: str) -> None:
    """A server that stops while it is looked who asks is not kept by the stream that comes of it."""
    for is_warm in (False, True):
        control = Control(_Deaf())
        control.shut_down()
        async with client(relay.ws_url, session_id) if is_warm else nullcontext():
            call = Call(relay, session_id, control=control)
            async with asyncio.timeout(2):
                await call.task
        assert call.sent[0]["status"] == (200 if is_warm else 503)
        assert not call.sent[-1].get("more_body", False)
        if is_warm:
            assert b'"code":1012' in call.sent[-2]["body"]
        await relay.until_nothing_is_left()


@pytest.mark.alone
async def test_a_server_that_takes_nothing(redis_server: RedisServer, session_id: str) -> None:
    """When nothing has been taken for two heartbeats, the answer is broken off."""
    async with local_relay(redis_server.url, linger_s=0.0, heartbeat_s=0.2) as relay:
        call = Call(relay, session_id)
        await call.events(1)
        call.flows.clear()
        began_s = asyncio.get_running_loop().time()
        async with asyncio.timeout(5):
            await call.task
        assert asyncio.get_running_loop().time() - began_s < 1.5
        assert call.sent[-1]["more_body"] is True, "it is not complete"
        await relay.until_nothing_is_left()


async def test_a_loss_in_the_middle_of_a_snapshot(
    relay: LocalRelay, redis_server: RedisServer, session_id: str
) -> None:
    """A snapshot that is not completed gives no id; the one that takes its place does."""
    async with HintPublisher(redis_server.url) as publisher, Broker(redis_server.url) as broker:
        for n in range(4):
            # Each fills a write.
            await publisher.hint(session_id, f"{n}" * 60_000)
        # The head, when to come back, and the first write.
        call = Call(relay, session_id, takes=3)
        before = await call.events(2)
        (room,) = relay.hub._rooms.values()
        generation = room.feed.generation
        await broker.redis.delete(keys.log(session_id), keys.meta(session_id))
        kept = [await publisher.hint(session_id, f"new {n}") for n in range(2)]
        await relay.until(lambda: room.feed.generation > generation, "the loss is noticed")
        await relay.until(
            lambda: all(one.generation == room.feed.generation for one in room.readers),
            "all begin anew",
        )
        call.flows.set()
        got = [*before, *await call.events(3)]
        call.task.cancel()
        await asyncio.gather(call.task, return_exceptions=True)
    messages = [json.loads(one.data) for one in got]
    starts = [n for n, one in enumerate(messages) if one["type"] == "connection"]
    assert len(starts) == 2
    first, second = (messages[n] for n in starts)
    assert (first["recovered"], first["snapshot"]) == (None, 4)
    assert starts[1] - starts[0] < 5, "the first snapshot was broken off"
    assert (second["recovered"], second["snapshot"]) == (False, 2)
    ids = [one.last_id for one in got]
    assert ids[: starts[1] + 2] == [""] * (starts[1] + 2)
    assert ids[starts[1] + 2] == str(kept[-1].position)
