"""How messages look in a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.rendering import Rendering, first_appeared
from relay.position import Position
from relay.publication import Publication


def _lines(*messages: dict[str, Any]) -> list[str]:
    rendering = Rendering()
    shown = [rendering.line(json.dumps(message).encode()) for message in messages]
    return [line.plain.strip() for line in shown if line is not None]


_GROWING = {"type": "hint", "id": "h", "text": "", "status": "streaming"}


def test_a_hint_that_grows() -> None:
    """A hint that grows is a line when it begins, and one with all its text when it ends."""
    assert _lines(
        _GROWING,
        {"type": "append", "id": "h", "at": 0, "text": "Ask "},
        {**_GROWING, "text": "Ask "},
        {"type": "append", "id": "h", "at": 4, "text": "what.", "status": "complete"},
        {"type": "append", "id": "unknown", "at": 4, "text": "x"},
    ) == ["hint        … (still being written)", "hint        Ask what."]


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("complete", "Ask"),
        ("streaming", "Ask … (still being written)"),
        ("cancelled", "Ask (cancelled by a facilitator)"),
        ("interrupted", "Ask (interrupted)"),
    ],
)
def test_a_hint_in_the_log(status: str, end: str) -> None:
    """A kept hint says how it stands, unless it is just complete."""
    assert _lines({"type": "hint", "id": "h", "text": "Ask", "status": status}) == [
        f"hint        {end}"
    ]


def test_what_facilitators_say() -> None:
    """Feedback and commands say who, what, and of which hint by its first words."""
    long = "Ask what the letter smelled like, and wait for the answer."
    assert _lines(
        {"type": "hint", "id": "h", "text": long},
        {"type": "feedback", "hint": "h", "action": "used", "by": "guest-a"},
        {"type": "feedback", "hint": "gone", "action": "pinned", "by": "guest-a"},
        {"type": "command", "name": "cancel", "hint": "h", "by": "guest-a"},
        {"type": "command", "name": "steer", "text": "More!", "by": "guest-b"},
        {"type": "presence", "facilitators": 2, "who": ["guest-a", "guest-b"]},
        {"type": "presence", "facilitators": 0},
    )[1:] == [
        "feedback    guest-a  used “Ask what the letter smelled like, and wa…”",
        "feedback    guest-a  pinned hint gone",
        "command     guest-a  cancel “Ask what the letter smelled like, and wa…”",
        "command     guest-b  steer: More!",
        "watching    2 facilitators: guest-a, guest-b",
        "watching    no facilitators",
    ]


def test_no_control_characters() -> None:
    """A terminal obeys control characters, so none is shown, wherever it stands."""
    shown = _lines(
        {"type": "hint", "id": "h", "text": "\x1b[2Jx"},
        {"type": "command", "name": "\x1b", "hint": "\x1b", "text": "\x1b", "by": "\x1b"},
        {"type": "feedback", "hint": "h", "action": "\x1b", "by": "\x1b"},
        {"type": "transcript", "speaker": "\x1b", "text": "\x1b"},
        {"type": "presence", "facilitators": 1, "who": ["\x1b"]},
        {"type": "\x1b"},
    )
    assert len(shown) == 6
    assert "\x1b" not in "".join(shown)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
)
_TYPES = ["hint", "append", "transcript", "feedback", "command", "presence", "error", "connection"]
_NAMES = ["id", "text", "status", "hint", "action", "by", "name", "facilitators", "who", "speaker"]


@given(
    st.lists(
        st.builds(
            lambda kind, fields: {**fields, "type": kind},
            st.sampled_from(_TYPES) | _JSON,
            st.dictionaries(
                st.sampled_from([*_NAMES, "timestamp", "priority", "recovered"]), _JSON
            ),
        ),
        max_size=4,
    )
)
def test_whatever_comes(messages: list[dict[str, Any]]) -> None:
    """No message, whatever its fields hold, is an error."""
    _lines(*messages)


@pytest.mark.parametrize(
    ("fields", "offset"),
    [
        ({"type": "hint", "began": "7-2"}, 2),
        ({"type": "hint"}, 9),
        ({"type": "transcript", "began": "7-2"}, 9),
    ],
)
def test_a_hint_that_grew_stands_where_it_began(fields: dict[str, Any], offset: int) -> None:
    """In a history, a hint comes before what facilitators said of it while it grew."""
    payload = json.dumps({**fields, "id": "h", "text": "Ask"}).encode()
    assert first_appeared(Publication(Position(7, 9), payload)) == Position(7, offset)
