"""Which hints a session has, as far as its ring tells."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from relay.feed import Feed
from relay.hint_index import HintIndex
from relay.log_slice import LogSlice
from relay.position import Position
from relay.publication import Publication

if TYPE_CHECKING:
    import pytest


def _feed(ring: int = 100, floor: int | None = None) -> Feed:
    """Return a live feed; with a floor, one whose log has more than is in the ring."""
    feed = Feed(max_messages=ring, max_bytes=1 << 30)
    feed.begin_read()
    at = None if floor is None else Position(1000, floor)
    feed.fill(LogSlice(None if at is None else at, at, None, ()))
    return feed


def _say(feed: Feed, offset: int | None, **fields: object) -> None:
    position = None if offset is None else Position(1000, offset)
    feed.receive(Publication(position, json.dumps(fields).encode()))


def _hint(feed: Feed, offset: int | None, hint_id: str) -> None:
    _say(feed, offset, type="hint", id=hint_id)


def _is_complete(index: HintIndex) -> bool:
    # A type checker believes that an attribute stays what it was asserted to be.
    return index.is_complete


def test_hints_only() -> None:
    """Hints count, kept or not; whatever else names one does not, and garbage does no harm."""
    feed, index = _feed(), HintIndex()
    _hint(feed, 1, "a")
    _hint(feed, None, "live")
    _say(feed, 2, type="feedback", id="b", hint="c")
    _say(feed, 3, type="hint")
    _say(feed, 4, type="hint", id=7)
    feed.receive(Publication(Position(1000, 5), b'"hint" {'))
    feed.receive(Publication(Position(1000, 6), b'["hint"]'))
    index.scan(feed)
    assert index.known({"a", "live", "b", "c", "d"}) == {"a", "live"}


def test_each_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further scan reads only what has come since."""
    feed, index = _feed(), HintIndex()
    parsed: list[bytes] = []

    def parse(publication: Publication) -> str:
        parsed.append(publication.payload)
        return json.loads(publication.payload)["id"]  # type: ignore[no-any-return]

    monkeypatch.setattr("relay.hint_index._id_of_hint", parse)
    _hint(feed, 1, "a")
    index.scan(feed)
    index.scan(feed)
    _hint(feed, 2, "b")
    index.scan(feed)
    assert [json.loads(payload)["id"] for payload in parsed] == ["a", "b"]
    assert index.known({"a", "b"}) == {"a", "b"}


def test_completeness() -> None:
    """It is complete while it has seen everything since the log's beginning, though the ring has not."""
    feed, index = _feed(ring=2), HintIndex()
    for offset in (1, 2, 3, 4):
        _hint(feed, offset, str(offset))
        index.scan(feed)
    assert _is_complete(index)
    assert not feed.is_whole
    assert index.known({"1", "4"}) == {"1", "4"}
    for offset in (5, 6, 7):
        _hint(feed, offset, str(offset))
    index.scan(feed)
    assert not _is_complete(index)
    assert index.known({"1", "5", "7"}) == {"1", "7"}


def test_the_log() -> None:
    """What the ring never had is in the log; after it was read, the index goes on by itself."""
    feed, index = _feed(floor=10), HintIndex()
    _hint(feed, 11, "new")
    index.scan(feed)
    assert not _is_complete(index)
    _hint(feed, 12, "newer")
    old = Publication(Position(1000, 3), b'{"type":"hint","id":"old"}')
    asked = {"old", "new", "other"}
    assert index.take_log([old], feed, asked, is_all=True) == {"old", "new"}
    assert _is_complete(index)
    assert index.known({"old", "new", "newer"}) == {"old", "new", "newer"}


def test_what_is_new_in_the_log() -> None:
    """What the log has more than the ring is known; it closes no gap that came while it was read."""
    feed, index = _feed(ring=2), HintIndex()
    _hint(feed, 1, "a")
    index.scan(feed)
    new = Publication(Position(1000, 2), b'{"type":"hint","id":"b"}')
    assert index.take_log([new], feed, {"a", "b"}, is_all=False) == {"a", "b"}
    assert _is_complete(index)
    for offset in range(2, 6):
        _hint(feed, offset, str(offset))
    index.scan(feed)
    assert not _is_complete(index)
    index.take_log([], feed, {"2"}, is_all=False)
    assert not _is_complete(index)


def test_a_lost_log() -> None:
    """The hints of a log that is lost are forgotten."""
    feed, index = _feed(), HintIndex()
    _hint(feed, 1, "a")
    index.scan(feed)
    feed.doubt()
    feed.begin_read()
    new = Publication(Position(2000, 1), b'{"type":"hint","id":"b"}')
    feed.fill(LogSlice(None, Position(2000, 1), None, (new,), from_beginning=True))
    index.scan(feed)
    assert index.known({"a", "b"}) == {"b"}


def test_the_bound() -> None:
    """It keeps the newest ids, and knows that it is not complete then."""
    feed, index = _feed(), HintIndex()
    for offset in range(1, 5001):
        _hint(feed, offset, str(offset))
        if offset % 50 == 0:
            index.scan(feed)
    assert len(index) == 4096
    assert not _is_complete(index)
    assert index.known({"1", "5000"}) == {"5000"}


def test_a_log_with_more_hints() -> None:
    """What a log keeps beyond the bound is known to whoever had it read."""
    feed, index = _feed(floor=1), HintIndex()
    index.scan(feed)
    log = [Publication(Position(1000, n), b'{"type":"hint","id":"%d"}' % n) for n in range(2, 5002)]
    assert index.take_log(log, feed, {"1", "2", "5001"}, is_all=True) == {"2", "5001"}
    assert len(index) == 4096
    assert not _is_complete(index)
