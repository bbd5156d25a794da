"""Tokens for tests: good ones, and such as no library would make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from functools import cache
from typing import Any, NamedTuple

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.algorithms import get_default_algorithms

SECRET = "a-secret-of-tests-that-is-long-enough-for-each-of-HS256,-HS384-and-HS512"
OTHER_SECRET = "another-secret-of-tests-that-is-as-long-as-it-has-to-be-for-all-three"

_HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def claims(session: str | list[str] = "*", **more: Any) -> dict[str, Any]:
    """Return the claims of a token that is good for a minute; None leaves one out."""
    usual = {"sessions": session, "exp": int(time.time()) + 60, **more}
    return {name: value for name, value in usual.items() if value is not None}


def token(session: str | list[str] = "*", *, secret: str = SECRET, **more: Any) -> str:
    """Return a token with such claims, signed with HS256."""
    return signed({"alg": "HS256", "typ": "JWT"}, claims(session, **more), secret.encode())


def signed(header: Any, payload: Any, secret: bytes = SECRET.encode()) -> str:
    """Return what is signed with an HMAC, whatever the header says and the payload is.

    Args:
        header: JSON, or bytes that are taken as they are; its ``alg`` chooses the hash.
        payload: likewise.
        secret: the HMAC's, also when it is somebody's public key.
    """
    name = header.get("alg") if isinstance(header, dict) else None
    digest = _HASHES.get(name, hashlib.sha256) if isinstance(name, str) else hashlib.sha256
    signing_input = f"{_part(header)}.{_part(payload)}"
    signature = hmac.new(secret, signing_input.encode(), digest).digest()
    return f"{signing_input}.{encoded(signature)}"


def unsigned(header: Any, payload: Any) -> str:
    """Return a token without a signature."""
    return f"{_part(header)}.{_part(payload)}."


def encoded(data: bytes) -> str:
    """Return base64url without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _part(value: Any) -> str:
    return encoded(value if isinstance(value, bytes) else json.dumps(value).encode())


class KeyPair(NamedTuple):
    """Who signs, and what the others need for checking it."""

    private: Any
    algorithm: str
    key_id: str

    @property
    def public_pem(self) -> bytes:
        """The public key in PEM."""
        pem: bytes = self.private.public_key().public_bytes(
            Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        )
        return pem

    @property
    def private_pem(self) -> bytes:
        """The private key in PEM."""
        pem: bytes = self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return pem

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key for a JSON Web Key Set."""
        made = get_default_algorithms()[self.algorithm].to_jwk(self.private.public_key())
        return {**json.loads(made), "kid": self.key_id, "alg": self.algorithm, "use": "sig"}

    def token(
        self, session: str = "*", *, key_id: str | None = None, algorithm: str = "", **more: Any
    ) -> str:
        """Return a token that is signed with it; see ``claims``."""
        return jwt.encode(
            claims(session, **more),
            self.private,
            algorithm or self.algorithm,
            headers={"kid": key_id or self.key_id},
        )


def key_pair(algorithm: str, key_id: str = "one") -> KeyPair:
    """Return a key pair; the same for the same words, because making one takes a while."""
    return _key_pair(algorithm, key_id)


@cache
def _key_pair(algorithm: str, key_id: str) -> KeyPair:
    private: Any
    match algorithm:
        case "RS256" | "PS256":
            private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        case "ES256":
            private = ec.generate_private_key(ec.SECP256R1())
        case "EdDSA":
            private = ed25519.Ed25519PrivateKey.generate()
        case _:
            raise ValueError(algorithm)
    return KeyPair(private, algorithm, key_id)
