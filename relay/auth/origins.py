"""Which pages may talk to the relay (RFC 6454; for WebSockets RFC 6455 section 10.2).

A browser lets any page open a WebSocket to anywhere, and says truly where that page is from.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Collection

LOOPBACK_ORIGIN = r"https?://(localhost|[a-z0-9.-]+\.localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?"
"""A pattern of this machine's own origins, as browsers spell them."""

_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:/?#@\s\[\]]+)(?::(\d{1,5}))?")


class InvalidOrigin(ValueError):
    """The text is not an origin; it says how one looks."""


def parse_origin(text: str) -> str:
    """Return an origin as browsers spell it: lower case, without a default port.

    Raises:
        InvalidOrigin: for anything that has more, or less, than scheme, host and port.
    """
    match = re.fullmatch(r"(https?)://(.+?)/?", text.strip(), re.IGNORECASE)
    address = None if match is None else _address(match[2], match[1].lower())
    if match is None or address is None:
        raise InvalidOrigin(f"{text!r} is not an origin: it looks like https://coach.example.com")
    scheme = match[1].lower()
    host, port = address
    return f"{scheme}://{host}" if port == _DEFAULT_PORTS[scheme] else f"{scheme}://{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether a host's name or address is this machine's own, whoever resolves it."""
    host = host.strip("[]").lower()
    if host == "localhost" or host.endswith(".localhost"):
        # RFC 6761 section 6.3.
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Origins:
    """Decides by the headers ``Origin`` and ``Host``; pure.

    Args:
        allowed: origins as ``parse_origin`` returns them; ``*`` allows all.
        is_local: the relay is for this machine only: then all its own pages may, and no name that
            somebody has made lead here (DNS rebinding).
    """

    def __init__(self, allowed: Collection[str], *, is_local: bool) -> None:
        self._allowed = frozenset(allowed)
        self._is_local = is_local

    def allows(self, origin: str | None, host: str | None) -> bool:
        """Tell whether a request may be served.

        Args:
            origin: None for what is no browser, or a page's own GET.
            host: what the request was addressed to.
        """
        if not self._answers_to(host):
            return False
        if origin is None or "*" in self._allowed:
            return True
        try:
            origin = parse_origin(origin)
        except InvalidOrigin:
            # "null": a sandboxed frame, a file. That is anybody.
            return False
        if origin in self._allowed:
            return True
        scheme, _, authority = origin.partition("://")
        if self._is_local and is_loopback(urlsplit(origin).hostname or ""):
            return True
        # The scheme is not compared: behind a load balancer that ends TLS this one is http.
        return host is not None and _address(host, scheme) == _address(authority, scheme)

    def advice(self, host: str | None) -> str:
        """Return what to tell who was not allowed, and whoever runs this relay."""
        if not self._answers_to(host):
            return (
                "Without tokens this relay is for its own machine: open it as localhost or 127.0.0.1. "
                "To let others in, set RELAY_JWT_SECRET."
            )
        return (
            "Pages of this origin may not talk to the relay. If they should: RELAY_ALLOWED_ORIGINS."
        )

    def _answers_to(self, host: str | None) -> bool:
        return not self._is_local or _is_named_loopback(host)


def _is_named_loopback(host: str | None) -> bool:
    address = None if host is None else _address(host, "http")
    return address is not None and is_loopback(address[0])


def _address(text: str, scheme: str) -> tuple[str, int] | None:
    """Return host and port; None for what is neither."""
    match = _HOST.fullmatch(text.strip())
    if match is None:
        return None
    return match[1].lower(), int(match[2]) if match[2] else _DEFAULT_PORTS[scheme]
