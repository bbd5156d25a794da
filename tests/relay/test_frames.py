"""Frames that the relay makes itself, held against the websockets library's."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from relay.frames import text_frame
from relay.publication import Publication


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
