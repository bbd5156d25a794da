"""Where settings come from, and what a wrong one says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from relay.errors import SettingsError
from relay.redis_url import check_redis_url
from relay.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flag wins; an unset flag leaves the variable; without both there is the default."""
    monkeypatch.setenv("RELAY_PORT", "9001")
    monkeypatch.setenv("RELAY_HEARTBEAT_S", "7")
    settings = Settings.load(port=9002, heartbeat_s=None)
    assert (settings.port, settings.heartbeat_s, settings.workers) == (9002, 7.0, 1)


def test_empty_variables_are_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compose file passes unset variables as empty ones."""
    monkeypatch.setenv("RELAY_PORT", "")
    assert Settings.load().port == 8000


def test_wrong_values_are_named_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """All wrong settings are named by their variables; a value may be a secret and stays out."""
    monkeypatch.setenv("RELAY_REDIS_URL", "http://user:hunter2@example.org")
    with pytest.raises(SettingsError) as refusal:
        Settings.load(workers=0)
    assert "RELAY_REDIS_URL" in str(refusal.value)
    assert "RELAY_WORKERS" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_typing_errors_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A RELAY_* variable that is no setting is reported."""
    monkeypatch.setenv("RELAY_HEARTBEATS", "7")
    assert Settings.unknown_names() == ["RELAY_HEARTBEATS"]


def test_a_page_folder_without_a_page(tmp_path: Path) -> None:
    """A folder without the built page says how to build it."""
    with pytest.raises(SettingsError, match="make page"):
        Settings.load(page_dir=tmp_path)


def test_frozen() -> None:
    """Nobody changes a setting after it has been read."""
    with pytest.raises(ValidationError, match="frozen"):
        Settings.load().port = 1  # type: ignore[misc]


def test_workers_get_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes to a worker process through the environment reads back equal."""
    settings = Settings.load(port=9002, ring_messages=5, redis_url="redis://example:1/2")
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


@pytest.mark.parametrize(
    "url",
    ["", "localhost:6379", "http://localhost", "redis://", "redis://h:port/0", "redis://h:99999/0",
     "redis://:pass:word@[::1"],
)  # fmt: skip
def test_what_is_no_redis_url(url: str) -> None:
    """A wrong URL is refused with how one looks, and is not shown."""
    with pytest.raises(SettingsError, match="redis://localhost:6379/0") as refusal:
        check_redis_url(url)
    assert "word" not in str(refusal.value)


def test_a_probe_needs_time_to_be_heard() -> None:
    """A timeout that is no longer than the interval would find every link deaf."""
    with pytest.raises(SettingsError, match="RELAY_PROBE_TIMEOUT_S must be longer"):
        Settings.load(probe_interval_s=5.0, probe_timeout_s=5.0)
