"""docs/PROTOCOL.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from relay.close_codes import CloseCode
from relay.messages import parse_message
from relay.position import Position

_TEXT = (Path(__file__).parents[1] / "docs" / "PROTOCOL.md").read_text("utf-8")
_EXAMPLES = re.findall(r"```json\n(.*?)\n```", _TEXT, flags=re.DOTALL)


def test_there_are_examples() -> None:
    """The document shows messages of every type that a relay, an agent or a client sends now."""
    types = {parse_message(example).type for example in _EXAMPLES}
    assert types >= {
        "connection", "heartbeat", "ping", "hint", "append", "transcript", "error", "feedback",
        "command", "seen", "ack", "presence",
    }  # fmt: skip


@pytest.mark.parametrize("example", _EXAMPLES)
def test_every_example_is_valid(example: str) -> None:
    """Each example is a valid message, and its position, if any, stands where it must."""
    parse_message(example)
    if '"position":"' in example and not example.startswith(
        ('{"type":"conn', '{"type":"heart', '{"type":"ack')
    ):
        assert Position.of_payload(example.encode()) is not None


def test_close_codes() -> None:
    """The table of close codes is the one in the code."""
    rows = re.findall(r"^\| (\d{4}) \| (.*?) \| (yes|no) \|$", _TEXT, flags=re.MULTILINE)
    expected = [
        (str(int(code)), code.reason, "yes" if code.reconnect else "no") for code in CloseCode
    ]
    assert [(code, reason if code != "1006" else "", back) for code, reason, back in rows] == [
        (code, reason, back) for code, reason, back in expected
    ]


def test_script_arguments() -> None:
    """The numbers of keys and arguments in the document are those of publish.lua."""
    script = (Path(__file__).parents[1] / "relay" / "broker" / "publish.lua").read_text("utf-8")
    for kind in ("KEYS", "ARGV"):
        in_script = set(re.findall(rf"{kind}\[(\d+)\]", script))
        in_text = set(re.findall(rf"`{kind}\[(\d+)\]`", _TEXT))
        assert in_script == in_text, kind
