"""What one facilitator gets next, without any socket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.close_codes import CloseCode
from relay.feed import Backlog, Feed
from relay.identity import Identity
from relay.log_slice import LogSlice
from relay.position import Position
from relay.publication import Publication
from relay.reader import Welcome
from relay.room import Room
from relay.socket.reader import FeedReader

if TYPE_CHECKING:
    from relay.room import Source

EPOCH = 1000
_NO_BYTES_LIMIT = 1 << 30


class NoSource:
    """A room's Redis that nobody may ask."""

    link_generation: int | None = 0

    async def subscribe(self, session: str) -> None:
        raise AssertionError

    async def read(self, session: str, after: Position | None) -> LogSlice:
        raise AssertionError

    async def until_link_up(self) -> int:
        raise AssertionError


class SilentReader(FeedReader):
    """A reader to whom nothing is said beside the feed."""

    def tell(self, message: Publication) -> None:
        raise AssertionError

    def show_presence(self, presence: Publication) -> None:
        raise AssertionError

    def end(self, code: CloseCode) -> None:
        raise AssertionError


def _room(ring: int = 100) -> Room:
    """Return a room with a live feed that has no log yet."""
    source: Source = NoSource()
    feed = Feed(max_messages=ring, max_bytes=_NO_BYTES_LIMIT)
    feed.begin_read()
    feed.fill(LogSlice(None, None, None, ()))
    return Room("s", feed, source, lambda _: None)


def _publication(offset: int, size: int = 0) -> Publication:
    payload = {"position": f"{EPOCH}-{offset}", "type": "hint", "text": "x" * size}
    return Publication(Position(EPOCH, offset), json.dumps(payload).encode())


def _welcome(room: Room, *backlog: Publication, recovered: bool | None = None) -> Welcome:
    feed = room.feed
    return Welcome(feed.head, Backlog(recovered, backlog), feed.end, feed.generation)


def _take(reader: FeedReader, max_bytes: int = _NO_BYTES_LIMIT) -> list[dict[str, Any]]:
    return [json.loads(one.payload) for one in reader.take(max_bytes, 10.0)]


def _all(reader: FeedReader, max_bytes: int = _NO_BYTES_LIMIT) -> list[str]:
    """Take until nothing is due; returns positions, or types of what has none."""
    found = []
    while batch := _take(reader, max_bytes):
        found += [
            str(one.get("position") if one["type"] == "hint" else one["type"]) for one in batch
        ]
    return found


def _positions(*offsets: int) -> list[str]:
    return [f"{EPOCH}-{offset}" for offset in offsets]


def test_before_the_welcome() -> None:
    """A reader without a room has nothing to say, not even a heartbeat that was asked for."""
    reader = SilentReader()
    reader.ask_heartbeat()
    assert _take(reader) == []
    assert reader.sent == 0


def test_the_order() -> None:
    """First the connection message, then the backlog, then what is live, then a heartbeat."""
    room, reader = _room(), SilentReader()
    for offset in (1, 2, 3):
        room.feed.receive(_publication(offset))
    reader.start(room, _welcome(room, _publication(1), _publication(3)))
    reader.ask_heartbeat()
    room.feed.receive(_publication(4))
    assert _all(reader) == ["connection", *_positions(1, 3, 4), "heartbeat"]
    assert reader.sent == 3
    assert _take(reader) == []


@pytest.mark.parametrize(("recovered", "snapshot"), [(None, 2), (False, 2), (True, 0)])
def test_the_connection_message(recovered: bool | None, snapshot: int) -> None:
    """It names the head, and announces a snapshot by its length."""
    room, reader = _room(), SilentReader()
    room.feed.receive(_publication(1))
    backlog = (_publication(1), _publication(1))
    reader.start(room, _welcome(room, *backlog, recovered=recovered))
    assert _take(reader)[0] == {
        "type": "connection",
        "status": "connected",
        "session": "s",
        "position": f"{EPOCH}-1",
        "recovered": recovered,
        "snapshot": snapshot,
        "heartbeat_s": 10.0,
    }


@given(st.lists(st.integers(0, 500), max_size=20), st.integers(0, 20), st.integers(1, 1500))
def test_pieces(sizes: list[int], kept: int, max_bytes: int) -> None:
    """However small the pieces are, everything comes once and in order, and no piece is too large."""
    room, reader = _room(), SilentReader()
    publications = [_publication(n + 1, size) for n, size in enumerate(sizes)]
    kept = min(kept, len(publications))
    for publication in publications[:kept]:
        room.feed.receive(publication)
    reader.start(room, _welcome(room, *publications[:kept]))
    for publication in publications[kept:]:
        room.feed.receive(publication)
    got: list[Publication] = []
    while batch := reader.take(max_bytes, 10.0):
        body = batch[1:] if not got else batch
        assert len(body) <= 1 or sum(map(len, body)) <= max_bytes
        got += batch
    assert [one.payload for one in got[1:]] == [one.payload for one in publications]
    assert reader.sent == len(publications)


def test_heartbeats() -> None:
    """Several that were asked for are one, behind everything that was due, with the newest position."""
    room, reader = _room(), SilentReader()
    reader.start(room, _welcome(room))
    assert _all(reader) == ["connection"]
    for _ in range(3):
        reader.ask_heartbeat()
    assert _take(reader) == [{"type": "heartbeat", "position": None}]
    reader.ask_heartbeat()
    room.feed.receive(_publication(1))
    assert _take(reader, 1)[0]["type"] == "hint"
    assert _take(reader) == [{"type": "heartbeat", "position": f"{EPOCH}-1"}]
    assert _take(reader) == []
    assert reader.sent == 1


def test_too_slow() -> None:
    """When the ring has moved past the cursor the reader ends with 4002, and takes no more."""
    room, reader = _room(ring=2), SilentReader()
    reader.start(room, _welcome(room))
    _all(reader)
    for offset in (1, 2, 3):
        room.feed.receive(_publication(offset))
    reader.ask_heartbeat()
    assert _take(reader) == []
    assert reader.ending is CloseCode.TOO_SLOW


def test_another_ending_stays() -> None:
    """What a reader is already being closed with is not changed by being too slow."""
    room, reader = _room(ring=1), SilentReader()
    reader.start(room, _welcome(room))
    _all(reader)
    reader.ending = CloseCode.BROKER_LOST
    room.feed.receive(_publication(1))
    room.feed.receive(_publication(2))
    assert _take(reader) == []
    assert reader.ending is CloseCode.BROKER_LOST


def test_a_slow_reader_of_a_backlog() -> None:
    """The ring may move past a reader that still has backlog: that is given first, then it ends."""
    room, reader = _room(ring=1), SilentReader()
    room.feed.receive(_publication(1))
    reader.start(room, _welcome(room, _publication(1, 100), _publication(1, 100)))
    assert len(_take(reader, 1)) == 2
    room.feed.receive(_publication(2))
    room.feed.receive(_publication(3))
    assert _all(reader) == _positions(1)
    assert reader.ending is CloseCode.TOO_SLOW


def _reset(room: Room, *publications: Publication) -> None:
    """Lose the log, and find another one."""
    feed = room.feed
    feed.doubt()
    feed.begin_read()
    head = publications[-1].position if publications else None
    feed.fill(LogSlice(None, head, None, publications, from_beginning=True))


def test_a_lost_log() -> None:
    """Between the loss and the new welcome nothing is taken; then everything begins anew."""
    room, reader = _room(), SilentReader()
    for offset in (1, 2):
        room.feed.receive(_publication(offset))
    reader.start(room, _welcome(room, _publication(1), _publication(2)))
    # In the middle of the backlog.
    assert len(_take(reader, 1)) == 2
    new = Publication(Position(EPOCH + 1, 1), b'{"position":"1001-1","type":"hint"}')
    _reset(room, new)
    generation = room.feed.generation
    assert generation > reader.generation
    reader.ask_heartbeat()
    # What a connection does when it is told to restart.
    reader.generation, reader._welcome = generation, _welcome(room, new, recovered=False)
    assert _all(reader) == ["connection", "1001-1", "heartbeat"]


def test_a_heartbeat_before_the_new_welcome() -> None:
    """Until the new welcome a heartbeat names no position: the client can't have the new log's."""
    room, reader = _room(), SilentReader()
    room.feed.receive(_publication(1))
    reader.start(room, _welcome(room))
    _all(reader)
    _reset(room, Publication(Position(EPOCH + 1, 1), b'{"position":"1001-1","type":"hint"}'))
    reader.ask_heartbeat()
    assert _take(reader) == [{"type": "heartbeat", "position": None}]
    assert _take(reader) == []


def test_starting_after_a_restart() -> None:
    """A restart that came first is newer than the welcome of the join, and stays."""
    room, reader = _room(), SilentReader()
    room.feed.receive(_publication(1))
    old = _welcome(room)
    _reset(room, Publication(Position(EPOCH + 1, 1), b'{"position":"1001-1","type":"hint"}'))
    new = _welcome(room, recovered=False)
    reader.generation, reader._welcome = new.generation, new
    assert new.generation > old.generation
    reader.start(room, old)
    assert reader.generation == new.generation
    assert _take(reader)[0]["recovered"] is False


def test_who_it_is() -> None:
    """The connection message tells a reader its name; one without a name is nobody."""
    room, reader = _room(), SilentReader(Identity("guest-mara", is_lasting=True))
    reader.start(room, _welcome(room))
    assert _take(reader)[0]["you"] == "guest-mara"
    assert reader.facilitator is reader
    assert reader.who == Identity("guest-mara", is_lasting=True)
    assert SilentReader().facilitator is None


def test_how_far_it_was_served() -> None:
    """It is the newest position that was taken: of the backlog, then of the ring."""
    room, reader = _room(), SilentReader()
    assert reader.delivered() is None
    for offset in (1, 2, 3):
        room.feed.receive(_publication(offset))
    reader.start(room, _welcome(room, _publication(1), _publication(3)))
    served = [reader.delivered()]
    room.feed.receive(_publication(4))
    while _take(reader, 1):
        served.append(reader.delivered())
    assert served == [None, *(Position(EPOCH, offset) for offset in (1, 3, 4))]
    _reset(room, Publication(Position(EPOCH + 1, 1), b'{"position":"1001-1","type":"hint"}'))
    assert reader.delivered() is None, "the log that it was served from is gone"


def test_presence() -> None:
    """Only the newest is sent, behind all publications, and none twice in a row."""
    room, reader = _room(), SilentReader()
    one, two = Publication(None, b'{"type":"one"}'), Publication(None, b'{"type":"two"}')
    assert reader.ask_presence(one)
    assert reader.ask_presence(two)
    reader.start(room, _welcome(room, _publication(1)))
    reader.ask_heartbeat()
    assert _all(reader) == ["connection", *_positions(1), "two", "heartbeat"]
    assert not reader.ask_presence(two)
    assert _take(reader) == []
    assert reader.ask_presence(one)
    assert _all(reader) == ["one"]
    assert reader.sent == 1
