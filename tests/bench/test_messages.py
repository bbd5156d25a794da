"""Counting messages in chunks, and cutting chunks into frames."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from tests.bench.frames import BINARY, PING, TEXT, FrameReader, masked
from tests.bench.messages import MARK, STAMP, MarkCount, message


def _chunks(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at)]


def _frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return one as a server sends it."""
    if len(payload) < 126:
        return bytes((0x80 | opcode, len(payload))) + payload
    if len(payload) < 65536:
        return bytes((0x80 | opcode, 126)) + len(payload).to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + len(payload).to_bytes(8, "big") + payload


def test_a_message_has_one_mark_and_a_stamp() -> None:
    """The number and the time come back, and it is JSON."""
    data = message(17, 123456789)
    assert data.count(MARK) == 1
    assert [tuple(map(int, stamp)) for stamp in STAMP.findall(data)] == [(17, 123456789)]
    assert json.loads(data)["type"] == "hint"


def test_a_long_message_is_as_long_as_asked() -> None:
    """Its text is."""
    assert len(json.loads(message(1, text_bytes=5000))["text"]) == 5000


@given(count=st.integers(0, 30), cuts=st.lists(st.integers(0, 10_000), max_size=200))
def test_marks_are_counted_wherever_chunks_end(count: int, cuts: list[int]) -> None:
    """Also when one lies across several chunks."""
    marks = MarkCount()
    for chunk in _chunks(b"".join(_frame(message(n)) for n in range(count)), cuts):
        # A buffer is larger than what was received, and full of what came before.
        buffer = bytearray(chunk + MARK * 2)
        marks.feed(buffer, len(chunk))
    assert marks.marks == count


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([TEXT, BINARY, PING]),
            st.sampled_from([0, 1, 125, 126, 300, 65535, 65536]),
        ),
        max_size=8,
    ),
    cuts=st.lists(st.integers(0, 400_000), max_size=20),
)
def test_frames_are_cut_wherever_chunks_end(frames: list[tuple[int, int]], cuts: list[int]) -> None:
    """Every frame comes out once, whole and in order."""
    sent = [(opcode, b"x" * size) for opcode, size in frames]
    reader = FrameReader()
    data = b"".join(_frame(payload, opcode) for opcode, payload in sent)
    assert [frame for chunk in _chunks(data, cuts) for frame in reader.feed(chunk)] == sent


def test_a_client_frame_says_that_it_is_masked() -> None:
    """RFC 6455 section 5.3; its mask is zero, so the payload stands as it is."""
    assert masked(b"hi") == b"\x81\x82\x00\x00\x00\x00hi"
    assert masked(b"x" * 200)[:4] == b"\x81\xfe\x00\xc8"
