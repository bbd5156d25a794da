"""Who a peer speaks for."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.auth.addresses import Address, Addresses, InvalidNetwork, parse_network

_ADDRESSES = Addresses(["127.0.0.0/8", "::1/128", "10.0.0.0/8", "fd00::/8"])

_PUBLIC_V4 = st.ip_addresses(v=4).filter(
    lambda one: not one.is_loopback and one not in ipaddress.ip_network("10.0.0.0/8")
)


def _of(peer: str | None, *forwarded: str) -> Address:
    return _ADDRESSES.of(peer, [(b"x-forwarded-for", one.encode("latin-1")) for one in forwarded])


def test_a_stranger_speaks_for_itself() -> None:
    """What somebody who is no proxy of ours says about where it is from is not believed."""
    assert _of("192.0.2.1", "203.0.113.9") == Address("192.0.2.1", "192.0.2.1")
    assert _of("192.0.2.1") == Address("192.0.2.1", "192.0.2.1")


def test_a_proxy_speaks_for_others() -> None:
    """A trusted proxy is believed; one that says nothing speaks for itself and is not counted."""
    assert _of("127.0.0.1", "203.0.113.9") == Address("203.0.113.9", "203.0.113.9")
    assert _of("127.0.0.1") == Address("127.0.0.1", None)


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        (["203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["203.0.113.9", "10.1.2.3"], "203.0.113.9"),
        # What stands before the last stranger was written by that stranger.
        (["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (["6.6.6.6", "203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        (["10.9.9.9, 203.0.113.9"], "203.0.113.9"),
        (["203.0.113.9:51234"], "203.0.113.9"),
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:db8::1]"], "2001:db8::1"),
        (["[2001:db8::1]:51234"], "2001:db8::1"),
        (["::ffff:203.0.113.9"], "203.0.113.9"),
    ],
)
def test_chains(forwarded: list[str], client: str) -> None:
    """The last entry that is no proxy of ours counts, however it is spelled."""
    assert _of("127.0.0.1", *forwarded).client == client


@pytest.mark.parametrize(
    "forwarded", ["unknown", "", "_hidden", "203.0.113.9,", "a, b", "é", "1.2.3"]
)
def test_nonsense_of_a_proxy(forwarded: str) -> None:
    """An entry that is no address makes the proxy itself the one who is counted."""
    assert _of("127.0.0.1", forwarded) == Address("127.0.0.1", "127.0.0.1")


def test_only_proxies() -> None:
    """Where all are in networks of ours, the first is who it is from, and is counted."""
    assert _of("127.0.0.1", "10.0.0.1, 10.0.0.2") == Address("10.0.0.1", "10.0.0.1")


def test_a_unix_socket() -> None:
    """A peer without an address is a proxy on this machine."""
    assert _of(None) == Address(None, None)


def test_ipv6_is_counted_by_network() -> None:
    """Who has a /64 is one, whichever of its addresses is used; IPv4 in IPv6 is IPv4."""
    assert _of("2001:db8::1").counted_as == "2001:db8::/64" == _of("2001:db8::ffff").counted_as
    assert _of("2001:db8:0:1::1").counted_as == "2001:db8:0:1::/64"
    assert _of("::ffff:192.0.2.1").counted_as == "192.0.2.1"
    assert _of("::ffff:127.0.0.1").counted_as is None


def test_nobody_is_trusted() -> None:
    """Without trusted networks loopback counts as any other."""
    nobody = Addresses(())
    forwarded = [(b"x-forwarded-for", b"203.0.113.9")]
    assert nobody.of("127.0.0.1", forwarded) == Address("127.0.0.1", "127.0.0.1")


@given(_PUBLIC_V4, st.lists(st.text("0123456789abcdef.:, []x", max_size=20), max_size=4))
def test_nobody_writes_himself_another_address(peer: object, said: list[str]) -> None:
    """Whatever a client writes, behind a proxy that appends its address it is counted as that."""
    forwarded = [*said, str(peer)]
    assert _of("127.0.0.1", ", ".join(forwarded)).counted_as == str(peer)
    assert _of(str(peer), ", ".join(said)).counted_as == str(peer)


@given(st.text(max_size=60))
def test_any_header(value: str) -> None:
    """No header makes it fail."""
    header = value.encode("utf-8", errors="surrogatepass")
    address = _ADDRESSES.of("127.0.0.1", [(b"x-forwarded-for", header)])
    assert address.client is not None


def test_endless_chains() -> None:
    """Of a chain that is longer than any, the end is looked at."""
    chain = "6.6.6.6, " + "10.0.0.1, " * 5000 + "10.0.0.2"
    assert _of("127.0.0.1", chain).counted_as == "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        (" 10.1.2.3/8 ", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::1", "::1/128"),
        ("FD00::/8", "fd00::/8"),
    ],
)
def test_networks(text: str, spelled: str) -> None:
    """An address is a network of one; both are spelled in the usual way."""
    assert parse_network(text) == spelled


@pytest.mark.parametrize("text", ["", "10.0.0.0/33", "10.0.0", "localhost", "10.0.0.1:80", "*"])
def test_what_is_no_network(text: str) -> None:
    """Anything else is refused with how one looks."""
    with pytest.raises(InvalidNetwork, match=r"10\.0\.0\.0/8"):
        parse_network(text)
