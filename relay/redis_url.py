"""What a Redis URL may be."""

from __future__ import annotations

from urllib.parse import urlsplit

from relay.errors import SettingsError

_SCHEMES = ("redis", "rediss", "unix")


def without_password(url: str) -> str:
    """Return the URL as it may be shown to whoever looks at a screen."""
    before, at, after = url.rpartition("@")
    scheme, slashes, credentials = before.partition("://")
    user, colon, password = credentials.partition(":")
    return f"{scheme}{slashes}{user}{colon}…{at}{after}" if password else url


def check_redis_url(url: str) -> str:
    """Return the URL unchanged.

    Raises:
        SettingsError: unless it is redis://, rediss:// (TLS) or unix://, with a sensible port. The
            URL itself is not shown: it may have a password in it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port, parts = 0, urlsplit("")
    if port == 0 or parts.scheme not in _SCHEMES or not (parts.hostname or parts.path):
        raise SettingsError(
            "The Redis URL is not right: it looks like redis://localhost:6379/0, rediss:// for TLS, "
            "or unix:///path/to/socket."
        )
    return url
