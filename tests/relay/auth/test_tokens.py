"""What a token allows, and each way in which one can be wrong."""

from __future__ import annotations

import json
import math
import time
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.auth.grant import Grant, Role
from relay.auth.keyring import Key
from relay.auth.revocations import Revocation, Revocations
from relay.auth.tokens import MAX_TOKEN_CHARACTERS, Tokens, check_patterns
from relay.errors import KeysUnavailable, Unauthorized
from tests.support.tokens import (
    OTHER_SECRET,
    SECRET,
    claims,
    encoded,
    key_pair,
    signed,
    token,
    unsigned,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEY = Key.of_secret(SECRET.encode())
_TOKENS = Tokens([_KEY])
_HS256 = {"alg": "HS256"}


async def _refusal(token: str | None, tokens: Tokens = _TOKENS) -> str:
    with pytest.raises(Unauthorized) as refusal:
        await tokens.verify(token)
    text = str(refusal.value)
    assert text.endswith(".")
    assert not token or len(token) < 20 or token not in text
    return text


async def test_a_good_one() -> None:
    """A token's claims become a grant; its times are in seconds since the epoch."""
    exp = int(time.time()) + 60
    made = token(["a", "b*"], sub="ada", jti="7", iat=1.5, exp=exp, role="observer", more={"x": 1})
    expected = Grant(Role.OBSERVER, ("a", "b*"), "ada", "7", 1.5, float(exp))
    assert await _TOKENS.verify(made) == expected


async def test_the_least() -> None:
    """A token needs its sessions and its end, and is then a facilitator's without a name."""
    grant = await _TOKENS.verify(token("a"))
    assert (grant.role, grant.subject, grant.token_id) == (Role.FACILITATOR, None, None)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_secrets(algorithm: str) -> None:
    """Each HMAC algorithm is taken, when the secret is long enough for it, and is the right one."""
    made = jwt.encode(claims("a"), SECRET, algorithm)
    await _TOKENS.verify(made)
    await _refusal(made, Tokens([Key.of_secret(OTHER_SECRET.encode())]))
    short = b"s" * 32
    if algorithm != "HS256":
        made = signed({"alg": algorithm}, claims("a"), short)
        await _refusal(made, Tokens([Key.of_secret(short)]))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_public_keys(algorithm: str) -> None:
    """Each algorithm with public keys is taken with the right key, and with no other."""
    pair = key_pair(algorithm)
    tokens = Tokens([Key.of_pem(pair.public_pem)])
    await tokens.verify(pair.token("a"))
    await _refusal(key_pair(algorithm, "another").token("a"), tokens)
    await _refusal(pair.token("a"))


@pytest.mark.parametrize("algorithm", ["RS384", "RS512", "PS384", "PS512"])
async def test_algorithms_that_are_not_taken(algorithm: str) -> None:
    """The list of algorithms is short, and ends where it ends."""
    pair = key_pair("RS256")
    await _refusal(pair.token("a", algorithm=algorithm), Tokens([Key.of_pem(pair.public_pem)]))


@pytest.mark.parametrize(
    "algorithm", ["none", "None", "NONE", "nOnE", "", " none", "none\0", "hs256"]
)
async def test_no_algorithm(algorithm: str) -> None:
    """A token that says it needs no signature is refused, however it spells that."""
    header = {"alg": algorithm, "typ": "JWT"}
    for made in (
        unsigned(header, claims("a")),
        signed(header, claims("a")),
        signed(header, claims("a"), b""),
    ):
        await _refusal(made)
        await _refusal(made, Tokens([Key.of_pem(key_pair("RS256").public_pem)]))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("claimed", ["HS256", "HS384", "HS512"])
async def test_a_public_key_is_no_secret(algorithm: str, claimed: str) -> None:
    """What is signed with a public key as if that were a secret is refused (RFC 8725 section 3.1)."""
    pem = key_pair(algorithm).public_pem
    tokens = Tokens([Key.of_pem(pem), _KEY])
    for secret in (pem, pem.strip(), pem.replace(b"\n", b"\r\n")):
        await _refusal(signed({"alg": claimed}, claims("a"), secret), tokens)
        await _refusal(signed({"alg": claimed, "kid": "one"}, claims("a"), secret), tokens)


async def test_a_secret_is_no_public_key() -> None:
    """Where there is only a secret, a token with a public key's algorithm is refused."""
    for algorithm in ("RS256", "PS256", "ES256", "EdDSA"):
        await _refusal(key_pair(algorithm).token("a"))
        await _refusal(signed({"alg": algorithm}, claims("a")))


async def test_keys_that_a_token_brings() -> None:
    """Keys in a token's own header are nobody's."""
    stranger = key_pair("RS256", "another")
    made = jwt.encode(
        claims("a"), stranger.private, "RS256",
        headers={"jwk": stranger.jwk, "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"},
    )  # fmt: skip
    await _refusal(made, Tokens([Key.of_pem(key_pair("RS256").public_pem)]))


@pytest.mark.parametrize(
    "header",
    [
        {**_HS256, "crit": ["x"], "x": 1},
        {**_HS256, "crit": ["exp"], "exp": 1},
        {**_HS256, "crit": ["b64"], "b64": False},
        {**_HS256, "crit": []},
        {**_HS256, "crit": "x"},
        {**_HS256, "crit": None},
        {**_HS256, "crit": [{}]},
        {**_HS256, "b64": False},
        {**_HS256, "kid": 7},
        {**_HS256, "kid": ["one"]},
        {**_HS256, "kid": None},
        {"alg": ["HS256"]},
        {"alg": None},
        {"alg": 256},
        {},
        [],
        "HS256",
        7,
        None,
        b"[" * 2500,
        b"\xff",
        b"{",
    ],
)
async def test_headers(header: Any) -> None:
    """A header that is critical and unknown, or no header at all, is refused; a stranger can send it."""
    await _refusal(signed(header, claims("a")))


@pytest.mark.parametrize(
    "payload", [b"", b"\xff", b"[" * 2500, b"{", [], "a", 7, None, b'{"exp":1e999}'], ids=repr
)
async def test_payloads(payload: Any) -> None:
    """What is no object of claims is refused, though it is signed."""
    await _refusal(signed(_HS256, payload))


async def test_tampering() -> None:
    """Another payload under the same signature is refused, and another signature is, too."""
    head, payload, signature = token("a").split(".")
    await _refusal(f"{head}.{token('b').split('.')[1]}.{signature}")
    await _refusal(f"{head}.{payload}.{token('b').split('.')[2]}")
    await _refusal(f"{head}.{payload}.")
    await _refusal(f"{head}.{payload}.{signature[:-4]}")
    await _refusal(f"{head}.{payload}")
    await _refusal(f"{head}.{payload}.{signature}.{signature}")
    await _refusal(f" {head}.{payload}.{signature}")


@pytest.mark.parametrize("made", [None, ""])
async def test_none(made: str | None) -> None:
    """Without a token it is said where it belongs."""
    assert await _refusal(made) == "A token is needed, and there is none."


@given(
    st.text(max_size=60)
    | st.builds(".".join, st.lists(st.text("aeyJ0_-=", max_size=9), max_size=5))
)
async def test_garbage(garbage: str) -> None:
    """Whatever else it is, it is refused, and nothing fails."""
    await _refusal(garbage)


async def test_size() -> None:
    """A token that is larger than a header line can be is refused before it is looked at."""
    for size, is_taken in ((2000, True), (3700, False)):
        made = token("a", padding="x" * size)
        assert (len(made) <= MAX_TOKEN_CHARACTERS) is is_taken
        if is_taken:
            await _TOKENS.verify(made)
        else:
            assert "4,096" in await _refusal(made)


@pytest.mark.parametrize(
    ("times", "leeway_s", "told"),
    [
        ({"exp": None}, 0, "'exp'"),
        ({"exp": 0}, 0, "expired"),
        ({"exp": -1}, 0, "expired"),
        ({"exp": -10}, 5, "expired"),
        ({"exp": -3}, 5, None),
        ({"nbf": 60}, 0, "not valid yet"),
        ({"nbf": 10}, 5, "not valid yet"),
        ({"nbf": 3}, 5, None),
        ({"nbf": -60}, 0, None),
        ({"iat": 60}, 0, "not valid yet"),
        ({"iat": 3}, 5, None),
    ],
)
async def test_times(times: dict[str, int | None], leeway_s: float, told: str | None) -> None:
    """Before its time and after its end a token is refused; clocks may differ by the leeway."""
    now_s = int(time.time())
    given: dict[str, Any] = {name: None if at is None else now_s + at for name, at in times.items()}
    tokens = Tokens([_KEY], leeway_s=leeway_s)
    made = token("a", **given)
    if told is None:
        await tokens.verify(made)
    else:
        assert told in await _refusal(made, tokens)


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "value", [True, "soon", "99999999999", [], {}, math.inf, -math.inf, math.nan, 10**400], ids=repr
)
async def test_what_is_no_time(claim: str, value: Any) -> None:
    """What is no number of seconds is refused, however Python might read it."""
    if claim == "nbf" and value in (True, -math.inf):
        # Long ago.
        return
    payload = json.dumps({**claims("a"), claim: value})
    await _refusal(signed(_HS256, payload.encode()))


@pytest.mark.parametrize(
    "value", [None, [], {}, "", " ", "a b", "**", "*a", "a*b", "a/b", "é", "x" * 129, 7, [7], [[]],
              ["a", ""], ["a"] * 101, "a\n", {"a": 1}, True],
)  # fmt: skip
async def test_sessions(value: Any) -> None:
    """Without sessions that can be sessions a token is for nothing, and refused."""
    assert "'sessions'" in await _refusal(token("a", sessions=value))


@given(st.from_regex(r"[A-Za-z0-9_.~-]{1,128}\*?", fullmatch=True))
def test_patterns(pattern: str) -> None:
    """Every session id is a pattern, with and without a star, alone and in a list."""
    assert check_patterns(pattern) == check_patterns([pattern]) == (pattern,)
    assert check_patterns("*") == ("*",)


@pytest.mark.parametrize("role", ["admin", "", "Facilitator", 7, None, [], {}, ["agent"], True])
async def test_roles(role: Any) -> None:
    """An unknown role is refused, and not taken for the least one, or the most."""
    made = signed(_HS256, {**claims("a"), "role": role})
    assert "'role'" in await _refusal(made)


@pytest.mark.parametrize("claim", ["sub", "jti"])
@pytest.mark.parametrize("value", ["", "x" * 129, "a\nb", "a\0", "\u202eada", 7, [], {}, True])
async def test_names(claim: str, value: Any) -> None:
    """Names go to logs and to other people: they are printable, and not endless."""
    await _refusal(signed(_HS256, {**claims("a"), claim: value}))


async def test_lone_surrogates() -> None:
    """A name that is no Unicode text is refused: no message could carry it."""
    payload = json.dumps({**claims("a"), "sub": "\ud800"}).encode()
    assert "'sub'" in await _refusal(signed(_HS256, payload))


@pytest.mark.parametrize(
    ("expected", "claimed", "is_taken"),
    [
        (None, None, True),
        (None, "anything", True),
        ("relay", "relay", True),
        ("relay", ["x", "relay"], True),
        ("relay", None, False),
        ("relay", "Relay", False),
        ("relay", "relay2", False),
        ("relay", [], False),
        ("relay", ["x"], False),
        ("relay", 7, False),
        ("relay", {"relay": 1}, False),
    ],
)
async def test_audiences(expected: str | None, claimed: Any, is_taken: bool) -> None:
    """Where an audience is configured, a token must have it among its own."""
    tokens = Tokens([_KEY], audience=expected)
    if is_taken:
        await tokens.verify(token("a", aud=claimed))
    else:
        await _refusal(token("a", aud=claimed), tokens)


@pytest.mark.parametrize(
    ("expected", "claimed", "is_taken"),
    [
        (None, "anybody", True),
        ("us", "us", True),
        ("us", None, False),
        ("us", "Us", False),
        ("us", "usa", False),
        ("us", ["us"], False),
        ("us", 7, False),
    ],
)
async def test_issuers(expected: str | None, claimed: Any, is_taken: bool) -> None:
    """Where an issuer is configured, a token must be from there."""
    tokens = Tokens([_KEY], issuer=expected)
    if is_taken:
        await tokens.verify(token("a", iss=claimed))
    else:
        await _refusal(token("a", iss=claimed), tokens)


async def test_revoked() -> None:
    """A token that was taken back is refused with what to do."""
    revocations = Revocations()
    tokens = Tokens([_KEY], revoked=revocations)
    made = token("a", jti="7")
    await tokens.verify(made)
    revocations.add([Revocation("jti", "7", 0, 1e12)])
    assert "revoked" in await _refusal(made, tokens)


async def test_several_secrets() -> None:
    """While one secret replaces another, both are taken, also by tokens that name a key."""
    tokens = Tokens([_KEY, Key.of_secret(OTHER_SECRET.encode())])
    await tokens.verify(token("a"))
    await tokens.verify(token("a", secret=OTHER_SECRET))
    await tokens.verify(signed({**_HS256, "kid": "any"}, claims("a"), OTHER_SECRET.encode()))


class Source:
    """Keys that can be had when somebody asks, or not."""

    def __init__(self, *later: Key, is_fresh: bool = True) -> None:
        self.keys: Sequence[Key] = ()
        self.asked = 0
        self._later = later
        self._is_fresh = is_fresh

    async def look_again(self) -> bool:
        self.asked += 1
        if self._is_fresh:
            self.keys = self._later
        return self._is_fresh


_ONE, _TWO = key_pair("ES256"), key_pair("ES256", "two")


async def test_keys_are_asked_for_once() -> None:
    """Keys are asked for with the first token that needs them, and not again for known ones."""
    source = Source(Key.of_jwk(_ONE.jwk))
    tokens = Tokens([], source)
    for _ in range(3):
        await tokens.verify(_ONE.token("a"))
    assert source.asked == 1


async def test_unknown_keys() -> None:
    """A token that names a key which the issuer does not have is refused for good."""
    source = Source(Key.of_jwk(_ONE.jwk))
    tokens = Tokens([], source)
    assert "signed" in await _refusal(_TWO.token("a"), tokens)
    assert "signed" in await _refusal(_TWO.token("a", key_id="one"), tokens)


async def test_an_issuer_that_is_away() -> None:
    """While nobody can tell, a token is neither good nor bad; a known key's signature can be told."""
    with pytest.raises(KeysUnavailable):
        await Tokens([], Source(is_fresh=False)).verify(_ONE.token("a"))
    source = Source(is_fresh=False)
    source.keys = [Key.of_jwk(_ONE.jwk)]
    tokens = Tokens([], source)
    await tokens.verify(_ONE.token("a"))
    await _refusal(_TWO.token("a", key_id="one"), tokens)
    with pytest.raises(KeysUnavailable):
        await tokens.verify(_TWO.token("a"))


async def test_what_no_issuer_could_tell() -> None:
    """For an algorithm that no published key is for, nobody is asked, and nobody has to come back."""
    source = Source(is_fresh=False)
    tokens = Tokens([_KEY], source)
    await _refusal(token("a", secret=OTHER_SECRET), tokens)
    await _refusal(unsigned({"alg": "none"}, claims("a")), tokens)
    await _refusal(signed({"alg": "XS256"}, claims("a")), tokens)
    assert source.asked == 0


async def test_a_secret_beside_an_issuer() -> None:
    """A configured secret goes on beside published keys, and asks nobody."""
    source = Source(is_fresh=False)
    await Tokens([_KEY], source).verify(token("a"))
    assert source.asked == 0


async def test_many_keys() -> None:
    """A token that names no key costs at most a few tries, however many keys there are."""
    tries = []

    class Counting(Tokens):
        def _decoded(self, token: str, key: Key, algorithm: str) -> dict[str, Any]:
            tries.append(key)
            return super()._decoded(token, key, algorithm)

    others = [Key.of_secret(f"{OTHER_SECRET}{n}".encode()) for n in range(50)]
    await _refusal(token("a"), Counting([*others, _KEY]))
    assert len(tries) == 8


async def test_twice_in_an_object() -> None:
    """Of a claim that stands there twice the last counts, as for everybody; it has to be good."""
    exp = int(time.time()) + 60
    payload = f'{{"sessions":"a","exp":{exp},"exp":1}}'.encode()
    await _refusal(signed(_HS256, payload))
    assert encoded(b"{}") == "e30"
