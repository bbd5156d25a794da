"""What a newcomer needs of a session's past: less than all that was published, and no less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from relay.publication import Publication

if TYPE_CHECKING:
    from collections.abc import Sequence

# Only these make a later message change an earlier one. Searching bytes is a hundred times cheaper
# than parsing, and most sessions have neither.
_PIECE = b'"append"'
_MARKS = (_PIECE, b'"final"')
_HINT = b'"hint"'


def fold(publications: Sequence[Publication]) -> tuple[Publication, ...]:
    """Fold a run of publications into the shortest one that leaves a reader with the same picture.

    An append goes into its hint, the later version of a transcript line into the first one's place.
    A folded message keeps the position of the first, so that positions still only grow. An append
    whose hint is not in the run stays: its reader may have the hint. Everything else is handed on
    untouched, what can't be understood included.

    Pure. The cost is one parse of each message, and none when nothing can be folded.
    """
    if not any(mark in publication.payload for publication in publications for mark in _MARKS):
        return tuple(publications)
    folded: list[Publication | dict[str, Any]] = []
    hints: dict[str, dict[str, Any]] = {}
    lines: dict[str, dict[str, Any]] = {}
    for publication in publications:
        message = _parse(publication)
        match message:
            case {"type": "append", "id": str(key), "text": str(text)} if key in hints:
                hint = hints[key]
                hint["text"] += text
                if isinstance(message.get("status"), str):
                    hint["status"] = message["status"]
            case {"type": "hint", "id": str(key), "text": str()}:
                folded.append(_in_place(message, hints, key))
            case {"type": "transcript", "id": str(key), "text": str()}:
                folded.append(_in_place(message, lines, key))
            case _:
                folded.append(publication)
    return _written(folded)


def join_pieces(publications: Sequence[Publication]) -> tuple[Publication, ...]:
    """Put the pieces of a streaming hint that stand next to one another into one message each.

    For somebody who catches up: after each message, its reader has exactly what was published up to
    that message's position, as with the pieces themselves. So it may be cut off anywhere.

    Pure. The cost is one parse of each hint and piece, and none when there are no pieces.
    """
    if not any(_PIECE in publication.payload for publication in publications):
        return tuple(publications)
    joined: list[Publication] = []
    run: dict[str, Any] | None = None
    count = 0

    def end_run() -> None:
        if run is not None and count > 1:
            joined[-1] = Publication.of_payload(orjson.dumps(run))

    for publication in publications:
        is_of_hint = _PIECE in publication.payload or _HINT in publication.payload
        match _parse(publication) if is_of_hint else {}:
            case {"type": "append", "id": str(key), "text": str(text)} as piece if (
                run is not None and run["id"] == key
            ):
                count += 1
                joined[-1] = publication
                run["text"] += text
                run["position"] = piece.get("position")
                if isinstance(piece.get("status"), str):
                    run["status"] = piece["status"]
                continue
            case {"type": "hint" | "append", "id": str(), "text": str()} as message:
                end_run()
                run, count = message, 1
            case _:
                end_run()
                run, count = None, 0
        joined.append(publication)
    end_run()
    return tuple(joined)


def _in_place(
    message: dict[str, Any], known: dict[str, dict[str, Any]], key: str
) -> dict[str, Any]:
    """Return the entry for a message: a new one, or the earlier version's with the new content."""
    earlier = known.get(key)
    if earlier is None:
        known[key] = message
        return message
    position = earlier.get("position")
    earlier.clear()
    earlier.update(message)
    earlier["position"] = position
    return earlier


def _written(folded: list[Publication | dict[str, Any]]) -> tuple[Publication, ...]:
    written = []
    seen: set[int] = set()
    for entry in folded:
        if isinstance(entry, Publication):
            written.append(entry)
        elif id(entry) not in seen:
            # A second version's entry is the first one's: it stands there already.
            seen.add(id(entry))
            written.append(Publication.of_payload(orjson.dumps(entry)))
    return tuple(written)


def _parse(publication: Publication) -> dict[str, Any]:
    """Return the message, or one that matches nothing."""
    try:
        value = orjson.loads(publication.payload)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
