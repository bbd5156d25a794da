"""Which hints a session has, as far as somebody asks."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from collections.abc import Set as AbstractSet

    from relay.feed import Feed
    from relay.publication import Publication

# More than what a log keeps by default; some hundred bytes each.
_MAX_IDS = 4096


class HintIndex:
    """The ids of the hints in a feed, read from its ring when they are asked for.

    Pure. Each publication is looked at once at most, and none before the first question.

    Attributes:
        is_complete: whether it has the ids of all hints that the session keeps, up to the last scan.
    """

    __slots__ = ("_cursor", "_generation", "_ids", "is_complete")

    def __init__(self) -> None:
        self._ids: dict[str, None] = {}
        self._cursor = 0
        self._generation: int | None = None
        self.is_complete = False

    def __len__(self) -> int:
        """Return how many are known."""
        return len(self._ids)

    def scan(self, feed: Feed) -> None:
        """Take in what has come since the last scan."""
        if feed.generation != self._generation:
            # Another log: the hints of the old one are gone.
            self._ids.clear()
            self._generation = feed.generation
            self._begin(feed)
        elif self._cursor < feed.begin:
            # The ring has moved on: what it had in between is in the log only.
            self._begin(feed)
        publications = feed.read(self._cursor, sys.maxsize) or []
        self._cursor += len(publications)
        self._keep(_ids_of_hints(publications))

    def take_log(
        self,
        publications: Iterable[Publication],
        feed: Feed,
        ids: AbstractSet[str],
        *,
        is_all: bool,
    ) -> set[str]:
        """Take in what was read of the log after the last scan; returns what ``known`` would.

        A log may keep more hints than there is room for here: those are returned, too.

        Args:
            publications: what was read.
            feed: the session's.
            ids: those that are asked for.
            is_all: whether it is all that the log keeps. What is new alone makes nothing complete that
                the feed has lost meanwhile.
        """
        self.is_complete = self.is_complete or is_all
        in_log = dict.fromkeys(_ids_of_hints(publications))
        self._keep(in_log)
        self.scan(feed)
        return self.known(ids) | (in_log.keys() & ids)

    def known(self, ids: AbstractSet[str]) -> set[str]:
        """Return those of them that are here."""
        return {hint_id for hint_id in ids if hint_id in self._ids}

    def _keep(self, ids: Iterable[str]) -> None:
        self._ids.update(dict.fromkeys(ids))
        while len(self._ids) > _MAX_IDS:
            del self._ids[next(iter(self._ids))]
            self.is_complete = False

    def _begin(self, feed: Feed) -> None:
        self._cursor = feed.begin
        self.is_complete = feed.is_whole


def _ids_of_hints(publications: Iterable[Publication]) -> Iterator[str]:
    for publication in publications:
        # Most of a log is something else; looking costs a fiftieth of parsing.
        if b'"hint"' in publication.payload and (hint_id := _id_of_hint(publication)):
            yield hint_id


def _id_of_hint(publication: Publication) -> str | None:
    try:
        message = orjson.loads(publication.payload)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or message.get("type") != "hint":
        return None
    hint_id = message.get("id")
    return hint_id if isinstance(hint_id, str) else None
