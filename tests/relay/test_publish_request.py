"""What may be published over HTTP, by whom, and what becomes of it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.auth.grant import OPEN, Grant, Role
from relay.contribution import Contribution, Sighting
from relay.errors import Forbidden, InvalidMessage, MessageTooLarge, RequestError
from relay.identity import identify
from relay.publish_request import (
    CONTRIBUTIONS,
    MAX_MESSAGES,
    PUBLISHABLE,
    RESERVED,
    IdempotencyKey,
    Publishing,
    WrongMessage,
    check_one,
    parse_body,
)

_ADA = identify("ada")
_BYTES = 64 * 1024
_KINDS = [*RESERVED, *CONTRIBUTIONS, *PUBLISHABLE, "append", "of-my-own"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
_VALUES: dict[str, list[Any]] = {
    "id": ["1"], "text": ["Slow down."], "timestamp": [0, 1.5], "status": ["complete"],
    "position": ["1-1"], "hint": ["h"], "hints": [["h"]], "action": ["used"],
    "name": ["steer", "cancel"], "by": ["me"], "session": ["s"], "meta": [{}],
    "final": [True], "priority": ["high"], "expires_at": [5], "retry_after_ms": [5, 5.0],
}  # fmt: skip
# Messages that are nearly right: known fields with any values.
_MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(_KINDS)},
    optional={
        name: _JSON | st.text(min_size=1, max_size=5) | st.sampled_from(values)
        for name, values in _VALUES.items()
    },
)


def _check(fields: dict[str, Any], grant: Grant = OPEN, **options: Any) -> Any:
    options = {"given_id": None, "now_s": 5.0, "max_bytes": _BYTES, **options}
    return check_one(fields, grant=grant, who=_ADA, **options)


def _grant(role: Role) -> Grant:
    return Grant(role, ("*",))


# Bodies


@given(st.binary(max_size=200) | _JSON.map(lambda value: repr(value).encode()))
def test_any_bytes(body: bytes) -> None:
    """Whatever comes is some messages, or is refused in words."""
    try:
        messages, _ = parse_body(body)
    except RequestError as error:
        assert str(error).endswith(".")
    else:
        assert 0 < len(messages) <= MAX_MESSAGES
        assert all(isinstance(one, dict) for one in messages)


@pytest.mark.parametrize("count", [1, MAX_MESSAGES])
def test_an_array(count: int) -> None:
    """One object is one message, an array of up to a hundred are several."""
    assert parse_body(b'{"a":1}') == ([{"a": 1}], False)
    assert parse_body(orjson.dumps([{}] * count)) == ([{}] * count, True)


@pytest.mark.parametrize("body", [b"[]", orjson.dumps([{}] * (MAX_MESSAGES + 1)), b"", b"{]"])
def test_no_array(body: bytes) -> None:
    """None, and too many, are refused, and so is what is no JSON."""
    with pytest.raises(RequestError) as caught:
        parse_body(body)
    assert caught.value.code == "bad_request"


def test_which_one_is_wrong() -> None:
    """What is no object is named by its place."""
    with pytest.raises(WrongMessage) as caught:
        parse_body(b"[{},5]")
    assert (caught.value.index, str(caught.value)) == (1, "Message 1: It is not a JSON object.")
    with pytest.raises(WrongMessage) as caught:
        parse_body(b"5")
    assert (caught.value.index, str(caught.value)) == (None, "It is not a JSON object.")


# Messages


@given(_MESSAGES)
def test_any_message(fields: dict[str, Any]) -> None:
    """What is published says what was sent, under an id, and never what only relays may say."""
    try:
        item = _check(fields)
    except RequestError as error:
        assert str(error)
        return
    kind = fields["type"]
    assert kind not in RESERVED
    assert kind != "append"
    if isinstance(item, Sighting):
        assert kind == "seen"
        return
    said = orjson.loads(item.payload)
    assert said["type"] == kind
    assert "position" not in said
    if isinstance(item, Contribution):
        assert kind in CONTRIBUTIONS
        assert (said["by"], said["timestamp"], said["id"]) == (_ADA.name, 5.0, item.ref)
        return
    assert isinstance(item, Publishing)
    assert next(iter(said)) == "type"
    assert said["id"] == item.id == (fields.get("id") or item.id)
    # An error has no time of its own.
    assert kind == "error" or said["timestamp"] >= 0
    assert not (kind == "hint" and said.get("status") == "streaming")
    # What is checked a second time is the same: repeating it publishes nothing new.
    assert _check({**fields, "id": item.id}).dedupe_id == item.dedupe_id


@given(_MESSAGES, st.sampled_from([*Role, None]))
def test_who_may_send_what(fields: dict[str, Any], role: Role | None) -> None:
    """Facilitators answer, agents publish, observers do neither; without tokens all may all."""
    grant = Grant(role, ("*",))
    may = grant.may_contribute if fields["type"] in CONTRIBUTIONS else grant.may_publish
    try:
        _check(fields, grant)
    except Forbidden as error:
        assert not may
        assert fields["type"] in str(error)
    except RequestError:
        assert may
    else:
        assert may


@pytest.mark.parametrize("kind", sorted(RESERVED))
def test_what_only_relays_say(kind: str) -> None:
    """Nobody can publish what a client would take for a relay's word."""
    for fields in ({"type": kind}, {"type": kind, "id": "1", "text": "x"}):
        for grant in (OPEN, _grant(Role.AGENT)):
            with pytest.raises(InvalidMessage, match="'type'"):
                _check(fields, grant)


@pytest.mark.parametrize("kind", [None, 5, "", "x" * 65, ["hint"], {"type": "hint"}])
def test_what_is_no_type(kind: object) -> None:
    """A type is a text of 1 to 64 characters."""
    with pytest.raises(InvalidMessage, match="'type'"):
        _check({"type": kind})
    assert _check({"type": "x" * 64}).id


def test_the_largest_message() -> None:
    """What counts is what would be published, id and time included."""
    item = _check({"type": "hint", "id": "1", "text": "x", "timestamp": 1.0})
    size = len(item.payload)
    assert _check(orjson.loads(item.payload), max_bytes=size).payload == item.payload
    with pytest.raises(MessageTooLarge):
        _check(orjson.loads(item.payload), max_bytes=size - 1)


def test_ids() -> None:
    """A message keeps its id; without one it gets that of its key, or a new one."""
    hint = {"type": "hint", "text": "x"}
    assert _check({**hint, "id": "mine"}, given_id="given").id == "mine"
    assert _check(hint, given_id="given").id == "given"
    assert _check({**hint, "id": None}, given_id="given").id == "given"
    assert _check(hint).id != _check(hint).id
    assert "id" not in hint


# Keys


@given(st.text(max_size=140))
def test_any_key(header: str) -> None:
    """A key is 1 to 128 visible ASCII characters, blanks between them included."""
    try:
        key = IdempotencyKey.of(header, None, b"")
    except RequestError as error:
        assert "Idempotency-Key" in str(error)
    else:
        assert 0 < len(header.strip()) <= 128
        assert header.strip().isascii()
        assert key == IdempotencyKey.of(f" {header} ", None, b"")


@given(*[st.sampled_from(["a", "b", "a\nb", None, ""])] * 4, st.binary(), st.binary())
def test_keys_meet_when_all_is_the_same(
    key: str | None, other_key: str | None, who: str | None, other: str | None, a: bytes, b: bytes
) -> None:
    """Two requests are one only with the same key of the same holder and the same body."""
    if not key or not other_key or "\n" in key or "\n" in other_key:
        return
    one, two = IdempotencyKey.of(key, who, a), IdempotencyKey.of(other_key, other, b)
    assert (one.name == two.name) == ((key, who or "") == (other_key, other or ""))
    assert (one.fingerprint == two.fingerprint) == (a == b)
    assert (one.id_of(0) == two.id_of(0)) == (one.name == two.name)
    assert one.id_of(0) != one.id_of(1)
