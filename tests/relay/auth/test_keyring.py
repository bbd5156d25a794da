"""Keys, and the algorithms that each is for."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from relay.auth.keyring import Key, UnusableKey, candidates, keys_of_set
from tests.support.tokens import SECRET, key_pair

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("size", "algorithms"),
    [
        (32, {"HS256"}),
        (47, {"HS256"}),
        (48, {"HS256", "HS384"}),
        (64, {"HS256", "HS384", "HS512"}),
    ],
)
def test_secrets(size: int, algorithms: set[str]) -> None:
    """A secret is for those algorithms whose hash it is as long as."""
    assert Key.of_secret(b"s" * size).algorithms == algorithms


@pytest.mark.parametrize("size", [0, 1, 31])
def test_short_secrets(size: int) -> None:
    """A shorter one is refused with how to make one, and is not shown."""
    with pytest.raises(UnusableKey, match="openssl rand") as refusal:
        Key.of_secret(b"s" * size)
    assert "sss" not in str(refusal.value)


@pytest.mark.parametrize(
    ("algorithm", "algorithms"),
    [("RS256", {"RS256", "PS256"}), ("ES256", {"ES256"}), ("EdDSA", {"EdDSA"})],
)
def test_public_keys(algorithm: str, algorithms: set[str]) -> None:
    """A public key is for the algorithms of its kind, and never for an HMAC."""
    assert Key.of_pem(key_pair(algorithm).public_pem).algorithms == algorithms


def test_a_certificate() -> None:
    """A certificate is as good as the key in it."""
    private = key_pair("ES256").private
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, private.public_key(), 7)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(private, hashes.SHA256())
    )
    key = Key.of_pem(certificate.public_bytes(Encoding.PEM))
    assert key.algorithms == {"ES256"}


def _pem(private: Any) -> bytes:
    pem: bytes = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


@pytest.mark.parametrize(
    ("pem", "told"),
    [
        (b"", "no public key"),
        (b"ssh-rsa AAAA", "no public key"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no public key"),
        (SECRET.encode(), "no public key"),
        (key_pair("ES256").private_pem, "private key"),
        (_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), "1024 bits"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "kind"),
        (_pem(ec.generate_private_key(ec.SECP256K1())), "kind"),
        (_pem(ed448.Ed448PrivateKey.generate()), "kind"),
    ],
    ids=[
        "empty",
        "ssh",
        "broken",
        "certificate",
        "secret",
        "private",
        "short",
        "P-384",
        "k1",
        "448",
    ],
)
def test_what_is_no_public_key(pem: bytes, told: str) -> None:
    """Anything else is refused, saying why."""
    with pytest.raises(UnusableKey, match=told):
        Key.of_pem(pem)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_json_web_keys(algorithm: str) -> None:
    """A key of a set is for the algorithm that it names, and has its id."""
    pair = key_pair(algorithm)
    key = Key.of_jwk(pair.jwk)
    assert (set(key.algorithms), key.key_id) == ({algorithm}, "one")


def test_a_key_that_names_no_algorithm() -> None:
    """It is for those of its kind; an id that is no text is none."""
    jwk = {**key_pair("RS256").jwk, "kid": 7}
    del jwk["alg"], jwk["use"]
    key = Key.of_jwk(jwk)
    assert (set(key.algorithms), key.key_id) == ({"RS256", "PS256"}, None)


_RSA = key_pair("RS256").jwk


@pytest.mark.parametrize(
    "jwk",
    [
        {},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x"},
        {"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"},
        {**_RSA, "d": "AQAB"},
        {**_RSA, "use": "enc"},
        {**_RSA, "key_ops": ["encrypt"]},
        {**_RSA, "key_ops": 7},
        {**_RSA, "alg": "HS256"},
        {**_RSA, "alg": "none"},
        {**_RSA, "alg": "RSA-OAEP"},
        {**_RSA, "alg": ["RS256"]},
        {**_RSA, "alg": {}},
        {**_RSA, "alg": None},
        {**_RSA, "n": "!"},
        {**_RSA, "n": 7},
        {**_RSA, "n": "AQAB"},
        {**_RSA, "e": ""},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": ["RSA"]},
        {"kty": "unknown"},
    ],
)
def test_unusable_json_web_keys(jwk: dict[str, Any]) -> None:
    """A key that is secret, for something else, broken or unknown is passed over."""
    with pytest.raises(UnusableKey):
        Key.of_jwk(jwk)


@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "alg", "use", "key_ops", "kid", "k"]),
        st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "RS256", "sig"])
        | _JSON,
    )
)
def test_any_json_web_key(jwk: dict[str, Any]) -> None:
    """Whatever stands in a set, it is a key or is passed over."""
    try:
        Key.of_jwk(jwk)
    except UnusableKey:
        pass


def test_a_set() -> None:
    """The usable keys of a set are taken, and it is said what is wrong with the others."""
    good = key_pair("ES256").jwk
    keys, problems = keys_of_set({"keys": [{"kty": "oct", "k": "AA"}, good, "text", None]})
    assert [key.algorithms for key in keys] == [{"ES256"}]
    assert len(problems) == 3


@pytest.mark.parametrize(
    "jwks", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [{}]}, "keys", 7]
)
def test_what_is_no_set(jwks: Any) -> None:
    """A set without a usable key is none: the keys that are known stay."""
    with pytest.raises(UnusableKey):
        keys_of_set(jwks)


def test_candidates() -> None:
    """A key is tried only with its own algorithms, and with its own id where both name one."""
    secret = Key.of_secret(SECRET.encode())
    one = Key.of_jwk(key_pair("RS256").jwk)
    two = Key.of_jwk(key_pair("RS256", "two").jwk)
    keys = [secret, one, two]
    assert candidates(keys, "RS256", None) == [one, two]
    assert candidates(keys, "RS256", "two") == [two]
    assert candidates(keys, "RS256", "three") == []
    assert candidates(keys, "PS256", "one") == []
    assert candidates(keys, "HS256", "any") == [secret]
    assert candidates(keys, "none", None) == []
    assert candidates(keys, "", None) == []
