"""Where settings come from, and what a wrong one says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from relay.errors import SettingsError
from relay.redis_url import check_redis_url, without_password
from relay.settings import Settings
from tests.support.tokens import OTHER_SECRET, SECRET, key_pair

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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://ada@h", "redis://ada@h"),
        ("redis://:word@h:1/0", "redis://:…@h:1/0"),
        ("rediss://ada:wo:r@d@h/0?x=y", "rediss://ada:…@h/0?x=y"),
    ],
)
def test_urls_that_are_shown(url: str, shown: str) -> None:
    """A URL is shown without its password."""
    assert without_password(url) == shown


def test_a_probe_needs_time_to_be_heard() -> None:
    """A timeout that is no longer than the interval would find every link deaf."""
    with pytest.raises(SettingsError, match="RELAY_PROBE_TIMEOUT_S must be longer"):
        Settings.load(probe_interval_s=5.0, probe_timeout_s=5.0)


def _pem(tmp_path: Path) -> Path:
    key_file = tmp_path / "public.pem"
    key_file.write_bytes(key_pair("ES256").public_pem)
    return key_file


def test_keys(tmp_path: Path) -> None:
    """Tokens are asked for as soon as there is a key, of whatever kind; all are taken."""
    assert not Settings.load().asks_for_tokens
    assert Settings.load().is_local
    several = Settings.load(jwt_secret=f"{SECRET}  {OTHER_SECRET}", jwt_key_file=_pem(tmp_path))
    assert len(several.keys) == 3
    for settings in (
        several,
        Settings.load(jwt_secret=SECRET),
        Settings.load(jwt_key_file=_pem(tmp_path)),
        Settings.load(jwks_url="https://issuer.example.com/keys"),
    ):
        assert settings.asks_for_tokens
        assert not settings.is_local


def test_settings_with_keys_survive_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets, lists and empty lists reach worker processes as they are."""
    settings = Settings.load(
        jwt_secret=f"{SECRET} {OTHER_SECRET}", jwt_key_file=_pem(tmp_path), trusted_proxies=",",
        allowed_origins="https://a.example.com https://B.example.com:443,*",
    )  # fmt: skip
    assert settings.trusted_proxies == ()
    assert settings.allowed_origins == ("https://a.example.com", "https://b.example.com", "*")
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == settings


def test_a_secret_is_not_shown() -> None:
    """A secret is in no text about the settings."""
    assert SECRET not in repr(Settings.load(jwt_secret=SECRET))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("jwt_secret", "a-short-secret", "32 are the least"),
        ("jwt_secret", f"{SECRET} a-short-secret", "32 are the least"),
        ("jwt_secret", "   ", "32 are the least"),
        ("jwt_key_file", "/nowhere/key.pem", "can't be read"),
        ("jwt_key_file", "/", "can't be read"),
        ("jwt_key_file", __file__, "no public key"),
        ("jwks_url", "file:///etc/passwd", "https://"),
        ("jwks_url", "issuer.example.com/a-short-secret", "https://"),
        ("jwks_url", "https:///a-short-secret", "whole address"),
        ("jwks_url", "https://u:a-short-secret@issuer.example.com/keys", "whole address"),
        ("jwks_url", "https://issuer.example.com:a-short-secret/keys", "whole address"),
        ("jwks_url", "https://issuer.example.com/a-short-secret keys", "whole address"),
        ("allowed_origins", "coach.example.com", "https://coach.example.com"),
        ("allowed_origins", "https://a.example.com,null", "https://coach.example.com"),
        ("trusted_proxies", "10.0.0.0/40", "10.0.0.0/8"),
        ("trusted_proxies", "loadbalancer", "10.0.0.0/8"),
        ("jwt_leeway_s", "-1", "greater than or equal to 0"),
        ("max_connections", "0", "greater than or equal to 1"),
    ],
)
def test_wrong_settings_about_who_may(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str
) -> None:
    """Each is named, with how it should be; a secret is not shown."""
    monkeypatch.setenv(f"RELAY_{name.upper()}", value)
    with pytest.raises(SettingsError, match=told) as refusal:
        Settings.load()
    assert f"RELAY_{name.upper()}" in str(refusal.value)
    assert "a-short-secret" not in str(refusal.value)


def test_a_private_key_is_refused(tmp_path: Path) -> None:
    """A relay that has the private key could make tokens: it gets only the public one."""
    (tmp_path / "private.pem").write_bytes(key_pair("ES256").private_pem)
    with pytest.raises(SettingsError, match="private key"):
        Settings.load(jwt_key_file=tmp_path / "private.pem")


@pytest.mark.parametrize(
    ("given", "is_closed"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "localhost"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "192.0.2.1"}, False),
        ({"host": "0.0.0.0", "public_host": "127.0.0.1"}, True),
        ({"host": "127.0.0.1", "public_host": "192.0.2.1"}, False),
        ({"host": "0.0.0.0", "jwt_secret": SECRET}, True),
        ({"host": "0.0.0.0", "jwks_url": "https://issuer.example.com"}, True),
        ({"host": "0.0.0.0", "insecure": True}, True),
    ],
)
def test_who_is_kept_out(given: dict[str, Any], is_closed: bool) -> None:
    """Without tokens only this machine is served, unless somebody says that it is meant."""
    settings = Settings.load(**given)
    if is_closed:
        settings.check_closed()
    else:
        with pytest.raises(SettingsError, match="--insecure"):
            settings.check_closed()
