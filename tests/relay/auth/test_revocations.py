"""What has been taken back."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from relay.auth.grant import Grant, Role
from relay.auth.revocations import Revocation, Revocations


def _grant(
    subject: str | None = None, token_id: str | None = None, at: float | None = None
) -> Grant:
    return Grant(Role.FACILITATOR, ("*",), subject, token_id, at)


def _of(*some: Revocation) -> Revocations:
    revocations = Revocations()
    revocations.add(some)
    return revocations


def test_nothing() -> None:
    """Where nothing was revoked, nothing is."""
    assert not Revocations().covers(_grant("ada", "1", 0))


def test_one_token() -> None:
    """A token is revoked by its id; its owner's others are not, nor one without an id."""
    revocations = _of(Revocation("jti", "1", 100, 200))
    assert revocations.covers(_grant("ada", "1", 150))
    assert not revocations.covers(_grant("ada", "2"))
    assert not revocations.covers(_grant("ada"))
    assert not revocations.covers(_grant("1")), "a subject is no token's id"


def test_all_of_a_person() -> None:
    """What somebody was given until then is revoked, or does not say when; later ones are good."""
    revocations = _of(Revocation("sub", "ada", 100.5, 200))
    assert revocations.covers(_grant("ada", "1", 100))
    assert revocations.covers(_grant("ada", "1", 100.5))
    assert revocations.covers(_grant("ada"))
    assert not revocations.covers(_grant("ada", "1", 101))
    assert not revocations.covers(_grant("ben", "1", 100))
    assert not revocations.covers(_grant(None, "ada", 100)), "a token's id is no subject"


def test_forgetting() -> None:
    """What can't be shown any more is forgotten, and nothing else."""
    revocations = _of(Revocation("jti", "1", 0, 100), Revocation("jti", "2", 0, 200))
    revocations.forget_until(99)
    assert len(revocations) == 2
    revocations.forget_until(100)
    assert len(revocations) == 1
    assert revocations.covers(_grant(token_id="2"))
    revocations.forget_until(1e9)
    assert len(revocations) == 0


def test_revoked_twice() -> None:
    """The later one counts, for as long as the longer one: a second one takes nothing back."""
    for order in itertools.permutations(
        [Revocation("sub", "ada", 100, 1000), Revocation("sub", "ada", 150, 200)]
    ):
        revocations = _of(*order, *order)
        assert len(revocations) == 1
        assert revocations.covers(_grant("ada", at=150))
        revocations.forget_until(500)
        assert revocations.covers(_grant("ada", at=150))
        revocations.forget_until(1000)
        assert len(revocations) == 0


_SOME = st.lists(
    st.builds(
        Revocation,
        st.sampled_from(["jti", "sub"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 50).map(float),
        st.integers(51, 100).map(float),
    ),
    max_size=12,
)


@given(_SOME, st.integers(0, 100), st.integers(0, 60), st.randoms())
def test_any_order(some: list[Revocation], now_s: int, issued_s: int, random: object) -> None:
    """In whatever order they come and are forgotten, a grant is revoked while one that covers it is."""
    revocations = Revocations()
    for one in some:
        revocations.add([one])
        revocations.forget_until(min(now_s, 50))
    revocations.forget_until(now_s)
    for kind, grant in (
        ("jti", _grant(token_id="a", at=issued_s)),
        ("sub", _grant("a", at=issued_s)),
    ):
        covering = [
            one
            for one in some
            if (one.kind, one.name) == (kind, "a")
            and one.until_s > now_s
            and (kind == "jti" or issued_s <= one.revoked_at_s)
        ]
        if covering:
            assert revocations.covers(grant)
    if now_s >= 100:
        assert len(revocations) == 0
        assert revocations._by_end == []
