"""Makes tokens, for development and for tests; in production an application's backend does."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

import jwt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.auth.grant import Role


def mint(
    secret: str,
    *,
    sessions: Sequence[str],
    role: Role,
    subject: str | None,
    lives_s: float,
    audience: str | None = None,
    issuer: str | None = None,
) -> str:
    """Return a token signed with HS256.

    Args:
        secret: the relays'.
        sessions: patterns; see ``Grant``.
        role: what its holder is.
        subject: who its holder is; None: a guest.
        lives_s: seconds from now until it expires.
        audience: ``aud``; None: none.
        issuer: ``iss``; None: none.
    """
    now_s = time.time()
    claims = {
        "sub": subject,
        "role": str(role),
        "sessions": list(sessions),
        "iat": int(now_s),
        "exp": int(now_s + lives_s),
        # So that it can be revoked alone.
        "jti": secrets.token_urlsafe(9),
        "aud": audience,
        "iss": issuer,
    }
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None}, secret, "HS256"
    )
