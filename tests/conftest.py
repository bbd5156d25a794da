"""Fixtures that all tests share."""

from __future__ import annotations

import secrets
import signal
from typing import TYPE_CHECKING

import hypothesis
import pytest
import structlog

from relay.embedded import EmbeddedBroker
from tests.support.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIGURE = "figure"

# Browsers, and whole worlds of relays and clients.
_BUSY = {"e2e", "faults", "test_soak.py"}


def pytest_configure() -> None:
    """Let the processes that tests start hear SIGINT, and tests read log lines.

    A shell starts background jobs with SIGINT ignored, and children inherit that. Log lines are
    structlog's as soon as somebody has set it up.
    """
    structlog.configure()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # How long an example takes says what else the machine does, not whether it is right.
    hypothesis.settings.register_profile("tests", deadline=None)
    hypothesis.settings.load_profile("tests")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Spread the tests that keep all cores busy over a run of several workers.

    Workers begin with equal parts of the list: one would have all of these, and the others would take
    them over together at the end. By hand the order stays what it is.
    """
    if not hasattr(config, "workerinput"):
        return
    busy: list[pytest.Item] = []
    patient: list[pytest.Item] = []
    for item in items:
        (busy if _BUSY.intersection(item.path.parts) else patient).append(item)
    place = {
        item: (number + 0.5) / len(part)
        for part in (busy, patient)
        for number, item in enumerate(part)
    }
    items.sort(key=place.__getitem__)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured, in whatever process they ran."""
    figures = [
        text
        for reports in terminalreporter.stats.values()
        for report in reports
        if isinstance(report, pytest.TestReport) and report.when == "call"
        for name, text in report.user_properties
        if name == _FIGURE
    ]
    if figures:
        terminalreporter.section("measured")
        for text in figures:
            terminalreporter.write_line(str(text))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the person who runs the tests may change what they test."""
    import os

    for name in list(os.environ):
        if name.startswith("RELAY_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A real redis-server that tests share; each uses sessions of its own and harms nobody's."""
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """The embedded broker that tests share."""
    with EmbeddedBroker(port=0) as broker:
        yield broker


@pytest.fixture(params=["redis", "embedded"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """One suite over both brokers."""
    if request.param == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return server.url
    broker: EmbeddedBroker = request.getfixturevalue("embedded_broker")
    return broker.url


@pytest.fixture
def session_id() -> str:
    """A session that no other test uses."""
    return f"test-{secrets.token_hex(8)}"


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Take a line for the end of the run: what a test has measured, whether it passes or not."""
    return lambda text: record_property(_FIGURE, text)
