"""Centrifugo: channels with history and recovery, publications through its HTTP API."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.bench.contenders.contender import Contender, PinnedProcess, Server
from tests.bench.dialect import Dialect
from tests.bench.frames import masked
from tests.bench.load import BenchError
from tests.support.process import ROOT, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.load import Reader
    from tests.support.redis import RedisServer

_FOLDER = ROOT / ".bench-cache"
_PROGRAM = _FOLDER / "bin" / "centrifugo"

_EPOCH = re.compile(rb'"epoch":"([^"]*)"')
_OFFSET = re.compile(rb'"offset":([0-9]+)')
_ANSWER = b"HTTP/1.1 "


class CentrifugoDialect(Dialect):
    """Its JSON protocol."""

    def path(self, session: str, since: str | None) -> str:
        """One address for all."""
        del session, since
        return "/connection/websocket"

    def greeting(self, reader: Reader) -> bytes:
        """Connect and subscribe at once, both in one frame."""
        subscribe: dict[str, object] = {"channel": reader.session}
        if reader.since is not None:
            epoch, _, offset = reader.since.rpartition(":")
            subscribe |= {"recover": True, "epoch": epoch, "offset": int(offset)}
        commands = ({"id": 1, "connect": {}}, {"id": 2, "subscribe": subscribe})
        return masked("\n".join(map(json.dumps, commands)).encode())

    def joined(self, reader: Reader, payload: bytes) -> bool:
        """Wait for the answer to the subscription."""
        del reader
        if b'"error"' in payload:
            raise BenchError(f"Centrifugo refuses: {payload[:100]!r}")
        return b'"subscribe"' in payload

    def answer(self, payload: bytes) -> bytes:
        """Answer its ping."""
        return masked(b"{}") if payload.strip() == b"{}" else b""

    def position(self, reader: Reader) -> str | None:
        """Return the stream's epoch and the last message's offset."""
        epoch = _EPOCH.search(reader.welcome)
        offsets = _OFFSET.findall(reader.last) or _OFFSET.findall(reader.welcome)
        if epoch is None:
            return reader.since
        return f"{epoch[1].decode()}:{offsets[-1].decode() if offsets else '0'}"

    def ping(self) -> bytes:
        """Clients have none of their own."""
        return b""


class CentrifugoPublishing:
    """POST to its API, on one connection, pipelined."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._rest = b""

    def hello(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, session: str, number: int, payload: bytes) -> bytes:
        """Return one request."""
        del number
        body = b'{"channel":"%s","data":%s}' % (session.encode(), payload)
        head = (
            "POST /api/publish HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    def answers(self, data: bytes) -> int | None:
        """Count them; an error comes with 200, too."""
        if b'"error"' in data or b"HTTP/1.1 4" in data or b"HTTP/1.1 5" in data:
            raise BenchError(f"Centrifugo refuses a publication: {data[:200]!r}")
        data = self._rest + data
        self._rest = data[-(len(_ANSWER) - 1) :]
        return data.count(_ANSWER)


class Centrifugo(Contender):
    """Memory engine, as many messages kept as by us, recovery on."""

    name: ClassVar[str] = "centrifugo"
    title: ClassVar[str] = "Centrifugo"
    recovers: ClassVar[bool] = True

    def why_not(self) -> str | None:
        """It needs to have been built."""
        if _PROGRAM.exists():
            return None
        return "not built: `make bench` does it where a Go toolchain and its module proxy are"

    def version(self) -> str:
        """Name the version that was built."""
        module = (_FOLDER / "centrifugo" / "go.mod").read_text()
        found = re.search(r"centrifugo/v[0-9]+ (v\S+)", module)
        return f"centrifugo {found[1] if found else 'of unknown version'}"

    def dialect(self) -> Dialect:
        """Return its protocol."""
        return CentrifugoDialect()

    @contextmanager
    def start(self, redis: RedisServer) -> Iterator[Server]:
        """Run it."""
        del redis
        port = free_port()
        configuration = {
            "address": "127.0.0.1",
            "port": str(port),
            "engine": "memory",
            "log_level": "error",
            "allowed_origins": ["*"],
            "api_insecure": True,
            "allow_anonymous_connect_without_token": True,
            "allow_subscribe_for_client": True,
            "allow_subscribe_for_anonymous": True,
            "history_size": 1000,
            "history_ttl": "24h",
            "force_recovery": True,
            # The default, 1 MiB for each client, cuts off those that the generator reads late.
            "client_queue_max_size": 1024**3,
        }
        with tempfile.TemporaryDirectory(prefix="hint-relay-centrifugo-") as folder:
            path = Path(folder) / "config.json"
            path.write_text(json.dumps(configuration))
            with PinnedProcess([str(_PROGRAM), "--config", str(path)]) as process:
                process.wait_for_port(port)
                address = ("127.0.0.1", port)
                yield Server(process.pid, address, CentrifugoPublishing(address))
