"""When the next piece of a streaming hint goes out."""

from __future__ import annotations

# What the envelopes of a hint's pieces may cost before they are spread: a short hint never waits.
_FREE_BYTES = 12 * 1024

# How far pieces are spread then: a reader sees text come four times a second.
_SPREAD_S = 0.25


class Pacing:
    """Rolls tokens up, so that a streaming hint costs few messages and about twice its text.

    The first token goes out at once; after it there is at most one message in a window. An envelope
    weighs as much as some twenty tokens, so at 25 messages/s it would outweigh the text many times
    over. Every hint may spend 12 KiB on envelopes, and as much again as its text has so far; while it
    has spent more, the window is 250 ms. Whatever the length of the hint, then, the wire carries
    little more than twice its text.

    Pure: it knows no clock.

    Args:
        window_s: at most one message in this time; 0 sends every token at once, whatever it costs.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._sent_at_s: float | None = None
        self._text_bytes = 0
        self._envelope_bytes = 0

    @property
    def due_s(self) -> float:
        """The moment from which on the next piece may go out; minus infinity for the first."""
        if self._sent_at_s is None or self._window_s == 0:
            return float("-inf")
        is_over_budget = self._envelope_bytes > _FREE_BYTES + self._text_bytes
        return self._sent_at_s + (
            max(self._window_s, _SPREAD_S) if is_over_budget else self._window_s
        )

    def note(self, now_s: float, *, text_bytes: int, envelope_bytes: int) -> None:
        """Note that a piece goes out."""
        self._sent_at_s = now_s
        self._text_bytes += text_bytes
        self._envelope_bytes += envelope_bytes
