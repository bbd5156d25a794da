"""Lengths of time as people type them."""

from __future__ import annotations

import pytest

from relay.duration import parse_duration_s
from relay.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("12h", 43_200), ("7d", 604_800), (" 1H ", 3600), ("007s", 7)],
)
def test_good_ones(text: str, seconds: float) -> None:
    """A number and a unit are seconds."""
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12",
        "h",
        "0h",
        "00s",
        "-1h",
        "1.5h",
        "1h30m",
        "1 h",
        "1w",
        "٣h",
        "1e3s",
        "9999999999s",
        "h1",
    ],
)
def test_bad_ones(text: str) -> None:
    """Anything else, and nothing at all, is refused with how one looks."""
    with pytest.raises(SettingsError, match="90s, 15m, 12h or 7d"):
        parse_duration_s(text)
