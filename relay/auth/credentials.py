"""Where a request has its token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.errors import Unauthorized

if TYPE_CHECKING:
    from collections.abc import Iterable

# A browser can choose a WebSocket's subprotocols and none of its headers; and unlike an address they
# are not written to logs.
_SUBPROTOCOL = "bearer."


def find_token(
    headers: Iterable[tuple[bytes, bytes]],
    query_token: str | None,
    subprotocols: Iterable[str] = (),
) -> str | None:
    """Return the token of a request; None when it has none.

    Args:
        headers: names in lower case.
        query_token: ``?token=``.
        subprotocols: those that a WebSocket's client offers.

    Raises:
        Unauthorized: for several that differ, and for a header of another kind.
    """
    found = {query_token} if query_token else set()
    for name, value in headers:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() != "bearer":
                # RFC 6750 section 2.1.
                raise Unauthorized("'Authorization' is to be 'Bearer <jwt>'.")
            found.add(token.strip())
    found |= {
        one.removeprefix(_SUBPROTOCOL) for one in subprotocols if one.startswith(_SUBPROTOCOL)
    }
    if len(found) > 1:
        raise Unauthorized("The request has several tokens: send one.")
    return found.pop() if found else None
