"""Positions parse, order and round-trip, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.errors import InvalidPosition
from relay.position import Position

_NUMBERS = st.integers(min_value=1, max_value=2**53 - 1)
_POSITIONS = st.builds(Position, _NUMBERS, _NUMBERS)


@given(_POSITIONS)
def test_round_trip(position: Position) -> None:
    """A position's text reads back as the same position."""
    assert Position.parse(str(position)) == position


@given(_POSITIONS, _POSITIONS)
def test_order(one: Position, other: Position) -> None:
    """A later epoch is later; within an epoch the offset decides."""
    expected = one.offset < other.offset if one.epoch == other.epoch else one.epoch < other.epoch
    assert (one < other) == expected


@given(_POSITIONS, st.binary(max_size=40))
def test_found_in_a_payload(position: Position, rest: bytes) -> None:
    """The position is read from its fixed place, whatever follows it."""
    payload = b'{"position":"' + str(position).encode() + b'",' + rest
    assert Position.of_payload(payload) == position


@given(st.binary(max_size=60))
def test_any_payload_is_survived(payload: bytes) -> None:
    """No bytes from Redis make reading the position raise."""
    assert Position.of_payload(b'{"position":"' + payload) is None or b"-" in payload


@given(st.text(max_size=40))
def test_any_text_is_a_position_or_refused(text: str) -> None:
    """What parses is exactly what would be written."""
    try:
        position = Position.parse(text)
    except InvalidPosition as error:
        assert "not a position" in str(error)
    else:
        assert str(position) == text


@pytest.mark.parametrize(
    "text",
    ["", "-", "1", "1-", "-1", "0-1", "1-0", "01-1", "1-01", "+1-1", "1 -1", "1_0-1", "1-1-1",
     "٣-1", "9007199254740992-1", "1-9007199254740992", "1" * 400 + "-1"],
)  # fmt: skip
def test_refused(text: str) -> None:
    """Other spellings of numbers are refused: one position has one text."""
    with pytest.raises(InvalidPosition):
        Position.parse(text)


def test_follows() -> None:
    """Only the next offset of the same epoch follows."""
    head = Position(7, 41)
    assert Position(7, 42).follows(head)
    assert not Position(7, 43).follows(head)
    assert not Position(8, 42).follows(head)
    assert not Position(7, 1).follows(None)
