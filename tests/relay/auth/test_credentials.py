"""Where a request has its token."""

from __future__ import annotations

import pytest

from relay.auth.credentials import find_token
from relay.errors import Unauthorized


def _authorization(*values: str) -> list[tuple[bytes, bytes]]:
    return [(b"authorization", value.encode("latin-1")) for value in values]


@pytest.mark.parametrize(
    ("headers", "query", "subprotocols"),
    [
        (_authorization("Bearer a.b.c"), None, ()),
        (_authorization("bearer  a.b.c "), None, ()),
        ([], "a.b.c", ()),
        ([], None, ("hints.v1", "bearer.a.b.c")),
        (_authorization("Bearer a.b.c"), "a.b.c", ("bearer.a.b.c",)),
    ],
)
def test_found(
    headers: list[tuple[bytes, bytes]], query: str | None, subprotocols: tuple[str, ...]
) -> None:
    """A token is found in each of the three places, and also when it stands in all of them."""
    assert find_token(headers, query, subprotocols) == "a.b.c"


def test_none() -> None:
    """A request without a token has none; an empty one is none."""
    assert not find_token([(b"host", b"x")], None, ("hints.v1",))
    assert not find_token([], "")
    assert not find_token(_authorization("Bearer"), None)
    assert not find_token([], None, ("bearer.",))


@pytest.mark.parametrize("value", ["Basic dTpw", "a.b.c", "", "Bearer=a.b.c", "Digest x"])
def test_another_kind(value: str) -> None:
    """Another kind of ``Authorization`` is refused with how it is to be, and is not repeated."""
    with pytest.raises(Unauthorized, match="Bearer <jwt>") as refusal:
        find_token(_authorization(value), None)
    assert "dTpw" not in str(refusal.value)


@pytest.mark.parametrize(
    ("headers", "query", "subprotocols"),
    [
        (_authorization("Bearer a", "Bearer b"), None, ()),
        (_authorization("Bearer a"), "b", ()),
        ([], "a", ("bearer.b",)),
        ([], None, ("bearer.a", "bearer.b")),
    ],
)
def test_several(
    headers: list[tuple[bytes, bytes]], query: str | None, subprotocols: tuple[str, ...]
) -> None:
    """Several that differ are refused: nobody knows which one is meant."""
    with pytest.raises(Unauthorized, match="several tokens"):
        find_token(headers, query, subprotocols)
