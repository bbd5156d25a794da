"""When the next piece of a streaming hint goes out, by a clock that the tests turn."""

from __future__ import annotations

from itertools import cycle, pairwise
from typing import TYPE_CHECKING

import pytest

from producers.pacing import Pacing

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENVELOPE_BYTES = 111


def _stream(
    tokens: int, rate_hz: float, sizes: Sequence[int], window_s: float
) -> list[tuple[float, int]]:
    """Play tokens at a rate; returns when each piece went out, and with how many bytes of text."""
    pacing, pieces, waiting, size = Pacing(window_s), [], 0, cycle(sizes)
    step_s = 0.001
    ticks = round(tokens / rate_hz / step_s)
    every = round(1 / rate_hz / step_s)
    for tick in range(ticks + 1000):
        now_s = tick * step_s
        if tick < ticks and tick % every == 0:
            waiting += next(size)
        if waiting and now_s >= pacing.due_s:
            pacing.note(now_s, text_bytes=waiting, envelope_bytes=_ENVELOPE_BYTES)
            pieces.append((now_s, waiting))
            waiting = 0
    return pieces


def test_the_first_token_goes_out_at_once() -> None:
    """Nothing is waited for before the first piece, nor after a pause that was longer than the window."""
    pacing = Pacing(0.04)
    assert pacing.due_s == float("-inf")
    pacing.note(10.0, text_bytes=4, envelope_bytes=_ENVELOPE_BYTES)
    assert pacing.due_s == pytest.approx(10.04)


def test_at_most_25_messages_a_second() -> None:
    """A short hint goes out in a piece for each window, however many tokens come."""
    pieces = _stream(200, 100, [5], 0.04)
    assert 48 <= len(pieces) <= 52
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(pieces)]
    assert min(gaps) >= 0.0399
    assert max(gaps) <= 0.0451


def test_a_long_hint_costs_about_twice_its_text() -> None:
    """Ten thousand tokens at 100/s cost at most 2.3 times their text, and come four times a second."""
    pieces = _stream(10_000, 100, [4, 5], 0.04)
    text = sum(size for _, size in pieces)
    assert text == 45_000
    assert len(pieces) * _ENVELOPE_BYTES + text <= 2.3 * text
    gaps = [later - earlier for (earlier, _), (later, _) in pairwise(pieces)]
    assert max(gaps) <= 0.26


def test_without_a_window_nothing_is_held_back() -> None:
    """Window 0 sends every token by itself, also in a long hint."""
    pieces = _stream(3000, 100, [4], 0.0)
    assert len(pieces) == 3000
