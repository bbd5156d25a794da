"""Every kind of socket, for tests that look at what facilitators get."""

from __future__ import annotations

import pytest

from tests.support.sockets import ASGI, KINDS, OWN, Sockets


@pytest.fixture(params=[OWN, ASGI], ids=["own", "asgi"])
def sockets(request: pytest.FixtureRequest) -> Sockets:
    """Both kinds, for tests that need a Redis of their own."""
    kind: Sockets = request.param
    return kind


@pytest.fixture(params=list(KINDS.values()), ids=list(KINDS))
def kind(request: pytest.FixtureRequest) -> tuple[Sockets, str]:
    """Each kind of socket, with a broker's URL."""
    sockets, broker = request.param
    return sockets, request.getfixturevalue(broker).url
