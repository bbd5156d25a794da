"""The keys that tokens may be signed with, each bound to its algorithms.

A token says itself which algorithm it was signed with. What protects against a token that says so
falsely (an RSA public key taken for an HMAC secret, ``none``) is that a key is never used with an
algorithm that is not its own (RFC 8725 section 3.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt import PyJWK

if TYPE_CHECKING:
    from collections.abc import Iterable

# A key shorter than the hash is worth less than the hash (RFC 7518 section 3.2).
_HMAC_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}
MIN_SECRET_BYTES = _HMAC_BYTES["HS256"]
# RFC 7518 section 3.3.
_MIN_RSA_BITS = 2048
_MAX_KEYS = 100
PUBLIC_ALGORITHMS = frozenset({"RS256", "PS256", "ES256", "EdDSA"})
"""Those that a published key can be for; with another one there is nothing to ask its issuer."""

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey


class UnusableKey(ValueError):
    """A key that no token can be checked with; the text says why, and never the key."""


class Key(NamedTuple):
    """One key.

    Attributes:
        key: bytes of a secret, or a public key.
        algorithms: those that a token checked with it may name.
        key_id: the ``kid`` that such a token may name; None: any, or none.
    """

    key: bytes | PublicKey
    algorithms: frozenset[str]
    key_id: str | None = None

    @classmethod
    def of_secret(cls, secret: bytes) -> Key:
        """Return a secret as a key for those HMAC algorithms that it is long enough for.

        Raises:
            UnusableKey: when it is too short for any.
        """
        algorithms = frozenset(name for name, size in _HMAC_BYTES.items() if len(secret) >= size)
        if not algorithms:
            raise UnusableKey(
                f"has {len(secret)} bytes; {MIN_SECRET_BYTES} are the least. "
                "Make one: openssl rand -hex 32"
            )
        return cls(secret, algorithms)

    @classmethod
    def of_pem(cls, pem: bytes) -> Key:
        """Return a public key, or that of a certificate, in PEM.

        Raises:
            UnusableKey: for anything else.
        """
        if b"PRIVATE KEY-----" in pem:
            raise UnusableKey(
                "is a private key, which only who signs tokens may have: give its public key "
                "(openssl pkey -in private.pem -pubout)"
            )
        try:
            if b"-----BEGIN CERTIFICATE-----" in pem:
                key: Any = x509.load_pem_x509_certificate(pem).public_key()
            else:
                key = load_pem_public_key(pem)
        except (ValueError, UnsupportedAlgorithm):
            raise UnusableKey("is no public key in PEM") from None
        return cls(key, _algorithms_of(key))

    @classmethod
    def of_jwk(cls, jwk: dict[str, Any]) -> Key:
        """Return a key of a JSON Web Key Set (RFC 7517 section 4).

        Raises:
            UnusableKey: for one that is not public, is for something else, or is of another kind.
        """
        if "d" in jwk or jwk.get("kty") == "oct":
            raise UnusableKey("is not public")
        operations = jwk.get("key_ops", ["verify"])
        is_to_verify = isinstance(operations, list) and "verify" in operations
        if jwk.get("use", "sig") != "sig" or not is_to_verify:
            raise UnusableKey("is not for signatures")
        try:
            key = PyJWK(jwk).key
        except Exception:  # noqa: BLE001 - the library lets some through, such as NotImplementedError
            raise UnusableKey("is broken, or of an unknown kind") from None
        algorithms = _algorithms_of(key)
        if "alg" in jwk:
            algorithms = frozenset(one for one in algorithms if one == jwk["alg"])
            if not algorithms:
                raise UnusableKey("has an algorithm that is not of its kind")
        key_id = jwk.get("kid")
        return cls(key, algorithms, key_id if isinstance(key_id, str) else None)


def keys_of_set(jwks: Any) -> tuple[list[Key], list[str]]:
    """Return the usable keys of a JSON Web Key Set, and what is wrong with the others.

    Raises:
        UnusableKey: for what is no such set, or has none that is usable.
    """
    entries = jwks.get("keys") if isinstance(jwks, dict) else None
    if not isinstance(entries, list):
        raise UnusableKey("is no JSON Web Key Set: an object with a list 'keys'")
    usable: list[Key] = []
    problems: list[str] = []
    for entry in entries[:_MAX_KEYS]:
        try:
            usable.append(Key.of_jwk(entry if isinstance(entry, dict) else {}))
        except UnusableKey as error:
            problems.append(str(error))
    if not usable:
        raise UnusableKey("has no key that can be used")
    return usable, problems


def candidates(keys: Iterable[Key], algorithm: str, key_id: str | None) -> list[Key]:
    """Return the keys that a token with this header may have been signed with."""
    return [
        key
        for key in keys
        if algorithm in key.algorithms
        and (key_id is None or key.key_id is None or key.key_id == key_id)
    ]


def _algorithms_of(key: object) -> frozenset[str]:
    if isinstance(key, RSAPublicKey):
        if key.key_size < _MIN_RSA_BITS:
            raise UnusableKey(f"has {key.key_size} bits; {_MIN_RSA_BITS} are the least for RSA")
        return frozenset({"RS256", "PS256"})
    if isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        return frozenset({"ES256"})
    if isinstance(key, Ed25519PublicKey):
        return frozenset({"EdDSA"})
    raise UnusableKey("is of a kind that is not taken: RSA, P-256 and Ed25519 are")
