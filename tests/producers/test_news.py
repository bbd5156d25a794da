"""What of all that a listener gets is news."""

from __future__ import annotations

import json
from typing import Any

import pytest

from producers.news import News, read_message
from relay.messages import Connection, Feedback, Hint, Message, Transcript
from relay.position import Position


def _payload(position: str | None, kind: str = "hint", **fields: Any) -> bytes:
    first = {} if position is None else {"position": position}
    return json.dumps({**first, "type": kind, **fields}, separators=(",", ":")).encode()


def _greeting(recovered: bool | None, position: str | None, snapshot: int = 0) -> bytes:
    return Connection(
        session="s", position=position, recovered=recovered, snapshot=snapshot, heartbeat_s=1.0
    ).to_json()


@pytest.mark.parametrize("kind", ["presence", "heartbeat", "report", "ping", "ack", "seen"])
def test_what_is_no_news(kind: str) -> None:
    """What relays and clients say to one another about the connection is passed over."""
    assert News(None).take(_payload(None, kind)) is None


def test_each_once() -> None:
    """A message whose position was passed is no news; one without a position is."""
    news = News(Position(1, 4))
    assert news.take(_greeting(True, "1-6")) is None
    taken = [news.take(_payload(at, text="x")) for at in ("1-4", "1-5", "1-5", "2-1", None)]
    assert [None if one is None else one.position for one in taken] == [
        None, "1-5", None, "2-1", None,
    ]  # fmt: skip
    assert taken[-1] is not None


def test_from_now_on() -> None:
    """Without ``since``, what had been there is no news, also when the log is rolled back later."""
    news = News(None)
    assert news.take(_greeting(None, "1-7")) is None
    lost = news.take(_greeting(False, "2-1", 2))
    assert isinstance(lost, Connection)
    assert news.take(_payload("1-6", text="old")) is None
    assert news.take(_payload("2-1", text="new")) is not None


def test_a_new_log_is_all_new() -> None:
    """What another log has is news although its epoch is an earlier one."""
    news = News(Position(9, 50))
    assert isinstance(news.take(_greeting(False, "3-2", 2)), Connection)
    assert news.take(_payload("3-1", text="x")) is not None


def test_a_final_line_in_the_place_of_an_interim_one() -> None:
    """In a snapshot a final line stands where its first version stood, and is news all the same."""
    news = News(Position(1, 5))
    news.take(_greeting(False, "2-1", 1))
    line = news.take(_payload("1-3", "transcript", id="t", text="I never.", final=True))
    assert isinstance(line, Transcript)


def test_a_hint_with_its_pieces_in_the_place_of_its_beginning() -> None:
    """In a snapshot a hint that grows stands where it began, and its text so far is news."""
    news = News(Position(1, 5))
    news.take(_greeting(False, "1-9", 2))
    assert news.take(_payload("1-2", text="Breathe.")) is None
    hint = news.take(_payload("1-3", id="h", text="Let her finish", status="streaming"))
    assert isinstance(hint, Hint)
    assert hint.text == "Let her finish"


def test_what_is_read_as_it_is() -> None:
    """Types of later versions, and what breaks its type's rules, come as a plain message."""
    message = read_message(_payload("1-1", "gesture", hand="left"))
    assert type(message) is Message
    assert (message.position, message.model_dump()["hand"]) == ("1-1", "left")
    assert type(read_message(_payload("1-1", "feedback", action="used"))) is Message
    feedback = read_message(_payload("1-1", "feedback", hint="h", action="used"))
    assert isinstance(feedback, Feedback)
    for payload in (b"x", b"[]", b'{"text":"x"}', b'{"type":["x"]}'):
        assert read_message(payload) is None
