"""A folded snapshot leaves a reader with the picture that the whole past would have left."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from relay.position import Position
from relay.publication import Publication
from relay.snapshot import fold, join_pieces

_IDS = st.sampled_from(["a", "b", "c"])
_TEXT = st.text(max_size=5)
_STATUS = st.sampled_from(["complete", "cancelled", "interrupted"])
_MESSAGES = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("hint"), "id": _IDS, "text": _TEXT},
        optional={"status": st.just("streaming"), "priority": st.just("high")},
    ),
    st.fixed_dictionaries(
        {"type": st.just("append"), "id": _IDS, "text": _TEXT}, optional={"status": _STATUS}
    ),
    st.fixed_dictionaries(
        {"type": st.just("transcript"), "id": _IDS, "text": _TEXT},
        optional={"final": st.booleans(), "speaker": _TEXT},
    ),
    st.fixed_dictionaries({"type": st.just("transcript"), "text": _TEXT}),
    st.fixed_dictionaries({"type": st.just("feedback"), "hint": _IDS, "action": st.just("used")}),
    st.fixed_dictionaries({"type": st.just("append"), "id": st.integers(0, 9), "text": _TEXT}),
    st.fixed_dictionaries({"type": st.just("append"), "final": st.lists(st.integers(0, 9))}),
)


def _published(messages: list[dict[str, Any]]) -> list[Publication]:
    return [
        Publication.of_payload(orjson.dumps({"position": f"7-{n}", **message}))
        for n, message in enumerate(messages, 1)
    ]


def _picture(publications: list[Publication] | tuple[Publication, ...]) -> list[dict[str, Any]]:
    """What a reader sees: the page's rules, in a few lines."""
    seen: list[dict[str, Any]] = []
    by_key: dict[tuple[str, str], dict[str, Any]] = {}
    for publication in publications:
        message = orjson.loads(publication.payload)
        message.pop("position")
        kind, key = message.get("type"), message.get("id")
        if kind == "append" and isinstance(key, str) and ("hint", key) in by_key:
            hint = by_key["hint", key]
            hint["text"] += message["text"]
            hint.update({"status": message["status"]} if "status" in message else {})
        elif kind in ("hint", "transcript") and isinstance(key, str):
            if (kind, key) in by_key:
                by_key[kind, key].clear()
                by_key[kind, key].update(message)
            else:
                by_key[kind, key] = message
                seen.append(message)
        else:
            seen.append(message)
    return seen


@given(st.lists(_MESSAGES, max_size=30))
def test_folding_is_equivalent_to_replaying(messages: list[dict[str, Any]]) -> None:
    """Reading the folded run and reading the whole run show the same."""
    run = _published(messages)
    assert _picture(fold(run)) == _picture(run)


@given(st.lists(_MESSAGES, max_size=30))
def test_positions_still_only_grow(messages: list[dict[str, Any]]) -> None:
    """A folded run has positions of the run, in order, each once."""
    run = _published(messages)
    positions = [publication.position for publication in fold(run)]
    known = [publication.position for publication in run]
    assert all(position in known for position in positions)
    assert positions == sorted(set(positions), key=lambda position: position or Position(1, 1))


@given(st.lists(_MESSAGES, max_size=30), st.lists(_MESSAGES, max_size=10))
def test_live_messages_go_on_from_a_folded_run(
    past: list[dict[str, Any]], live: list[dict[str, Any]]
) -> None:
    """What comes live after a snapshot means the same as after the whole past."""
    run = _published([*past, *live])
    kept, later = run[: len(past)], run[len(past) :]
    assert _picture([*fold(kept), *later]) == _picture(run)


@given(st.lists(_MESSAGES, max_size=30))
def test_folding_twice_is_folding_once(messages: list[dict[str, Any]]) -> None:
    """A folded run can't be folded further."""
    once = fold(_published(messages))
    assert [p.payload for p in fold(once)] == [p.payload for p in once]


def test_ten_thousand_tokens_are_one_message() -> None:
    """A long streamed hint reaches a late joiner as one message with the text so far."""
    tokens = [f"word{n} " for n in range(10_000)]
    run = _published(
        [
            {"type": "hint", "id": "long", "text": "", "status": "streaming"},
            *({"type": "append", "id": "long", "text": token} for token in tokens),
        ]
    )
    (hint,) = fold(run)
    assert orjson.loads(hint.payload)["text"] == "".join(tokens)
    assert hint.position == Position(7, 1)


def test_nothing_to_fold_costs_nothing() -> None:
    """Plain hints are handed on as the same objects, even when they are not JSON."""
    run = [*_published([{"type": "hint", "text": "x"}]), Publication(Position(7, 2), b"\xff{")]
    assert all(one is other for one, other in zip(fold(run), run, strict=True))


def test_broken_messages_stay_as_they_are() -> None:
    """A message that nobody can parse keeps its place among folded ones."""
    broken = Publication(Position(7, 1), b'{"position":"7-1","append"')
    run = [broken, *_published([{"type": "transcript", "id": "a", "text": "x", "final": False}])]
    assert fold(run)[0] is broken


@given(st.lists(_MESSAGES, max_size=30))
def test_joined_pieces_may_be_cut_off_anywhere(messages: list[dict[str, Any]]) -> None:
    """After each joined message its reader has what was published up to that message's position."""
    had = _published([{"type": "hint", "id": one, "text": "so far "} for one in "abc"])
    run = _published(messages)
    joined = join_pieces(run)
    for count, last in enumerate(joined, 1):
        published = [p for p in run if last.position and p.position and p.position <= last.position]
        assert _picture([*had, *joined[:count]]) == _picture([*had, *published])
    assert [p.position for p in joined[-1:]] == [p.position for p in run[-1:]]


def test_pieces_that_were_missed_are_one_message() -> None:
    """Who comes back in the middle of a streaming hint gets what it lacks in one append."""
    run = _published(
        [
            *({"type": "append", "id": "long", "at": n, "text": "x"} for n in range(7, 107)),
            {"type": "append", "id": "long", "at": 107, "text": "y", "status": "complete"},
        ]
    )
    (append,) = join_pieces(run)
    assert orjson.loads(append.payload) == {
        "position": "7-101", "type": "append", "id": "long", "at": 7, "text": "x" * 100 + "y",
        "status": "complete",
    }  # fmt: skip


def test_pieces_between_other_messages_keep_their_places() -> None:
    """Messages between the pieces of a hint are neither moved nor changed."""
    run = _published(
        [
            {"type": "append", "id": "a", "text": "1"},
            {"type": "append", "id": "a", "text": "2"},
            {"type": "transcript", "id": "t", "text": "said"},
            {"type": "append", "id": "a", "text": "3"},
            {"type": "append", "id": "b", "text": "other"},
        ]
    )
    joined = join_pieces(run)
    assert joined[1:] == tuple(run[2:])
    assert joined[0].payload == b'{"position":"7-2","type":"append","id":"a","text":"12"}'
