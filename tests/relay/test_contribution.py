"""What a facilitator has to say to a session, checked without any I/O."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from relay.contribution import MAX_STEER_CHARACTERS, Contribution, ref_of
from relay.errors import InvalidMessage, MessageTooLarge, TextTooLong
from relay.identity import Identity
from relay.messages import Command, Feedback, check_inbound

_MARA = Identity("guest-mara", is_lasting=True)
_SOMEBODY = Identity("guest-c01d44", is_lasting=False)

_FEEDBACK = {"type": "feedback", "id": "f", "hint": "h", "action": "used"}
_STEER = {"type": "command", "id": "c", "name": "steer", "text": "More."}
_CANCEL = {"type": "command", "id": "c", "name": "cancel", "hint": "h"}


def _contribution(
    fields: dict[str, Any], who: Identity = _MARA, max_bytes: int = 65_536
) -> Contribution:
    message = check_inbound(fields)
    assert isinstance(message, Feedback | Command)
    return Contribution.of(fields, message, who, now_s=1000.5, max_bytes=max_bytes)


def test_what_is_published() -> None:
    """The relay says who and when; unknown fields stay, whatever they hold."""
    made = _contribution({**_FEEDBACK, "note": {"x": [None, 1.5]}, "other": None})
    assert orjson.loads(made.payload) == {
        **_FEEDBACK, "timestamp": 1000.5, "note": {"x": [None, 1.5]}, "other": None,
        "by": "guest-mara",
    }  # fmt: skip
    assert (made.ref, made.kind, made.hint, made.cancels) == ("f", "feedback", "h", False)


@pytest.mark.parametrize(
    ("fields", "hint", "cancels"),
    [(_STEER, None, False), ({**_STEER, "hint": "h"}, "h", False), (_CANCEL, "h", True)],
)
def test_commands(fields: dict[str, Any], hint: str | None, cancels: bool) -> None:
    """A command may name a hint; only ``cancel`` stops it."""
    made = _contribution(fields)
    assert (made.kind, made.hint, made.cancels) == ("command", hint, cancels)


def test_repetitions() -> None:
    """An id is its owner's, when the owner can be known again; and each type has its own ids."""
    assert _contribution(_FEEDBACK).dedupe_id == "feedback:guest-mara:f"
    assert _contribution(_FEEDBACK, _SOMEBODY).dedupe_id == "feedback:f"
    assert _contribution(_CANCEL).dedupe_id == "command:guest-mara:c"


@pytest.mark.parametrize("name", ["by", "timestamp", "position", "session"])
@pytest.mark.parametrize("value", [None, "s", 1])
def test_what_only_the_relay_sets(name: str, value: object) -> None:
    """It is refused, whatever its value, and the refusal says who sets it."""
    message = check_inbound(_FEEDBACK)
    assert isinstance(message, Feedback)
    with pytest.raises(InvalidMessage, match=f"'{name}'.* leave it out"):
        Contribution.of({**_FEEDBACK, name: value}, message, _MARA, now_s=0.0, max_bytes=65_536)


@pytest.mark.parametrize("fields", [_FEEDBACK, _STEER, _CANCEL])
def test_without_an_id(fields: dict[str, Any]) -> None:
    """An id that the relay made would be no use to the sender."""
    with pytest.raises(InvalidMessage, match="'id'"):
        _contribution({name: value for name, value in fields.items() if name != "id"})


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({**_CANCEL, "hint": None}, "'hint'"),
        ({**_STEER, "text": None}, "'text'"),
        ({**_STEER, "text": " \n\t"}, "'text'"),
    ],
)
def test_incomplete_commands(fields: dict[str, Any], what: str) -> None:
    """``cancel`` says which hint, ``steer`` says something."""
    with pytest.raises(InvalidMessage, match=what):
        _contribution(fields)


def test_nested_too_deep() -> None:
    """What can be read but not written is its sender's mistake."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    with pytest.raises(InvalidMessage, match="can't be written"):
        _contribution({**_STEER, "extra": deep})


def test_long_texts() -> None:
    """``steer`` is bounded in characters, and the refusal says the bound."""
    _contribution({**_STEER, "text": "é" * MAX_STEER_CHARACTERS})
    with pytest.raises(TextTooLong, match="2,000") as refusal:
        _contribution({**_STEER, "text": "é" * (MAX_STEER_CHARACTERS + 1)})
    assert refusal.value.code == "too_large"


def test_large_messages() -> None:
    """What would be published is bounded in bytes."""
    size = len(_contribution(_FEEDBACK).payload)
    _contribution(_FEEDBACK, max_bytes=size)
    with pytest.raises(MessageTooLarge):
        _contribution(_FEEDBACK, max_bytes=size - 1)


@pytest.mark.parametrize(
    ("fields", "ref"),
    [({"id": "x"}, "x"), ({}, None), ({"id": ""}, None), ({"id": 7}, None),
     ({"id": "x" * 128}, "x" * 128), ({"id": "x" * 129}, None)],
)  # fmt: skip
def test_refs(fields: dict[str, Any], ref: str | None) -> None:
    """An answer names a message by its id when that could be one."""
    assert ref_of(fields) == ref
