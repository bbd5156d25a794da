"""The relay's door: whoever wants anything of it comes through here."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from relay.auth.credentials import find_token
from relay.auth.grant import OPEN
from relay.errors import Forbidden, LimitReached
from relay.rates import Rates
from relay.token_bucket import TokenBucket

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from relay.admission import Admission
    from relay.auth.addresses import Address, Addresses
    from relay.auth.grant import Grant
    from relay.auth.origins import Origins
    from relay.auth.tokens import Tokens
    from relay.metrics import Metrics
    from relay.settings import Settings


class Credentials(NamedTuple):
    """What a request shows at the door.

    Attributes:
        headers: names in lower case.
        query_token: its parameter ``token``.
        subprotocols: those that a WebSocket's client offers.
    """

    headers: Sequence[tuple[bytes, bytes]]
    query_token: str | None = None
    subprotocols: Collection[str] = ()


class Gate:
    """Says who may come in, and as what; one for each worker.

    Args:
        settings: rates.
        tokens: checks them; None: nobody needs one.
        origins: which pages may.
        addresses: whom a peer speaks for.
        admission: how many there are.
        metrics: is told of whom was refused.
        clock_s: a clock that does not step back.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: Tokens | None,
        origins: Origins,
        addresses: Addresses,
        admission: Admission,
        metrics: Metrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tokens = tokens
        self.admission = admission
        self._origins = origins
        self.addresses = addresses
        self._metrics = metrics
        self._clock_s = clock_s
        self._rate = TokenBucket(settings.handshakes_per_s, settings.handshake_burst, clock_s())
        self._rates = Rates(
            settings.handshakes_per_address_per_s, settings.handshake_burst_per_address
        )

    def knock(self, peer: str | None, headers: Sequence[tuple[bytes, bytes]]) -> Address:
        """Return where a request is from; call it before anything that costs more.

        Raises:
            LimitReached: when too many come from there, or altogether.
        """
        address = self.addresses.of(peer, headers)
        now_s = self._clock_s()
        if address.counted_as is not None:
            wait_ms = self._rates.take(address.counted_as, now_s)
            if wait_ms:
                raise self.limited("handshakes_per_address_per_s", wait_ms)
        wait_ms = self._rate.take(now_s)
        if wait_ms:
            raise self.limited("handshakes_per_s", wait_ms)
        return address

    def is_near(self, peer: str | None, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Tell whether a request comes from this machine or a private network, and is its own.

        Neither is what came through a proxy, nor what a page of somebody else makes a browser here ask.
        """
        return self.addresses.is_private(peer, headers) and self._origins.allows(
            _header(headers, b"origin"), _header(headers, b"host")
        )

    def check_room(self) -> None:
        """Do nothing while this worker can take one more.

        Raises:
            LimitReached: when it can't.
        """
        if self.admission.is_full:
            raise self.limited("max_connections", 1000)

    async def check(self, credentials: Credentials) -> Grant:
        """Return what a request may do.

        Raises:
            Forbidden: for a page that may not talk to this relay.
            Unauthorized: for a token that is missing or wrong.
            KeysUnavailable: when nobody can tell now.
        """
        origin = _header(credentials.headers, b"origin")
        host = _header(credentials.headers, b"host")
        if not self._origins.allows(origin, host):
            raise Forbidden(self._origins.advice(host))
        if self.tokens is None:
            return OPEN
        return await self.tokens.verify(
            find_token(credentials.headers, credentials.query_token, credentials.subprotocols)
        )

    def check_again(self, grant: Grant) -> None:
        """Do nothing if what a request may do was not taken back since it was checked.

        Raises:
            Unauthorized: when it was.
        """
        if self.tokens is not None:
            self.tokens.check_revoked(grant)

    def limited(self, limit: str, retry_after_ms: int) -> LimitReached:
        """Count that a rate is exceeded, and return what is to be said."""
        self._metrics.limits.labels(limit).inc()
        return LimitReached(
            limit, "Too many requests: come back later, and not all at once.", retry_after_ms
        )


def _header(headers: Sequence[tuple[bytes, bytes]], wanted: bytes) -> str | None:
    found = [value for name, value in headers if name == wanted]
    # Of two that differ nobody knows which one a proxy has looked at.
    return b",".join(found).decode("latin-1") if found else None
