"""Tells what a token allows (RFC 7519, with the advice of RFC 8725)."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Protocol

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from relay.auth.grant import Grant, Role
from relay.auth.keyring import PUBLIC_ALGORITHMS, candidates
from relay.errors import KeysUnavailable, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Sequence

    from relay.auth.keyring import Key

# Browsers send it in one header line, for which there are 8 KiB.
MAX_TOKEN_CHARACTERS = 4096
_MAX_PATTERNS = 100
# Tokens without a `kid` are tried with each key of their algorithm.
_MAX_TRIES = 8
_PATTERN = re.compile(r"[A-Za-z0-9_.~-]{1,128}|[A-Za-z0-9_.~-]{0,128}\*", re.ASCII)
MAX_NAME = 128

_MISSING = "A token is needed, and there is none."


class KeySource(Protocol):
    """Where keys come from that are not configured one by one."""

    @property
    def keys(self) -> Sequence[Key]:
        """Those that are known now."""

    async def look_again(self) -> bool:
        """Ask for new ones, unless that was done just now; tells whether there was an answer."""


class Revoked(Protocol):
    """Who knows what has been taken back."""

    def covers(self, grant: Grant) -> bool:
        """Tell whether a grant has been."""


class Tokens:
    """Checks tokens; safe to use by many requests of one event loop.

    Args:
        keys: those that are configured.
        source: where there are more; None: nowhere.
        audience: what the claim ``aud`` must have; None: it is not looked at.
        issuer: what the claim ``iss`` must be; None: it is not looked at.
        leeway_s: how far clocks may be apart, in seconds.
        revoked: what has been taken back.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        source: KeySource | None = None,
        *,
        audience: str | None = None,
        issuer: str | None = None,
        leeway_s: float = 0.0,
        revoked: Revoked | None = None,
    ) -> None:
        self._keys = tuple(keys)
        self._source = source
        self._audience = audience
        self._issuer = issuer
        self.leeway_s = leeway_s
        self._revoked = revoked
        self._options: dict[str, Any] = {"require": ["exp"], "verify_aud": audience is not None}

    async def verify(self, token: str | None) -> Grant:
        """Return what a token allows. It waits only when the token names a key that is not known.

        Raises:
            Unauthorized: saying what is wrong, and nothing that is in it.
            KeysUnavailable: when the key that it names can't be asked for now.
        """
        if not token:
            raise Unauthorized(_MISSING)
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise Unauthorized(f"The token has more than {MAX_TOKEN_CHARACTERS:,} characters.")
        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError, RecursionError):
            # Also what it finds wrong with a `kid` or a `crit`: strangers need no key for those.
            raise Unauthorized("The token is no JWT, or one that is not known here.") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
            raise Unauthorized("The token is no JWT.")
        claims = self._claims(token, algorithm, key_id)
        if claims is None and self._source is not None and algorithm in PUBLIC_ALGORITHMS:
            is_answered = await self._source.look_again()
            claims = self._claims(token, algorithm, key_id)
            if claims is None and not is_answered and not self._finds_key(algorithm, key_id):
                raise KeysUnavailable
        if claims is None:
            raise Unauthorized("The token was not signed with a key that is taken here.")
        grant = _grant_of(claims)
        self.check_revoked(grant)
        return grant

    def check_revoked(self, grant: Grant) -> None:
        """Do nothing for what has not been taken back.

        Raises:
            Unauthorized: for what has.
        """
        if self._revoked is not None and self._revoked.covers(grant):
            raise Unauthorized("The token has been revoked.")

    def _claims(self, token: str, algorithm: str, key_id: str | None) -> dict[str, Any] | None:
        """Return what a token says; None when no key that is known has signed it."""
        known = (*self._keys, *(() if self._source is None else self._source.keys))
        for key in candidates(known, algorithm, key_id)[:_MAX_TRIES]:
            try:
                return self._decoded(token, key, algorithm)
            except InvalidSignatureError:
                continue
        return None

    def _finds_key(self, algorithm: str, key_id: str | None) -> bool:
        known = () if self._source is None else self._source.keys
        return bool(candidates(known, algorithm, key_id))

    def _decoded(self, token: str, key: Key, algorithm: str) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=self.leeway_s,
                options=self._options,  # type: ignore[arg-type]
            )
        except InvalidSignatureError:
            raise
        except ExpiredSignatureError:
            raise Unauthorized("The token has expired.") from None
        except ImmatureSignatureError:
            raise Unauthorized("The token is not valid yet: compare the clocks.") from None
        except MissingRequiredClaimError as error:
            raise Unauthorized(f"The token lacks the claim '{error.claim}'.") from None
        except InvalidAudienceError:
            raise Unauthorized("The token is for another audience ('aud').") from None
        except InvalidIssuerError:
            raise Unauthorized("The token is from another issuer ('iss').") from None
        except Exception:  # noqa: BLE001 - the library lets some through, such as OverflowError
            raise Unauthorized("The token is broken, or one of its claims is.") from None


def _grant_of(claims: dict[str, Any]) -> Grant:
    try:
        role = Role(claims.get("role", Role.FACILITATOR))
    except ValueError:
        roles = ", ".join(Role)
        raise Unauthorized(f"The token's 'role' is none of {roles}.") from None
    return Grant(
        role=role,
        sessions=check_patterns(claims.get("sessions")),
        subject=_name(claims, "sub"),
        token_id=_name(claims, "jti"),
        issued_at_s=_time(claims, "iat"),
        expires_at_s=_time(claims, "exp"),
    )


def check_patterns(value: object) -> tuple[str, ...]:
    """Return what a claim ``sessions`` says, one or a list of them.

    Raises:
        Unauthorized: for what is no session id, with or without a ``*`` at its end.
    """
    patterns = [value] if isinstance(value, str) else value
    if (
        not isinstance(patterns, list)
        or not 0 < len(patterns) <= _MAX_PATTERNS
        or not all(isinstance(one, str) and _PATTERN.fullmatch(one) for one in patterns)
    ):
        raise Unauthorized(
            "'sessions' of a token is to be a session id, or a list of at most "
            f"{_MAX_PATTERNS}; a '*' at the end of one stands for the rest."
        )
    return tuple(patterns)


def is_name(text: str) -> bool:
    """Tell whether a text can be a ``sub`` or a ``jti``: it goes to logs, and to other people."""
    return 0 < len(text) <= MAX_NAME and text.isprintable()


def _name(claims: dict[str, Any], claim: str) -> str | None:
    value = claims.get(claim)
    if value is None:
        return None
    if not isinstance(value, str) or not is_name(value):
        raise Unauthorized(f"The token's '{claim}' is to be a text of 1 to {MAX_NAME} characters.")
    return value


def _time(claims: dict[str, Any], claim: str) -> float | None:
    value = claims.get(claim)
    if value is None:
        return None
    try:
        # An integer of hundreds of digits is no number of seconds either.
        seconds = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise Unauthorized(f"The token's '{claim}' is to be a number of seconds.")
    return seconds
