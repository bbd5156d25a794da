"""What is counted and logged when facilitators come and go."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from relay.close_codes import CloseCode
from relay.errors import InvalidMessage, RequestError
from relay.feed import Backlog
from relay.metrics import Metrics
from relay.position import Position
from relay.publication import Publication
from relay.reader import Welcome
from relay.socket.records import Records

VISIT = 0xBEEF
CLIENT = "192.0.2.1"
_WELCOME = Welcome(None, Backlog(True, (Publication(None, b"{}"),) * 3), 0, 0)


@pytest.fixture
def metrics() -> Metrics:
    """A worker's."""
    return Metrics()


@pytest.fixture
def records(metrics: Metrics) -> Records:
    """A worker's."""
    return Records(metrics)


def _values(metrics: Metrics) -> dict[str, float]:
    """Return what is not zero."""
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in metrics.registry.collect()
        for sample in family.samples
        if sample.value and not sample.name.endswith(("_created", "_bucket", "_sum"))
    }


def _one(lines: list[Any]) -> dict[str, Any]:
    (line,) = lines
    return dict(line)


def test_a_visit(records: Records, metrics: Metrics) -> None:
    """A facilitator who is served makes two lines, tied together, and stands in the gauge meanwhile."""
    since = Position(1000, 7)
    with structlog.testing.capture_logs() as lines:
        began_s = records.connected(VISIT, CLIENT, "s", since, _WELCOME)
    assert _one(lines) == {
        "event": "connected", "log_level": "info", "connection": "0000beef", "client": CLIENT,
        "session": "s", "since": "1000-7", "recovered": True, "backlog": 3,
    }  # fmt: skip
    assert _values(metrics) == {"hint_relay_connections": 1, "hint_relay_connects_total": 1}
    with structlog.testing.capture_logs() as lines:
        records.disconnected(
            VISIT, CLIENT, "s", code=CloseCode.TOO_SLOW, began_s=began_s, sent=5, received=2
        )
    line = _one(lines)
    assert line.pop("duration_s") >= 0
    assert line == {
        "event": "disconnected", "log_level": "info", "connection": "0000beef", "client": CLIENT,
        "session": "s", "code": 4002, "sent": 5, "received": 2,
    }  # fmt: skip
    assert _values(metrics) == {
        "hint_relay_connects_total": 1,
        "hint_relay_disconnects_total4002": 1,
        "hint_relay_connection_seconds_count": 1,
    }


def test_without_a_position(records: Records) -> None:
    """Who comes for the first time has no ``since``, and may have no address."""
    with structlog.testing.capture_logs() as lines:
        records.connected(VISIT, None, "s", None, _WELCOME)
    assert (_one(lines)["since"], _one(lines)["client"]) == (None, None)


@pytest.mark.parametrize("code", [*CloseCode, 1005, 3000, 4999, 0, 70_000])
def test_codes_of_the_metric(records: Records, metrics: Metrics, code: int) -> None:
    """A client may close with any code; the metric has the known ones, and one for all others."""
    records.left_early(VISIT, CLIENT, "s", code)
    known = code in set(CloseCode)
    assert _values(metrics) == {f"hint_relay_disconnects_total{int(code) if known else 'other'}": 1}


@pytest.mark.parametrize(
    ("code", "level"), [(CloseCode.BROKER_LOST, "warning"), (1006, "info"), (1000, "info")]
)
def test_leaving_early(records: Records, code: int, level: str) -> None:
    """It is a warning when Redis was the reason."""
    with structlog.testing.capture_logs() as lines:
        records.left_early(VISIT, CLIENT, "s", code)
    line = _one(lines)
    assert (line["event"], line["log_level"], line["code"]) == (
        "left before it was served",
        level,
        int(code),
    )


def test_a_refusal(records: Records, metrics: Metrics) -> None:
    """A wrong request is logged with what is wrong, and counted as 4101."""
    with structlog.testing.capture_logs() as lines:
        records.refused(VISIT, CLIENT, RequestError("why"))
    line = _one(lines)
    assert (line["event"], line["code"], line["error"]) == ("refused", 4101, "why")
    assert _values(metrics) == {
        "hint_relay_disconnects_total4101": 1,
        "hint_relay_refused_totalbad_request": 1,
    }


def test_who_left_during_the_handshake(records: Records, metrics: Metrics) -> None:
    """It is a line, and counts nowhere: it never was connected."""
    with structlog.testing.capture_logs() as lines:
        records.gone_during_handshake(CLIENT)
    assert _one(lines)["client"] == CLIENT
    assert _values(metrics) == {}


def test_messages(records: Records, metrics: Metrics) -> None:
    """Messages from facilitators are counted by their outcome, deliveries by their number."""
    records.inbound()
    with structlog.testing.capture_logs() as lines:
        records.refused_inbound(VISIT, CLIENT, InvalidMessage("why"))
    assert _one(lines)["error"] == "why"
    records.delivered(3)
    records.delivered(0)
    assert _values(metrics) == {
        "hint_relay_inbound_messages_totalok": 1,
        "hint_relay_inbound_messages_totalbad_message": 1,
        "hint_relay_deliveries_total": 3,
    }
