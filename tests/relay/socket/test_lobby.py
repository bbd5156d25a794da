"""Where connections wait for their request, on a clock that is turned by hand."""

from __future__ import annotations

from typing import Any

import structlog

from relay.auth.addresses import Addresses
from relay.metrics import Metrics
from relay.settings import Settings
from relay.socket.lobby import Lobby


class Guest:
    """Notes that it was given up."""

    def __init__(self, *, fails: bool = False) -> None:
        self.given_up = 0
        self._fails = fails

    def give_up(self) -> None:
        self.given_up += 1
        if self._fails:
            raise RuntimeError("it fails")


class World:
    """A lobby and its clock."""

    def __init__(self, **settings: Any) -> None:
        self.now_s = 1000.0
        self.metrics = Metrics()
        made = Settings.load(**settings)
        self.lobby = Lobby(
            made, Addresses(made.trusted_proxies), self.metrics, clock_s=lambda: self.now_s
        )

    def counted(self, limit: str) -> float:
        """Return how often a limit was reached."""
        return float(self.metrics.limits.labels(limit)._value.get())


def test_who_is_late() -> None:
    """Who has waited for too long is given up once; who came later, or has left, is not."""
    world = World(handshake_timeout_s=10)
    early, late, gone = Guest(), Guest(), Guest()
    world.lobby.enter(early)
    world.lobby.enter(gone)
    world.lobby.leave(gone)
    world.now_s += 6
    world.lobby.enter(late)
    world.now_s += 4
    for _ in range(2):
        world.lobby.give_up_late()
    assert (early.given_up, late.given_up, gone.given_up) == (1, 0, 0)
    assert len(world.lobby) == 1
    assert world.counted("handshake_timeout_s") == 1
    world.lobby.leave(early)


def test_entering_again() -> None:
    """Who enters again waits for something new, behind those who came meanwhile."""
    world = World(handshake_timeout_s=10, max_pending=2)
    one, two, three = Guest(), Guest(), Guest()
    world.lobby.enter(one)
    world.lobby.enter(two)
    world.now_s += 6
    world.lobby.enter(one)
    assert len(world.lobby) == 2
    world.lobby.enter(three)
    assert (one.given_up, two.given_up) == (0, 1)
    world.now_s += 6
    world.lobby.give_up_late()
    assert one.given_up == 0


def test_too_many() -> None:
    """One more than may wait displaces the one that has waited longest, and is counted."""
    world = World(max_pending=2)
    guests = [Guest() for _ in range(4)]
    for guest in guests:
        world.lobby.enter(guest)
    assert [guest.given_up for guest in guests] == [1, 1, 0, 0]
    assert len(world.lobby) == 2
    assert world.counted("max_pending") == 2


def test_one_that_fails() -> None:
    """One whose end fails is a line in the log; the others are looked after."""
    world = World(handshake_timeout_s=1)
    bad, good = Guest(fails=True), Guest()
    world.lobby.enter(bad)
    world.lobby.enter(good)
    world.now_s += 2
    with structlog.testing.capture_logs() as lines:
        world.lobby.give_up_late()
    assert good.given_up == 1
    assert [line["event"] for line in lines] == ["giving up a connection failed"]


def test_new_connections() -> None:
    """Strangers' connections have a rate, four times that of requests; trusted proxies' have none."""
    world = World(handshakes_per_address_per_s=1.0, handshake_burst_per_address=1)
    assert [world.lobby.admits("192.0.2.1") for _ in range(5)] == [True] * 4 + [False]
    assert world.lobby.admits("192.0.2.2")
    assert all(world.lobby.admits(peer) for peer in ["127.0.0.1", None] * 10)
    world.now_s += 0.25
    assert world.lobby.admits("192.0.2.1")
    assert world.counted("handshakes_per_address_per_s") == 1
