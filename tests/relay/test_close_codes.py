"""The table of close codes agrees with the golden file, which the page reads too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from relay.close_codes import CloseCode, code_of_refusal
from relay.errors import (
    Forbidden,
    HintRelayError,
    InvalidSession,
    KeysUnavailable,
    LimitReached,
    RequestError,
    Unauthorized,
)

_GOLDEN = Path(__file__).parents[1] / "golden" / "close_codes.json"


def test_same_table() -> None:
    """Codes, reasons, meanings and whether to come back are the golden ones, all of them."""
    table = [
        {
            "code": int(code),
            "name": code.name.lower(),
            "reason": code.reason,
            "reconnect": code.reconnect,
            "meaning": code.meaning,
        }
        for code in CloseCode
    ]
    assert table == json.loads(_GOLDEN.read_text("utf-8"))


def test_the_number_alone_tells() -> None:
    """4000-4099 come back, 4100-4199 stay away."""
    for code in CloseCode:
        if code >= 4000:
            assert code.reconnect == (code < 4100), code.name


def test_reasons_fit_into_a_close_frame() -> None:
    """A reason has at most 123 bytes (RFC 6455 section 5.5)."""
    assert all(len(code.reason.encode()) <= 123 for code in CloseCode)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unauthorized("Why."), 1008),
        (Forbidden("Why."), 1008),
        (LimitReached("max_connections", "Why."), 4102),
        (KeysUnavailable(), 1011),
        (InvalidSession("a b"), 4101),
        (RequestError("Why."), 4101),
    ],
)
def test_refusals(error: HintRelayError, code: int) -> None:
    """Who is refused for good stays away; who could not be judged comes back."""
    found = code_of_refusal(error)
    assert found == code
    assert found.reconnect == isinstance(error, KeysUnavailable)
