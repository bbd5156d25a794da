"""How a streaming hint grows, against a model of what Redis knows of it."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.growth import Action, Ending, Growth, Opening, Piece, Renewal
from producers.pacing import Pacing
from relay.broker.streaming import Standing, Step, utf16_length
from relay.errors import HintCancelled, HintEnded, HintTooLarge, InvalidMessage
from relay.position import Position


def _growth(window_s: float = 0.04, room_bytes: int = 60_000) -> Growth:
    return Growth("h", room_bytes=room_bytes, max_bytes=65_536, pacing=Pacing(window_s))


_NEW = Step(Position(1, 1), True, Standing.STREAMING)


def _opened(**options: Any) -> Growth:
    growth = _growth(**options)
    assert growth.take(0.0) == Opening("", anew=False)
    growth.answer(0.0, _NEW)
    return growth


class Redis:
    """What publish.lua and touch.lua do with one streaming hint."""

    def __init__(self) -> None:
        self.text: str | None = None
        self.status = Standing.STREAMING
        self.cancel = False

    def do(self, action: Action) -> Step:
        if self.status is not Standing.STREAMING:
            return self._step(new=False)
        match action:
            case Opening(text=text, anew=anew):
                same = self.text is not None and utf16_length(self.text) == utf16_length(text)
                if self.text is not None and (not anew or same):
                    return self._step(new=False)
                self.text = text
            case Piece(at=at, text=text, status=status):
                if self.text is None or at > utf16_length(self.text):
                    return Step(None, False, Standing.LOST)
                if at < utf16_length(self.text):
                    return self._step(new=False)
                self.text += text
                if status:
                    self.status = Standing(status)
            case Renewal() if self.text is None:
                return Step(None, True, Standing.LOST)
        return self._step(new=True)

    def _step(self, *, new: bool) -> Step:
        cancelling = self.cancel and self.status is Standing.STREAMING
        return Step(Position(1, 1), new, Standing.CANCELLING if cancelling else self.status)


_EVENTS = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=4),
    st.sampled_from(["answered", "answer lost", "never arrived", "forgotten", "rolled back"]).map(
        lambda name: (name,)
    ),
    st.floats(0.0, 1.0).map(lambda seconds: (seconds,)),
)


@given(
    st.lists(_EVENTS, max_size=60),
    st.sampled_from([0.0, 0.04, 0.5]),
    st.sampled_from(get_args(Ending)),
)
def test_what_is_appended_is_what_redis_has(
    events: list[Any], window_s: float, ending: Ending
) -> None:
    """Whatever is lost, repeated, forgotten or rolled back: in the end Redis has the text and its end."""
    growth, redis, now_s, appended = _growth(window_s), Redis(), 0.0, ""
    kept: list[str | None] = [None]
    for event in events:
        match event:
            case str(token):
                growth.add(token)
                appended += token
            case (float(seconds),):
                now_s += seconds
            case ("forgotten",):
                redis.text = None
            case ("rolled back",):
                redis.text = kept[len(kept) // 2]
            case (str(fault),) if (action := growth.take(now_s)) is not None:
                if fault == "never arrived":
                    growth.fail(now_s)
                    continue
                step = redis.do(action)
                kept.append(redis.text)
                if fault == "answered":
                    growth.answer(now_s, step)
                else:
                    growth.fail(now_s)
        assert growth.text == appended
    growth.end(ending)
    for _ in range(10):
        if (action := growth.take(now_s)) is not None:
            growth.answer(now_s, redis.do(action))
    assert growth.ended == redis.status.value == ending
    assert redis.text == growth.text == appended
    assert growth.waiting == 0


def test_text_never_waits_longer_than_the_window() -> None:
    """Text that came in a window is due at the window's end, also when nothing else comes."""
    growth = _opened()
    growth.add("a")
    assert growth.take(1.0) == Piece(0, "a", None)
    growth.answer(1.0, _NEW)
    growth.add("b")
    growth.add("c")
    assert growth.take(1.02) is None
    assert growth.due_s == pytest.approx(1.04)
    assert growth.take(growth.due_s) == Piece(1, "bc", None)


def test_at_counts_utf16() -> None:
    """``at`` is JavaScript's length: an emoji counts two."""
    growth = _opened(window_s=0.0)
    growth.add("🙂ä")
    growth.take(1.0)
    growth.answer(1.0, _NEW)
    growth.add("x")
    assert growth.take(1.0) == Piece(3, "x", None)


def test_an_action_is_repeated_as_it_was() -> None:
    """A piece whose outcome is unknown is repeated without what came meanwhile, so that it is known."""
    growth = _opened()
    growth.add("a")
    piece = growth.take(1.0)
    growth.fail(1.0)
    growth.add("b")
    assert growth.take(2.0) == piece == Piece(0, "a", None)


def test_in_silence_the_lease_is_renewed() -> None:
    """Every two seconds without text, Redis is told that the producer is alive."""
    growth = _opened()
    assert growth.take(1.9) is None
    assert growth.take(2.0) == Renewal()
    growth.answer(2.0, _NEW)
    assert growth.due_s == pytest.approx(4.0)
    growth.ask()
    assert growth.take(2.1) == Renewal()


def test_a_repeated_piece_is_followed_by_a_renewal() -> None:
    """A piece that Redis had already has not renewed the lease, so that is done at once."""
    growth = _opened()
    growth.add("a")
    growth.take(1.0)
    growth.answer(7.0, _NEW._replace(new=False))
    assert growth.take(7.0) == Renewal()


def test_a_hint_that_was_left_growing_begins_anew() -> None:
    """An id that another producer has left growing is opened anew, without its text."""
    growth, redis = _growth(), Redis()
    redis.text = "what the dead producer wrote"
    growth.answer(0.0, redis.do(growth.take(0.0) or Renewal()))
    was_open = growth.is_open
    assert growth.take(0.0) == Opening("", anew=True)
    growth.answer(0.0, redis.do(Opening("", anew=True)))
    assert (was_open, growth.is_open) == (False, True)
    assert redis.text == ""


def test_a_cancellation_is_learned_with_any_answer() -> None:
    """An answer that says "cancelling" ends appending; what waits is still sent."""
    growth, redis = _opened(), Redis()
    redis.text, redis.cancel = "", True
    growth.add("a")
    growth.add("b")
    growth.answer(1.0, redis.do(growth.take(1.0) or Renewal()))
    assert growth.is_cancelled
    with pytest.raises(HintCancelled):
        growth.add("c")
    growth.end("cancelled")
    growth.answer(1.0, redis.do(growth.take(1.0) or Renewal()))
    assert (redis.text, redis.status) == ("ab", Standing.CANCELLED)


def test_nothing_grows_after_the_end() -> None:
    """After the end, and after Redis has ended it, appending is refused and says how it ended."""
    growth = _opened()
    growth.end("complete")
    with pytest.raises(HintEnded, match="complete"):
        growth.add("x")
    other = _opened()
    other.take(2.0)
    other.answer(2.0, Step(None, False, Standing.INTERRUPTED))
    with pytest.raises(HintEnded, match="interrupted"):
        other.add("x")


@pytest.mark.parametrize("token", [b"x", None, 7, "\ud800"], ids=repr)
def test_what_is_no_text(token: Any) -> None:
    """What is no text, or not Unicode, is refused, and nothing is appended."""
    growth = _opened()
    with pytest.raises(InvalidMessage):
        growth.add(token)
    growth.add("")
    assert growth.text == ""
    assert growth.due_s == 2.0


def test_what_has_no_room() -> None:
    """The text is bounded as it stands in JSON; what does not fit is refused, what fits still comes in."""
    growth = _opened(room_bytes=10)
    growth.add("12345\n")
    with pytest.raises(HintTooLarge, match="65,537 bytes; 65,536 are allowed") as refusal:
        growth.add("abcd")
    assert "Send a shorter text" not in str(refusal.value)
    growth.add("abc")
    assert growth.text == "12345\nabc"
