"""A real redis-server with the users of deploy/redis-users.acl, and one with TLS."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from producers import HintPublisher
from relay.broker.broker import Broker
from relay.broker.revocations import RevocationLog
from relay.broker.streaming import StreamingHints
from relay.errors import BrokerError
from relay.messages import Append, Feedback, Hint
from tests.support.certificates import Authority
from tests.support.client import client
from tests.support.process import find_program, wait_until
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess, local_relay
from tests.support.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.e2e

ACL_FILE = Path(__file__).parents[2] / "deploy" / "redis-users.acl"
_ADMIN = "user admin on >admin ~* &* +@all\n"
# What a server of another version, or a moment of bad luck, would need, and this run did not.
_SPARE = {
    # redis-py asks for it when a pipeline's scripts may not be there yet.
    "script|exists",
    # With RESP3, or a user's name, instead of "auth".
    "hello",
    "auth",
}


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[RedisServer]:
    """A redis-server that knows the relay's user, the producers', and an administrator."""
    text = ACL_FILE.read_text("utf-8")
    for name in ("relay", "producer"):
        digest = hashlib.sha256(f"{name}-password".encode()).hexdigest()
        text = text.replace(f"#{name.upper()}_PASSWORD_SHA256", f"#{digest}")
    acl = tmp_path / "users.acl"
    acl.write_text(text + _ADMIN, "utf-8")
    with RedisServer("--aclfile", str(acl)) as server:
        yield server


def _url(server: RedisServer, user: str, password: str | None = None) -> str:
    return f"redis://{user}:{password or f'{user}-password'}@127.0.0.1:{server.port}/0"


async def _everything(server: RedisServer, session: str) -> None:
    """Do all that relays and producers do."""
    async with (
        local_relay(_url(server, "relay"), jwt_secret=SECRET, linger_s=0.1) as relay,
        HintPublisher(_url(server, "producer"), log_messages=20) as publisher,
        Broker(_url(server, "relay")) as broker,
        Broker(_url(server, "producer")) as producers,
    ):
        shown = token(session, sub="ada")
        async with client(relay.ws_url, session, token=shown) as facilitator:
            assert await publisher.wait_for_facilitator(session, timeout_s=10) == 1
            first = await publisher.hint(session, "One.", id="h1")
            assert await facilitator.texts(1) == ["One."]
            heard = publisher.listen(session, first.position)
            await facilitator.send({"type": "seen", "hints": ["h1"]})
            await facilitator.send({"type": "feedback", "id": "f1", "hint": "h1", "action": "used"})
            assert isinstance(await anext(heard), Feedback)
            await heard.aclose()
            async with asyncio.timeout(10), publisher.stream_hint(session, id="s1") as growing:
                await growing.append("Let ")
                await facilitator.send(
                    {"type": "command", "id": "c1", "name": "cancel", "hint": "s1"}
                )
                # The block is left here.
                await asyncio.Event().wait()
            assert growing.cancelled.is_set()
            pieces = StreamingHints(producers)
            await pieces.open(session, Hint(text="", id="s2", status="streaming"))
            for at in range(200):
                # So many that the log is compacted.
                await pieces.append(session, Append(id="s2", at=at, text="."))
            await pieces.renew(session, "s2")
            await pieces.append(session, Append(id="s2", at=200, text="", status="complete"))
            receipt = await publisher.receipt(session, "h1")
            assert receipt.acted == {"ada": frozenset({"used"})}
            for number in range(200):
                await publisher.transcript(session, f"line {number}")
        dead = StreamingHints(broker, lease_s=0.01)
        await dead.open(session, Hint(text="", id="s3", status="streaming"))
        await asyncio.sleep(0.05)
        assert (session, "s3") in await dead.interrupt_abandoned()
        assert await broker.note_request(session, "key", "body", for_s=60)
        await RevocationLog(broker).add("sub", "nobody", for_s=60)
        await RevocationLog(broker).read(None)
        async with client(
            relay.ws_url, session, welcome=False, token=shown, since=str(first.position)
        ) as back:
            assert (await back.next())["type"] == "connection"


def _granted(user: str) -> set[str]:
    line = next(
        line for line in ACL_FILE.read_text("utf-8").splitlines() if line.startswith(f"user {user}")
    )
    return set(re.findall(r" \+(\S+)", line))


async def test_all_works_and_nothing_is_spare(guarded: RedisServer, session_id: str) -> None:
    """With their users relays and producers do all they do, and each command granted is used."""
    admin = Redis.from_url(_url(guarded, "admin", "admin"), decode_responses=True)
    async with admin:
        await admin.config_resetstat()
        await _everything(guarded, session_id)
        assert await cast("Any", admin.acl_log()) == []
        used = {name.removeprefix("cmdstat_") for name in await admin.info("commandstats")}
    assert _granted("relay") - used <= _SPARE
    assert _granted("producer") - used <= _SPARE
    assert _granted("producer") - {"smembers"} <= _granted("relay") | {"smembers"}


@pytest.mark.parametrize("user", ["relay", "producer"])
@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "KEYS *", "CONFIG GET *", "ACL LIST", "SCAN 0", "SHUTDOWN",
        "GET foreign", "SET foreign 1", "DEL foreign", "SUBSCRIBE foreign", "PUBLISH foreign x",
        "MONITOR", "CLIENT LIST", "SCRIPT FLUSH", "EVAL return 0",
    ],
)  # fmt: skip
async def test_nothing_else(guarded: RedisServer, user: str, command: str) -> None:
    """Neither user can see, change or stop what is not Hint Relay's."""
    async with Redis.from_url(_url(guarded, user)) as redis:
        with pytest.raises(NoPermissionError):
            await cast("Any", redis).execute_command(*command.split())


@pytest.mark.parametrize("command", ["XADD hint-relay:revocations * a b", "GET hint-relay:x"])
async def test_producers_revoke_nothing(guarded: RedisServer, command: str) -> None:
    """A producer can't touch what relays keep for themselves."""
    async with Redis.from_url(_url(guarded, "producer")) as redis:
        with pytest.raises(NoPermissionError):
            await cast("Any", redis).execute_command(*command.split())


async def test_a_wrong_password(guarded: RedisServer, session_id: str) -> None:
    """A wrong password is said so, and is not said itself: by the relay, and to producers."""
    wrong = "not-the-password-at-all"
    with RelayProcess(_url(guarded, "relay", wrong)).without_waiting() as relay:
        wait_until(lambda: "WRONGPASS" in relay.output, "the relay says why")
        assert wrong not in relay.output
    publisher = HintPublisher(_url(guarded, "producer", wrong))
    async with publisher:
        with pytest.raises(BrokerError, match="credentials") as refusal:
            await publisher.hint(session_id, "x")
    assert wrong not in str(refusal.value)


async def test_no_password(guarded: RedisServer, session_id: str) -> None:
    """A producer that was given no user and password is told that it needs them."""
    async with HintPublisher(guarded.url) as publisher:
        with pytest.raises(BrokerError, match="credentials"):
            await publisher.hint(session_id, "x")


class TlsRedis(RedisServer):
    """A redis-server that speaks TLS only.

    Args:
        authority: who signs its certificate, and its clients'.
        hosts: whom its certificate is for.
    """

    def __init__(self, authority: Authority, *hosts: str) -> None:
        super().__init__()
        made = authority.certificate("redis", *hosts)
        self.arguments = [
            find_program("redis-server"),
            "--port", "0", "--tls-port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(self.folder), "--tls-cert-file", str(made.cert),
            "--tls-key-file", str(made.key), "--tls-ca-cert-file", str(authority.path),
        ]  # fmt: skip

    def wait_until_ready(self) -> None:
        """Wait until it says so."""
        self.wait_for_output("Ready to accept connections")


async def test_over_tls(tmp_path: Path, session_id: str) -> None:
    """Over TLS, with certificates on both sides, relays and producers work."""
    authority = Authority(tmp_path, "authority")
    ours = authority.certificate("ours", "client")
    with TlsRedis(authority, "127.0.0.1") as server:
        url = (
            f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={authority.path}"
            f"&ssl_certfile={ours.cert}&ssl_keyfile={ours.key}"
        )
        async with (
            local_relay(url) as relay,
            HintPublisher(url) as publisher,
            client(relay.ws_url, session_id) as facilitator,
        ):
            await publisher.hint(session_id, "Secretly.")
            assert await facilitator.texts(1) == ["Secretly."]


@pytest.mark.parametrize(
    ("hosts", "trusts_ours", "has_certificate", "said"),
    [
        (("127.0.0.1",), False, True, "certificate verify failed"),
        (("redis.example.com",), True, True, "certificate verify failed|mismatch"),
        (("127.0.0.1",), True, False, "certificate required|handshake failure|EOF|closed|reset"),
    ],
    ids=["unknown authority", "another host", "no certificate of our own"],
)
async def test_a_wrong_certificate(
    tmp_path: Path,
    session_id: str,
    hosts: tuple[str, ...],
    trusts_ours: bool,
    has_certificate: bool,
    said: str,
) -> None:
    """What is not whom we trust, and whoever does not trust us, gets nothing, and it is said why."""
    authority, other = Authority(tmp_path, "authority"), Authority(tmp_path, "other")
    ours = authority.certificate("ours", "client")
    with TlsRedis(authority, *hosts) as server:
        url = (
            f"rediss://:a-password@127.0.0.1:{server.port}/0"
            f"?ssl_ca_certs={(authority if trusts_ours else other).path}"
        )
        if has_certificate:
            url += f"&ssl_certfile={ours.cert}&ssl_keyfile={ours.key}"
        async with HintPublisher(url, give_up_s=1.0) as publisher:
            with pytest.raises(BrokerError, match=said) as refusal:
                await publisher.hint(session_id, "x")
        assert "a-password" not in str(refusal.value)
        with RelayProcess(url).without_waiting() as relay:
            wait_until(lambda: re.search(said, relay.output) is not None, "the relay says why")
            assert "a-password" not in relay.output
