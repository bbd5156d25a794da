"""Making tokens for development."""

from __future__ import annotations

import time

import jwt

from relay.auth.grant import Role
from relay.auth.keyring import Key
from relay.auth.minting import mint
from relay.auth.tokens import Tokens
from tests.support.tokens import SECRET


async def test_the_relay_takes_it() -> None:
    """What is made is what the relay takes: who, what, where and until when."""
    made = mint(
        SECRET, sessions=["a", "b*"], role=Role.AGENT, subject="ada", lives_s=60.0,
        audience="relay", issuer="tests",
    )  # fmt: skip
    tokens = Tokens([Key.of_secret(SECRET.encode())], audience="relay", issuer="tests")
    grant = await tokens.verify(made)
    assert (grant.role, grant.sessions, grant.subject) == (Role.AGENT, ("a", "b*"), "ada")
    assert grant.issued_at_s is not None
    assert grant.expires_at_s == grant.issued_at_s + 60
    assert abs(grant.issued_at_s - time.time()) < 5
    assert grant.token_id


def test_what_is_not_given_is_left_out() -> None:
    """A guest's token has no ``sub``; two tokens have different ids."""
    some = [
        jwt.decode(
            mint(SECRET, sessions=["a"], role=Role.OBSERVER, subject=None, lives_s=1.5),
            SECRET,
            ["HS256"],
        )
        for _ in range(2)
    ]
    assert set(some[0]) == {"role", "sessions", "iat", "exp", "jti"}
    assert some[0]["jti"] != some[1]["jti"]
