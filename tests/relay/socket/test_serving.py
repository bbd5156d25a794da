"""What becomes of a facilitator's message, and what all connections share."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import structlog

from relay.app import create_app
from relay.metrics import Metrics
from relay.settings import Settings
from relay.socket.inbound import Ended
from relay.socket.reader import FeedReader
from tests.support.websocket import CONT, TEXT, frame

if TYPE_CHECKING:
    from relay.close_codes import CloseCode
    from relay.publication import Publication
    from relay.socket.serving import Serving


class Asked(FeedReader):
    """Notes whether a heartbeat was asked for."""

    __slots__ = ("beats",)

    def __init__(self) -> None:
        super().__init__()
        self.beats = 0

    def ask_heartbeat(self) -> None:
        self.beats += 1

    def tell(self, message: Publication) -> None:
        raise AssertionError

    def show_presence(self, presence: Publication) -> None:
        raise AssertionError

    def end(self, code: CloseCode) -> None:
        raise AssertionError


@pytest.fixture
def serving() -> Serving:
    """A worker's, whose app has not been started."""
    app = create_app(Settings.load(max_inbound_bytes=256, heartbeat_s=7.0))
    made: Serving = app.state.serving
    assert isinstance(app.state.metrics, Metrics)
    return made


def _counted(serving: Serving, outcome: str) -> float:
    inbound = serving.records._metrics.inbound
    return float(inbound.labels(outcome)._value.get())


def _handle(serving: Serving, message: str | bytes) -> tuple[dict[str, Any] | None, int]:
    """Return the answer, and how often a heartbeat was asked for."""
    reader = Asked()
    answer = serving.handle(reader, message, visit=1, client="192.0.2.1")
    return None if answer is None else json.loads(answer.payload), reader.beats


def test_a_ping(serving: Serving) -> None:
    """A ping asks for a heartbeat, and has no other answer."""
    assert _handle(serving, '{"type":"ping","unknown":"field"}') == (None, 1)
    assert _counted(serving, "ok") == 1


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"command","id":"1","name":"cancel","timestamp":1}',
        '{"type":"feedback","id":"1","hint":"h","action":"used","timestamp":1}',
    ],
)
def test_other_messages(serving: Serving, message: str) -> None:
    """What a facilitator may send is taken or explained, and never raises."""
    answer, beats = _handle(serving, message)
    assert beats == 0
    assert answer is None or answer["code"] == "bad_message"


@pytest.mark.parametrize(
    "message",
    [
        "",
        "garbage",
        "[]",
        "null",
        "{}",
        '{"type":"hint"}',
        "[" * 10_000,
        "\ud800",
        "NaN",
        b"",
        b"{}",
    ],
    ids=lambda message: repr(message)[:20],
)
def test_bad_messages(serving: Serving, message: str | bytes) -> None:
    """Whatever is no message has one answer that says why, is counted, and stands in the log."""
    with structlog.testing.capture_logs() as lines:
        answer, beats = _handle(serving, message)
    assert beats == 0
    assert answer is not None
    assert (answer["type"], answer["code"]) == ("error", "bad_message")
    assert answer["text"]
    assert _counted(serving, "bad_message") == 1
    assert [(line["event"], line["client"]) for line in lines] == [("bad message", "192.0.2.1")]


def test_binary_messages(serving: Serving) -> None:
    """A binary message is told to be text."""
    answer, _ = _handle(serving, b'{"type":"ping"}')
    assert answer is not None
    assert "text frames" in answer["text"]


def test_parsers(serving: Serving) -> None:
    """The shared parser is at rest, a new one is another, and both have the bound of the settings."""
    assert serving.inbound.is_at_rest
    new = serving.new_inbound()
    assert new is not serving.inbound
    for inbound in (new, serving.new_inbound()):
        assert list(inbound.receive(frame(TEXT, b"x" * 256))) == ["x" * 256]
        too_large = frame(TEXT, b"x" * 256, fin=False) + frame(CONT, b"x")
        assert list(inbound.receive(too_large)) == [Ended.FAILED]
        assert inbound.failure_code == 1009


def test_times(serving: Serving) -> None:
    """The heartbeat turns at the time that clients are told."""
    assert serving.heartbeat_s == serving.heartbeat.interval_s == 7.0


def test_too_many(serving: Serving) -> None:
    """Over the limit each message is refused with its id, whatever it is, and stands in no log."""
    reader = Asked()
    for _ in range(20):
        serving.handle(reader, '{"type":"ping"}', visit=1, client=None)
    assert reader.beats == 20
    with structlog.testing.capture_logs() as lines:
        for message, ref in (('{"type":"ping","id":"p"}', "p"), ("garbage", None), (b"", None)):
            answer = serving.handle(reader, message, visit=1, client=None)
            assert answer is not None
            said = json.loads(answer.payload)
            assert (said["code"], said.get("ref")) == ("rate_limited", ref)
            assert 0 < said["retry_after_ms"] <= 100
    assert lines == []
    assert reader.beats == 20
    assert _counted(serving, "rate_limited") == 3
