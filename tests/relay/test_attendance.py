"""Who is watching, on real servers."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from relay.attendance import Attendance
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard, Watching
from relay.feed import Feed
from relay.identity import Identity
from relay.metrics import Metrics
from relay.room import Room
from relay.socket.reader import FeedReader
from tests.support.client import Client, Json, client
from tests.support.redis import RedisServer
from tests.support.relay import LocalRelay, RelayProcess, local_relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence

    from relay.close_codes import CloseCode
    from relay.publication import Publication
    from relay.reader import Fresh, Welcome
    from tests.support.sockets import Sockets


@pytest.fixture
async def relays(kind: tuple[Sockets, str]) -> AsyncIterator[tuple[LocalRelay, LocalRelay]]:
    """Two workers on one broker."""
    sockets, url = kind
    async with (
        local_relay(url, options=sockets.options, linger_s=0.0) as one,
        local_relay(url, options=sockets.options, linger_s=0.0) as two,
    ):
        yield one, two


def _watching(*names: str) -> Json:
    who = sorted(f"guest-{name}" for name in names)
    return {"type": "presence", "facilitators": len(who), "who": who}


async def _until(facilitator: Client, *names: str, timeout_s: float = 5.0) -> None:
    """Wait until this facilitator is told that just these are watching."""
    async with asyncio.timeout(timeout_s):
        while await facilitator.next_of("presence", timeout_s) != _watching(*names):
            pass


async def _silence(facilitator: Client, seconds: float) -> None:
    """Make sure that nobody is told anything about who is watching."""
    with pytest.raises(TimeoutError):
        await facilitator.next_of("presence", seconds)


async def test_two_relays(relays: tuple[LocalRelay, LocalRelay], session_id: str) -> None:
    """Everybody on every relay, and who comes, is soon told of all who are there."""
    one, two = relays
    async with client(one.ws_url, session_id, guest="mara") as mara:
        began_s = time.monotonic()
        await _until(mara, "mara")
        assert time.monotonic() - began_s < 2
        async with client(two.ws_url, session_id, guest="ada") as ada:
            await _until(ada, "ada", "mara")
            await _until(mara, "ada", "mara")
        await _until(mara, "mara")
    assert one.metrics.presence_told._value + two.metrics.presence_told._value >= 3


async def test_who_comes_and_changes_nothing(
    relays: tuple[LocalRelay, LocalRelay], session_id: str
) -> None:
    """A second window is told who is watching; the others, who know, are not told again."""
    async with client(relays[0].ws_url, session_id, guest="mara") as mara:
        await _until(mara, "mara")
        for relay in relays:
            async with client(relay.ws_url, session_id, guest="mara") as window:
                await _until(window, "mara")
                await _silence(mara, 0.5)


@pytest.mark.alone
async def test_a_reload(relays: tuple[LocalRelay, LocalRelay], session_id: str) -> None:
    """Who is back at once has not been away; others hear nothing of it."""
    one, _ = relays
    async with client(one.ws_url, session_id, guest="mara") as mara:
        async with client(one.ws_url, session_id, guest="ada") as ada:
            await _until(ada, "ada", "mara")
            await _until(mara, "ada", "mara")
        async with client(one.ws_url, session_id, guest="ada") as ada:
            await _until(ada, "ada", "mara")
            await _silence(mara, 1.5)


@pytest.mark.alone
async def test_a_relay_that_stops(sockets: Sockets, session_id: str) -> None:
    """A relay that stops takes its facilitators off the board at once."""
    with RedisServer() as redis:
        async with (
            local_relay(redis.url, options=sockets.options) as stays,
            client(stays.ws_url, session_id, guest="mara") as mara,
        ):
            before = asyncio.all_tasks()
            async with (
                local_relay(redis.url, options=sockets.options) as stops,
                client(stops.ws_url, session_id, guest="ada") as ada,
            ):
                await _until(mara, "ada", "mara")
                assert stops.server is not None
                stops.server.should_exit = True
                await ada.closed()
            began_s = time.monotonic()
            await _until(mara, "mara")
            assert time.monotonic() - began_s < 1
            await asyncio.sleep(0.05)
            assert asyncio.all_tasks() <= before


async def test_a_relay_that_is_killed(redis_server: RedisServer, session_id: str) -> None:
    """The facilitators of a relay that dies are gone within 15 s."""
    with RelayProcess(redis_server.url) as dies:
        async with (
            local_relay(redis_server.url) as stays,
            client(stays.ws_url, session_id, guest="mara") as mara,
            client(dies.ws_url, session_id, guest="ada"),
        ):
            await _until(mara, "ada", "mara")
            dies.kill()
            await _until(mara, "mara", timeout_s=15.0)


async def test_redis_away(sockets: Sockets, session_id: str) -> None:
    """What a Redis that was away has forgotten is reported again, as soon as it is back."""
    with RedisServer() as redis:
        async with (
            local_relay(redis.url, options=sockets.options, linger_s=0.0) as relay,
            client(relay.ws_url, session_id, guest="mara") as mara,
        ):
            await _until(mara, "mara")
            redis.kill()
            async with client(relay.ws_url, session_id, guest="ada", welcome=False) as ada:
                await asyncio.sleep(1.0)
                redis.start()
                await asyncio.to_thread(redis.wait_until_ready)
                await _until(mara, "ada", "mara", timeout_s=10.0)
                await _until(ada, "ada", "mara", timeout_s=10.0)
            await _until(mara, "mara")


async def test_nobody_is_left(relays: tuple[LocalRelay, LocalRelay], session_id: str) -> None:
    """When the last one has gone the board is empty, and nothing is reported any more."""
    one, _ = relays
    async with client(one.ws_url, session_id) as facilitator:
        await facilitator.next_of("presence")
    async with Broker(one.settings.redis_url) as broker, asyncio.timeout(5):
        while (await PresenceBoard(broker).look(session_id)).facilitators:
            await asyncio.sleep(0.05)


async def test_a_crowd(redis_server: RedisServer, session_id: str) -> None:
    """Of many who come at once each is counted, and few messages say so."""
    async with local_relay(redis_server.url) as relay:
        heard = 0

        async def watch(number: int) -> None:
            nonlocal heard
            async with client(relay.ws_url, session_id, guest=f"g{number:03}") as facilitator:
                while (told := await facilitator.next_of("presence"))["facilitators"] < 200:
                    heard += 1
                assert len(told["who"]) == 64
                await ready.wait()

        ready = asyncio.Barrier(200)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(watch(number))
        assert heard < 200 * 5


class Board(PresenceBoard):
    """Answers what it was told to, after something has happened meanwhile."""

    def __init__(self) -> None:
        self.message = b"1"
        self.meanwhile: Callable[[], None] = lambda: None

    async def report_all(
        self, worker: str, reports: Sequence[tuple[str, Collection[str]]]
    ) -> list[Watching]:
        message = self.message
        self.meanwhile()
        return [Watching(1, message, told=False) for _ in reports]


class Shown(FeedReader):
    """Notes what it was shown."""

    def __init__(self) -> None:
        super().__init__(Identity("guest-mara", is_lasting=True))
        self.shown: list[bytes] = []

    def tell(self, message: Publication) -> None: ...

    def wake(self, fresh: Fresh) -> bool:
        return False

    def restart(self, welcome: Welcome) -> None: ...

    def end(self, code: CloseCode) -> None: ...

    def show_presence(self, presence: Publication) -> None:
        if self.ask_presence(presence):
            self.shown.append(presence.payload)


async def test_what_was_told_and_not_heard() -> None:
    """What this worker has missed of what was told is shown with its next report."""
    board, now_s = Board(), 1000.0
    attendance = Attendance(board, Metrics(), worker="w", clock_s=lambda: now_s)
    source: Any = None
    room, mara = Room("s", Feed(max_messages=1, max_bytes=1), source, lambda _: None), Shown()
    room.readers.add(mara)
    attendance.came(room)
    now_s += 0.5
    await attendance.report_due()
    assert mara.shown == [b"1"]
    # The subscription was broken while another worker told of a second one.
    board.message = b"2"
    attendance.report_all()
    await attendance.report_due()
    assert mara.shown == [b"1", b"2"]


async def test_an_answer_that_was_overtaken() -> None:
    """An answer does not take the place of what was told after it, and heard before it."""
    board, now_s = Board(), 1000.0
    attendance = Attendance(board, Metrics(), worker="w", clock_s=lambda: now_s)
    source: Any = None
    room, mara = Room("s", Feed(max_messages=1, max_bytes=1), source, lambda _: None), Shown()
    room.readers.add(mara)
    attendance.came(room)
    now_s += 0.5
    board.meanwhile = lambda: room.show_presence(b"2")
    await attendance.report_due()
    assert mara.shown == [b"2"]
    assert room.presence is not None
    assert room.presence.payload == b"2"
