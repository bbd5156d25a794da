"""Recordings, and playing them again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from producers import HintPublisher
from producers.replay import SAMPLE, read_recording, replay
from relay.broker.broker import Broker
from relay.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


def test_the_sample() -> None:
    """The sample is a recording of hints and transcript that lasts about a minute."""
    recording = read_recording(SAMPLE.read_text("utf-8").splitlines())
    assert {line.type for line in recording} == {"hint", "transcript"}
    assert len([line for line in recording if line.type == "hint"]) >= 5
    assert recording[0].at_s < 2
    assert 20 < recording[-1].at_s < 120


async def test_playing_the_sample(
    publisher: HintPublisher, redis_url: str, session_id: str
) -> None:
    """A recording comes out in its order, with all its fields, each line yielded when it is out."""
    recording = read_recording(SAMPLE.read_text("utf-8").splitlines())
    played = [
        (line.text, sent.position)
        async for line, sent in replay(publisher, session_id, recording, speed=1000)
    ]
    async with Broker(redis_url) as broker:
        log = await broker.read(session_id)
    kept = [json.loads(publication.payload) for publication in log.publications]
    assert [text for text, _ in played] == [line.text for line in recording]
    assert [message["text"] for message in kept] == [line.text for line in recording]
    assert [message["position"] for message in kept] == [str(position) for _, position in played]
    for message, line in zip(kept, recording, strict=True):
        expected = line.model_dump(exclude={"at_s", "stream_s"})
        assert {name: message[name] for name in expected} == expected


async def test_speed(publisher: HintPublisher, session_id: str) -> None:
    """``speed`` divides the recording's times."""
    recording = read_recording(
        ['{"at_s": 0, "type": "hint", "text": "a"}', '{"at_s": 2, "type": "hint", "text": "b"}']
    )
    began_s = time.monotonic()
    assert len([line async for line in replay(publisher, session_id, recording, speed=10)]) == 2
    assert 0.2 <= time.monotonic() - began_s < 1.5


async def test_playing_twice(publisher: HintPublisher, session_id: str) -> None:
    """A recording can be played again at once: its messages are new ones."""
    recording = read_recording(['{"at_s": 0, "type": "hint", "text": "a"}'])
    [(_, first)] = [sent async for sent in replay(publisher, session_id, recording)]
    [(_, second)] = [sent async for sent in replay(publisher, session_id, recording)]
    assert second.position.follows(first.position)
    assert second.id != first.id


def test_lines_are_sorted_by_time() -> None:
    """Lines are played by their times, whatever their order in the file."""
    recording = read_recording(
        ['{"at_s": 2, "type": "hint", "text": "b"}', '{"at_s": 1, "type": "hint", "text": "a"}']
    )
    assert [line.text for line in recording] == ["a", "b"]


def test_blank_lines_and_comments() -> None:
    """Blank lines and lines that begin with # are passed over."""
    assert read_recording(["# a rehearsal", "", "  "]) == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("hello", "line"),
        ("[]", "line"),
        ('{"at_s": 1', "line"),
        ('{"type": "hint", "text": "x"}', "at_s"),
        ('{"at_s": -1, "type": "hint", "text": "x"}', "at_s"),
        ('{"at_s": NaN, "type": "hint", "text": "x"}', "at_s"),
        ('{"at_s": 1, "type": "drain", "text": "x"}', "type"),
        ('{"at_s": 1, "type": "hint"}', "text"),
        ('{"at_s": 1, "type": "hint", "text": 7}', "text"),
    ],
)
def test_errors_name_the_line(line: str, word: str) -> None:
    """A wrong line is named by its number in the file, comments counted, and so is the field."""
    with pytest.raises(InvalidMessage, match=rf"Line 3, {word}: "):
        read_recording(["# a rehearsal", '{"at_s": 0, "type": "hint", "text": "x"}', line])


def test_a_recording_that_never_ends() -> None:
    """A time that never comes is an error in the line, not a wait for ever."""
    with pytest.raises(InvalidMessage, match="Line 1, at_s"):
        read_recording(['{"at_s": Infinity, "type": "hint", "text": "x"}'])


async def test_a_hint_that_grows(publisher: HintPublisher, redis_url: str, session_id: str) -> None:
    """A recorded hint with ``stream_s`` is played word by word, and whole in the end."""
    recording = read_recording(['{"at_s":0,"type":"hint","text":"Slow down.","stream_s":0.2}'])
    [(_, sent)] = [sent async for sent in replay(publisher, session_id, recording)]
    async with Broker(redis_url) as broker:
        log = await broker.read(session_id)
    (hint,) = [json.loads(publication.payload) for publication in log.publications]
    assert (hint["id"], hint["text"], hint["status"]) == (sent.id, "Slow down.", "complete")
    assert sent.position == log.head
    assert sent.position.offset >= 3
