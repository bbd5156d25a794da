"""The fuzz in its short form, and what it judges by; ``make fuzz`` runs the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzz.answers import ServerFrames, Wrong, read_answer
from tests.fuzz.dice import Dice
from tests.fuzz.frames import Frames
from tests.fuzz.handshakes import Handshakes
from tests.fuzz.messages import Messages
from tests.fuzz.parts import PARTS
from tests.fuzz.requests import Requests
from tests.fuzz.runner import run
from tests.support.websocket import CLOSE, PONG, TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("name", "count"),
    [("frames", 3000), ("frames-deflate", 1500), ("handshakes", 300), ("requests-tokens", 1000)],
)
async def test_nobody_notices(name: str, count: int, figure: Callable[[str], None]) -> None:
    """A relay takes whatever it is sent; nothing of it stays, and a facilitator notices nothing."""
    outcome = await run(PARTS[name], count, seed=1, calm_s=0.2)
    figure(
        f"{name}: {outcome.done} sent on {outcome.seen['connections']} connections, a facilitator's p99 "
        f"{outcome.calm_p99_ms:.0f} → {outcome.p99_ms:.0f} ms"
    )
    assert outcome.complaints == []
    assert outcome.done >= count, "hardly anything was sent"


def test_it_can_be_had_again() -> None:
    """The same seed sends the same bytes, and another one others."""

    def thrown(seed: int) -> list[bytes]:
        dice = Dice(seed, 5)
        messages = Messages(dice)
        requests = Requests(dice, messages)
        return [
            *Frames(dice, messages).script().pieces,
            Handshakes(dice, messages).any(),
            requests.asked(5).data,
            requests.malformed(),
            requests.events(),
        ]

    assert thrown(1) == thrown(1)
    assert thrown(1) != thrown(2)


def _said(opcode: int, payload: bytes) -> bytes:
    return frame(opcode, payload, mask=None)


@pytest.mark.parametrize(
    "data",
    [
        frame(TEXT, b'{"type":"x"}'),
        _said(TEXT, b"[]"),
        _said(TEXT, b'{"type":5}'),
        _said(TEXT, b"\xff"),
        frame(TEXT, b'{"type":"x"}', mask=None, wide=126),
        frame(TEXT, b'{"type":"x"}', mask=None, reserved=4),
        _said(CLOSE, b"\x03\xe8") + _said(TEXT, b'{"type":"x"}'),
        _said(CLOSE, b"\x03"),
        _said(CLOSE, b"\x03\xe8\xff"),
    ],
)
def test_frames_that_no_relay_may_send(data: bytes) -> None:
    """Frames are read strictly, however they arrive."""
    with pytest.raises(Wrong):
        ServerFrames().feed(data)
    with pytest.raises(Wrong):
        _feed_byte_by_byte(data)


def _feed_byte_by_byte(data: bytes) -> None:
    frames = ServerFrames()
    for byte in data:
        frames.feed(bytes((byte,)))


def test_frames_that_a_relay_sends() -> None:
    """Messages are counted, and a close code is noted; a pong may still follow it."""
    frames = ServerFrames()
    frames.feed(_said(TEXT, b'{"type":"x"}') + _said(CLOSE, b"\x10\x05bye") + _said(PONG, b""))
    assert (frames.said, frames.code) == (1, 4101)


_HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"garbage",
        _HEAD + b"\r\n",
        _HEAD + b"a b: c\r\ncontent-length: 0\r\n\r\n",
        _HEAD + b"a: b\rc\r\ncontent-length: 0\r\n\r\n",
        _HEAD + b"content-length: 0\r\ncontent-length: 0\r\n\r\n",
        _HEAD + b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        _HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\nabHTTP/1.1 400 Bad Request\r\n\r\n",
        _HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\nHTTP/1.1 400 Bad Request\r\n\r\n",
        _HEAD + b"content-type: application/json\r\ncontent-length: 1\r\n\r\n{",
        b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 400 X\r\ncontent-type: application/problem+json\r\ncontent-length: 14\r\n\r\n"
        b'{"status":404}',
    ],
)
def test_answers_that_no_relay_may_give(data: bytes) -> None:
    """Answers are read strictly."""
    with pytest.raises(Wrong):
        read_answer(data)


def test_answers_that_a_relay_gives() -> None:
    """An answer is read to its end and no further, and of an endless one what is there."""
    data = _HEAD + b"content-length: 2\r\nconnection: close\r\n\r\nok"
    found = read_answer(data + b"HTTP")
    assert found is not None
    answer, size = found
    assert (answer.body, answer.is_whole, answer.is_last, size) == (b"ok", True, True, len(data))
    assert read_answer(data[:20]) is None
    found = read_answer(_HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n3\r\nmo")
    assert found is not None
    assert (found[0].body, found[0].is_whole) == (b"ok", False)
