"""The broker inside the process."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from producers import HintPublisher
from relay.broker.broker import Broker
from relay.embedded import EmbeddedBroker
from relay.errors import BrokerUnavailable
from tests.support.process import stable_port

if TYPE_CHECKING:
    from relay.position import Position


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        # As a server does: connections that end take a while to be forgotten.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except OSError:
            return False
        return True


async def _publish_and_read(url: str, session: str) -> tuple[Position, list[str]]:
    async with HintPublisher(url, give_up_s=0) as publisher:
        sent = await publisher.hint(session, "x")
    async with Broker(url) as broker:
        log = await broker.read(session)
    return sent.position, [json.loads(one.payload)["text"] for one in log.publications]


async def test_it_is_a_broker(session_id: str) -> None:
    """What is published to it can be read from it."""
    with EmbeddedBroker(port=0) as broker:
        position, texts = await _publish_and_read(broker.url, session_id)
    assert (position.offset, texts) == (1, ["x"])


async def test_a_wanted_port(session_id: str) -> None:
    """A port that is free is taken."""
    port = stable_port()
    with EmbeddedBroker(port=port) as broker:
        assert broker.port == port
        assert broker.url == f"redis://127.0.0.1:{port}/0"
        assert not broker.is_on_default_port
        await _publish_and_read(broker.url, session_id)


async def test_a_taken_port(session_id: str) -> None:
    """When the port is taken, another one is; both work, and know nothing of each other."""
    with EmbeddedBroker(port=0) as first, EmbeddedBroker(port=first.port) as second:
        assert second.port != first.port
        assert not second.is_on_default_port
        await _publish_and_read(first.url, session_id)
        _, texts = await _publish_and_read(second.url, session_id)
        assert texts == ["x"], "nothing of the first broker is in the second"


async def test_leaving_frees_the_port(session_id: str) -> None:
    """When the block ends nobody listens, and another broker, an empty one, can have the port."""
    with EmbeddedBroker(port=stable_port()) as broker:
        await _publish_and_read(broker.url, session_id)
        assert not _can_bind(broker.port)
    with pytest.raises(BrokerUnavailable):
        await _publish_and_read(broker.url, session_id)
    assert _can_bind(broker.port)
    with EmbeddedBroker(port=broker.port) as second:
        assert second.port == broker.port
        position, texts = await _publish_and_read(second.url, session_id)
        assert (position.offset, texts) == (1, ["x"])


async def test_leaving_while_a_client_stays(session_id: str) -> None:
    """A client that stays connected does not keep the block from ending, or the port."""
    with EmbeddedBroker(port=stable_port()) as broker:
        idle = socket.create_connection(("127.0.0.1", broker.port))
        await _publish_and_read(broker.url, session_id)
    with idle:
        assert _can_bind(broker.port)


def test_leaving_after_an_error() -> None:
    """An error in the block leaves it as it is, and the port is free."""
    broker = EmbeddedBroker(port=stable_port())
    with pytest.raises(KeyError), broker:
        raise KeyError
    assert _can_bind(broker.port)


def test_only_this_machine() -> None:
    """It listens on loopback alone: it asks nobody for a password."""
    with EmbeddedBroker(port=0) as broker:
        assert broker._server.server_address[0] == "127.0.0.1"
