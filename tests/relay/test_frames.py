"""Frames and events that the relay makes itself, held against the websockets library's and the standard."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from relay.frames import server_sent_event, text_frame
from relay.position import Position
from relay.publication import Publication
from tests.support.events import Event, EventParser


def _expected(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


@pytest.mark.parametrize("size", [0, 1, 124, 125, 126, 127, 65534, 65535, 65536, 65537, 1 << 20])
def test_every_form_of_the_length(size: int) -> None:
    """At each border of the length's three forms the frame is the library's, byte for byte."""
    assert text_frame(b"x" * size) == _expected(b"x" * size)


@given(st.text().map(str.encode), st.integers(1, 400))
def test_any_text(text: bytes, times: int) -> None:
    """Any text of any length makes the frame that the library makes."""
    assert text_frame(text * times) == _expected(text * times)


@pytest.mark.parametrize(
    "payload",
    [b"", b'{"type":"hint"}', '{"text":"Ä € 😀"}'.encode(), b"\x00\x7f", "é".encode() * 40_000],
    ids=["empty", "ASCII", "other letters", "control characters", "large"],
)
def test_a_publication_goes_out_as_it_came(payload: bytes) -> None:
    """Valid UTF-8, ASCII or not, stands in the frame as it is."""
    assert Publication(None, payload).frame == _expected(payload)


_INVALID = [b"\xff\xfe", b"\xc3", b"a\xc3\x28b", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80"]


@pytest.mark.parametrize("payload", _INVALID, ids=lambda payload: payload.hex())
def test_a_publication_that_is_not_utf_8(payload: bytes) -> None:
    """What is not UTF-8 goes out with replacement marks: its place in the session is kept."""
    publication = Publication(None, payload)
    assert publication.frame == _expected(payload.decode(errors="replace").encode())
    assert publication.frame == _expected(publication.text.encode())
    assert publication.payload == payload


@given(st.binary(max_size=300))
def test_a_frame_is_always_utf_8(payload: bytes) -> None:
    """Whatever a producer published, the frame holds UTF-8: anything else closes a browser's socket."""
    frame = Publication(None, payload).frame
    begin = 2 if frame[1] < 126 else 4
    assert frame[begin:].decode() == payload.decode(errors="replace")


def test_a_publication_is_framed_once() -> None:
    """Everybody is sent the same bytes object."""
    publication = Publication(None, "é".encode())
    assert publication.frame is publication.frame


@given(st.text(st.characters(exclude_characters="\0")), st.sampled_from([None, "17-4"]))
def test_any_text_as_an_event(text: str, event_id: str | None) -> None:
    """Any text comes out of a browser's parser as it was, but for the kind of its line breaks."""
    payload = f"{text}.".encode(errors="replace")
    parser = EventParser("before")
    wanted = payload.decode().replace("\r\n", "\n").replace("\r", "\n")
    last_id = event_id or "before"
    assert parser.feed(server_sent_event(event_id, payload)) == [Event(wanted, last_id=last_id)]
    assert parser.feed(server_sent_event(None, b"{}")) == [Event("{}", last_id=last_id)]


def test_an_event_is_made_once() -> None:
    """All who read events are given the same bytes, with the position as the id if there is one."""
    kept = Publication(Position(17, 4), b'{"a":1}')
    assert kept.event == b'id: 17-4\ndata: {"a":1}\n\n'
    assert kept.event is kept.event
    assert Publication(None, b"{\xff}").event == "data: {\ufffd}\n\n".encode()
