"""The models agree with the golden messages, which the page reads too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from relay.errors import InvalidMessage, MessageTooLarge
from relay.messages import (
    Hint,
    Ping,
    Refresh,
    Refreshed,
    check_inbound,
    check_size,
    parse_inbound,
    parse_message,
)

_GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "messages.json").read_text("utf-8"))


@pytest.mark.parametrize("case", _GOLDEN["valid"], ids=lambda case: case["name"])
def test_golden_messages_keep_every_field(case: dict[str, Any]) -> None:
    """A valid message is accepted, and written again it has all fields that it had."""
    message = parse_message(json.dumps(case["message"]))
    written = json.loads(message.to_json())
    given = {key: value for key, value in case["message"].items() if value is not None}
    assert given.items() <= written.items()


@pytest.mark.parametrize("case", _GOLDEN["invalid"], ids=lambda case: case["name"])
def test_golden_mistakes_are_explained(case: dict[str, Any]) -> None:
    """An invalid message is refused with one sentence."""
    with pytest.raises(InvalidMessage) as refusal:
        parse_message(case["text"])
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("case", _GOLDEN["unknown"], ids=lambda case: case["name"])
def test_unknown_types_are_named(case: dict[str, Any]) -> None:
    """An unknown type is refused with the list of known ones."""
    with pytest.raises(InvalidMessage, match="known here: 'hint'"):
        parse_message(json.dumps(case["message"]))


def test_a_hint_gets_id_and_time() -> None:
    """A hint without id and timestamp gets both, and ``type`` stands first."""
    written = Hint(text="Breathe.").to_json()
    assert written.startswith(b'{"type":"hint","id":"')
    assert json.loads(written)["timestamp"] > 1_700_000_000


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -1.0])
def test_times_that_json_or_a_clock_does_not_have(number: float) -> None:
    """NaN, infinity and times before 1970 are refused."""
    with pytest.raises(ValueError, match="timestamp"):
        Hint(text="x", timestamp=number)


def test_only_facilitators_messages_come_in() -> None:
    """A facilitator can't publish a hint, and can ping."""
    with pytest.raises(
        InvalidMessage, match="known here: 'feedback', 'command', 'seen', 'ping', 'refresh'"
    ):
        parse_inbound('{"type":"hint","text":"forged"}')
    assert isinstance(parse_inbound('{"type":"ping"}'), Ping)


def test_a_type_that_is_no_text(capfd: pytest.CaptureFixture[str]) -> None:
    """A type of another kind is refused, however deep it is nested, without a word on stderr."""
    for kind in (5, None, ["hint"], orjson.loads(b"[" * 1000 + b"]" * 1000)):
        with pytest.raises(InvalidMessage, match="'type': Input should be a text"):
            check_inbound({"type": kind})
    assert capfd.readouterr().err == ""


def test_refusals_show_no_values() -> None:
    """What was sent stays out of the error: it may be private."""
    with pytest.raises(InvalidMessage) as refusal:
        parse_message('{"type":"hint","text":"x","timestamp":"secret"}')
    assert "secret" not in str(refusal.value)
    assert "timestamp" in str(refusal.value)


def test_size_limit() -> None:
    """The limit itself is allowed; one byte more is refused with both sizes."""
    check_size(b"x" * 100, 100)
    with pytest.raises(MessageTooLarge, match="101 bytes; 100 are allowed"):
        check_size(b"x" * 101, 100)


def test_refreshing() -> None:
    """A client shows a newer token; what is wrong with it is said without showing it."""
    message = parse_inbound('{"type":"refresh","token":"a.b.c"}')
    assert isinstance(message, Refresh)
    assert message.token == "a.b.c"
    for wrong in ('{"type":"refresh"}', '{"type":"refresh","token":["a.b.c"]}'):
        with pytest.raises(InvalidMessage, match=r"^'token': ") as refusal:
            parse_inbound(wrong)
        assert "a.b.c" not in str(refusal.value)
    answer = Refreshed(expires_at=7.5, role="observer").to_json()
    assert json.loads(answer) == {"type": "refreshed", "expires_at": 7.5, "role": "observer"}
