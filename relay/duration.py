"""Lengths of time as people type them."""

from __future__ import annotations

import re

from relay.errors import SettingsError

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration_s(text: str) -> float:
    """Return the seconds of ``90s``, ``15m``, ``12h`` or ``7d``.

    Raises:
        SettingsError: for anything else, and for nothing at all.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text.strip().lower())
    seconds = 0 if match is None else int(match[1]) * _UNITS_S[match[2]]
    if seconds == 0:
        raise SettingsError(f"{text!r} is not a length of time: it looks like 90s, 15m, 12h or 7d.")
    return seconds
