"""The relay's door."""

from __future__ import annotations

from typing import Any

import pytest

from relay.admission import Admission, Ticket
from relay.auth.addresses import Addresses
from relay.auth.grant import OPEN
from relay.auth.keyring import Key
from relay.auth.origins import Origins
from relay.auth.tokens import Tokens
from relay.errors import Forbidden, LimitReached, Unauthorized
from relay.gate import Credentials, Gate
from relay.metrics import Metrics
from relay.settings import Settings
from tests.support.tokens import SECRET, token

_LOCAL = [(b"host", b"localhost:8000")]


class World:
    """A gate, with a clock that is turned by hand."""

    def __init__(self, *, tokens: bool = False, **settings: Any) -> None:
        made = Settings.load(**settings)
        self.now_s = 1000.0
        self.metrics = Metrics()
        self.admission = Admission(made)
        self.gate = Gate(
            made,
            Tokens([Key.of_secret(SECRET.encode())]) if tokens else None,
            Origins(made.allowed_origins, is_local=not tokens),
            Addresses(made.trusted_proxies),
            self.admission,
            self.metrics,
            clock_s=lambda: self.now_s,
        )

    def limits(self) -> dict[str, float]:
        """Return how often each limit was reached."""
        return {
            sample.labels["limit"]: sample.value
            for family in self.metrics.limits.collect()
            for sample in family.samples
            if sample.name.endswith("_total")
        }


def _refused(world: World, peer: str, *forwarded: bytes) -> LimitReached | None:
    try:
        world.gate.knock(peer, [(b"x-forwarded-for", one) for one in forwarded])
    except LimitReached as error:
        return error
    return None


def test_the_rate_of_one_address() -> None:
    """Who comes too often is told when to come back, and can then; others are not concerned."""
    world = World(handshakes_per_address_per_s=2.0, handshake_burst_per_address=3)
    outcomes = [_refused(world, "192.0.2.1") for _ in range(4)]
    assert outcomes[:3] == [None] * 3
    assert outcomes[3] is not None
    assert (outcomes[3].limit, outcomes[3].retry_after_ms) == ("handshakes_per_address_per_s", 500)
    assert _refused(world, "192.0.2.2") is None
    world.now_s += 0.5
    assert _refused(world, "192.0.2.1") is None
    assert world.limits() == {"handshakes_per_address_per_s": 1}


def test_behind_a_proxy() -> None:
    """A trusted proxy's clients are counted each; the proxy itself is not."""
    world = World(handshakes_per_address_per_s=1.0, handshake_burst_per_address=1)
    assert _refused(world, "127.0.0.1", b"203.0.113.1") is None
    assert _refused(world, "127.0.0.1", b"203.0.113.1") is not None
    assert _refused(world, "127.0.0.1", b"203.0.113.2") is None
    assert [_refused(world, "127.0.0.1") for _ in range(5)] == [None] * 5


def test_inventing_addresses() -> None:
    """Who is no proxy gains nothing by naming other addresses."""
    world = World(handshakes_per_address_per_s=1.0, handshake_burst_per_address=1)
    assert _refused(world, "192.0.2.1", b"203.0.113.1") is None
    assert _refused(world, "192.0.2.1", b"203.0.113.2") is not None


def test_the_rate_of_all() -> None:
    """All together have a rate, too, whoever they are."""
    world = World(handshakes_per_s=8.0, handshake_burst=2)
    outcomes = [_refused(world, "127.0.0.1") for _ in range(3)]
    assert outcomes[2] is not None
    assert (outcomes[2].limit, outcomes[2].retry_after_ms) == ("handshakes_per_s", 125)
    assert world.limits() == {"handshakes_per_s": 1}


def test_a_flood_from_one_address_takes_nothing_from_others() -> None:
    """What is refused for its own address does not use up what all have together."""
    world = World(
        handshake_burst=3, handshakes_per_address_per_s=1.0, handshake_burst_per_address=1
    )
    for _ in range(100):
        _refused(world, "192.0.2.1")
    assert _refused(world, "192.0.2.2") is None


def test_room() -> None:
    """A full worker says when to try again, and counts that."""
    world = World(max_connections=1)
    world.gate.check_room()
    world.admission.enter(Ticket("s", OPEN, None))
    with pytest.raises(LimitReached) as refusal:
        world.gate.check_room()
    assert (refusal.value.limit, refusal.value.retry_after_ms) == ("max_connections", 1000)
    assert world.limits() == {"max_connections": 1}


async def test_without_tokens() -> None:
    """Where none are asked for, everybody may everything, and a token that is shown is not looked at."""
    assert await World().gate.check(Credentials(_LOCAL, "nonsense")) is OPEN


async def test_with_tokens() -> None:
    """Where tokens are asked for, one is needed, wherever it stands."""
    gate = World(tokens=True).gate
    made = token("a", sub="ada")
    for shown in (
        Credentials([(b"authorization", b"Bearer " + made.encode())]),
        Credentials((), made),
        Credentials((), None, (f"bearer.{made}",)),
    ):
        assert (await gate.check(shown)).subject == "ada"
    for wrong in (Credentials(()), Credentials((), "x"), Credentials((), made, ("bearer.x",))):
        with pytest.raises(Unauthorized):
            await gate.check(wrong)


_FOREIGN, _ELSEWHERE = "RELAY_ALLOWED_ORIGINS", "for its own machine"


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ([(b"host", b"localhost"), (b"origin", b"https://evil.example")], _FOREIGN),
        ([(b"host", b"localhost"), (b"origin", b"null")], _FOREIGN),
        (
            [
                (b"host", b"localhost"),
                (b"origin", b"http://localhost"),
                (b"origin", b"https://evil.example"),
            ],
            _FOREIGN,
        ),
        ([(b"host", b"localhost"), (b"origin", b"\xff")], _FOREIGN),
        ([(b"host", b"evil.example")], _ELSEWHERE),
        ([(b"host", b"localhost"), (b"host", b"evil.example")], _ELSEWHERE),
        ([], _ELSEWHERE),
    ],
)
async def test_origins(headers: list[tuple[bytes, bytes]], told: str) -> None:
    """A page of another origin, and one that goes by another name, are refused before any token."""
    with pytest.raises(Forbidden, match=told):
        await World().gate.check(Credentials(headers))


async def test_origins_come_before_tokens() -> None:
    """A foreign page learns nothing about a token."""
    gate = World(tokens=True).gate
    headers = [(b"host", b"relay.example.com"), (b"origin", b"https://evil.example")]
    for shown in (token("a"), "nonsense", None):
        with pytest.raises(Forbidden):
            await gate.check(Credentials(headers, shown))
