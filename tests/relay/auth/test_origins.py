"""Which pages may talk to the relay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.auth.origins import InvalidOrigin, Origins, is_loopback, parse_origin

_HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,5}){0,2}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("https://coach.example.com", "https://coach.example.com"),
        ("HTTPS://Coach.Example.COM/", "https://coach.example.com"),
        (" https://coach.example.com ", "https://coach.example.com"),
        ("https://coach.example.com:443", "https://coach.example.com"),
        ("http://coach.example.com:443", "http://coach.example.com:443"),
        ("http://localhost:80", "http://localhost"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_spelling(text: str, spelled: str) -> None:
    """An origin is spelled as browsers do."""
    assert parse_origin(text) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "", "null", "*", "coach.example.com", "https://", "https:///", "ftp://x", "file:///x",
        "https://x/path", "https://x?y", "https://x#y", "https://u@x", "https://x:y", "https://x:",
        "https://a b", "https://x:123456", "https://x, https://y", "https://*.example.com/x",
        "chrome-extension://abc", "https://x:443:443", "https://[::1", "javascript:https://x",
    ],
)  # fmt: skip
def test_what_is_no_origin(text: str) -> None:
    """Anything with more or less than scheme, host and port is refused with how one looks."""
    with pytest.raises(InvalidOrigin, match=r"https://coach\.example\.com"):
        parse_origin(text)


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    """Whatever is an origin is one again when it is spelled."""
    for candidate in (text, f"https://{text}"):
        try:
            spelled = parse_origin(candidate)
        except InvalidOrigin:
            continue
        assert parse_origin(spelled) == spelled


@given(st.text(max_size=40), st.none() | st.text(max_size=40), st.booleans())
def test_any_headers(origin: str, host: str | None, is_local: bool) -> None:
    """No header makes it fail."""
    origins = Origins(["https://a.example.com"], is_local=is_local)
    for spelled in (origin, f"https://{origin}"):
        assert origins.allows(spelled, host) in (True, False)


@given(_HOSTS, _HOSTS, st.integers(1, 65535))
def test_the_relays_own_pages(host: str, other: str, port: int) -> None:
    """A page of the address that the request went to may; one of another host or port may not."""
    origins = Origins((), is_local=False)
    assert origins.allows(f"https://{host}", host)
    assert origins.allows(f"http://{host}:{port}", f"{host}:{port}")
    assert origins.allows(f"https://{host}", host.upper())
    assert origins.allows(f"https://{host}", other) == (host == other)
    assert not origins.allows(f"https://{host}:{port}", f"{host}:{port % 65535 + 1}")


def test_default_ports() -> None:
    """A port that goes without saying may be said; the scheme is not compared (TLS ends before us)."""
    origins = Origins((), is_local=False)
    assert origins.allows("https://x.example", "x.example:443")
    assert origins.allows("http://x.example", "x.example:80")
    assert not origins.allows("https://x.example", "x.example:80")


def test_configured_origins() -> None:
    """A configured origin may, wherever the relay is; its subdomains and other schemes may not."""
    origins = Origins(["https://coach.example.com"], is_local=False)
    assert origins.allows("https://coach.example.com", "relay.example.com")
    assert origins.allows("https://COACH.example.com:443", "relay.example.com")
    for foreign in (
        "http://coach.example.com", "https://coach.example.com:8443", "https://example.com",
        "https://x.coach.example.com", "https://coach.example.com.evil.example", "null",
        "https://coach.example.com,https://evil.example", "",
    ):  # fmt: skip
        assert not origins.allows(foreign, "relay.example.com"), foreign


def test_no_origin() -> None:
    """What sends none is no browser's page: tokens are there for that."""
    assert Origins((), is_local=False).allows(None, "relay.example.com")
    assert Origins((), is_local=False).allows(None, None)


def test_all_origins() -> None:
    """A star lets all pages in, also those whose origin is ``null``."""
    origins = Origins(["*"], is_local=False)
    for origin in ("https://evil.example", "null", "nonsense"):
        assert origins.allows(origin, "relay.example.com")


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "127.9.9.9", "[::1]:8000", "a.localhost"],
)
def test_a_local_relay(host: str) -> None:
    """A relay for this machine serves its own pages, on any port, under its own names."""
    origins = Origins((), is_local=True)
    assert origins.allows("http://localhost:3000", host)
    assert origins.allows("http://127.0.0.1", host)
    assert origins.allows("http://[::1]:3000", host)
    assert origins.allows(None, host)
    assert not origins.allows("https://evil.example", host)
    assert not origins.allows("null", host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "192.0.2.1", "localhost.evil.example", "0.0.0.0", "", "a b",
     "127.0.0.1.evil.example", "127.0.0.1,evil.example", None],
)  # fmt: skip
def test_dns_rebinding(host: str | None) -> None:
    """A name that somebody made lead to a local relay is refused, as if from its own page or none."""
    for allowed in ((), ("*",)):
        origins = Origins(allowed, is_local=True)
        assert not origins.allows(None, host)
        assert not origins.allows(f"http://{host}", host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("[::1]", True), ("LOCALHOST", True),
        ("a.localhost", True), ("0.0.0.0", False), ("::", False), ("192.0.2.1", False),
        ("localhost.example.com", False), ("", False), ("mylocalhost", False),
    ],
)  # fmt: skip
def test_loopback(host: str, expected: bool) -> None:
    """Only addresses and names that lead nowhere else are this machine's."""
    assert is_loopback(host) is expected
