"""Where a request comes from, also behind load balancers."""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FORWARDED_FOR = b"x-forwarded-for"
# A customer has at least so much of IPv6, and may be at any address of it.
_IPV6_PREFIX = 64
_MAX_HOPS = 32


class Address(NamedTuple):
    """Who sent a request.

    Attributes:
        client: its address; None when nothing tells, as with a Unix socket.
        counted_as: what limits count it as; None for what is not counted: a load balancer that speaks
            for itself.
    """

    client: str | None
    counted_as: str | None


class InvalidNetwork(ValueError):
    """The text is no address and no network; it says how one looks."""


def parse_network(text: str) -> str:
    """Return an address or a network in its usual spelling.

    Raises:
        InvalidNetwork: for anything else.
    """
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError:
        raise InvalidNetwork(
            f"{text!r} is not an address or a network: it looks like 10.0.0.0/8"
        ) from None


class Addresses:
    """Finds out who a peer speaks for; pure.

    Only a trusted proxy is believed when it says where a request came from, and of what it says only
    what it, or another trusted one, has seen itself: the last entry that is not a trusted proxy.

    Args:
        trusted: networks of load balancers.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        networks = tuple(ipaddress.ip_network(one) for one in trusted)
        # A reconnect storm comes from few addresses, and parsing one takes some µs.
        self._is_trusted = lru_cache(maxsize=1024)(lambda text: _is_in(text, networks))

    def of(self, peer: str | None, headers: Iterable[tuple[bytes, bytes]]) -> Address:
        """Return who sent a request.

        Args:
            peer: the address at the other end of the connection.
            headers: the request's, names in lower case.
        """
        if peer is None or not self._is_trusted(peer):
            return Address(peer, None if peer is None else _counted(peer))
        hops: list[str] = []
        for name, value in headers:
            if name == _FORWARDED_FOR:
                hops += [hop.strip() for hop in value.decode("latin-1").split(",")]
        if not hops:
            # The proxy speaks for itself, or it is somebody on this machine.
            return Address(peer, None)
        hops = hops[-_MAX_HOPS:]
        # All of them trusted: a customer in our own network.
        client = next((hop for hop in reversed(hops) if not self._is_trusted(hop)), hops[0])
        address = _parsed(client)
        # What is no address was not written by a proxy of ours.
        return Address(peer, _counted(peer)) if address is None else _of(address)

    def is_private(self, peer: str | None, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Tell whether a request comes straight from this machine or a private network."""
        if any(name == _FORWARDED_FOR for name, _ in headers):
            # Through a load balancer; and who pretends so is not wanted either.
            return False
        address = None if peer is None else _parsed(peer)
        return peer is None or (address is not None and address.is_private)


def _of(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Address:
    text = str(address)
    return Address(text, _counted(text))


@lru_cache(maxsize=1024)
def _counted(text: str) -> str:
    address = _parsed(text)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return text if address is None else str(address)


def _parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    # Some load balancers write the port, too: 192.0.2.1:443, [2001:db8::1]:443.
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # A dual-stack socket shows IPv4 so.
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_in(text: str, networks: tuple[Network, ...]) -> bool:
    address = _parsed(text)
    return address is not None and any(address in network for network in networks)
