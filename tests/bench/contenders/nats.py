"""NATS over WebSockets: core NATS, without JetStream."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.bench.contenders.contender import Contender, PinnedProcess, Server
from tests.bench.dialect import Dialect
from tests.bench.frames import BINARY, masked
from tests.bench.load import BenchError
from tests.support.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.load import Reader
    from tests.support.redis import RedisServer

_SEARCH_PATH = "/usr/sbin:/usr/bin:/usr/local/bin"

_CONFIGURATION = """
listen: "127.0.0.1:{port}"
max_connections: 64K
max_pending: 1GB
websocket {{
  listen: "127.0.0.1:{ws_port}"
  no_tls: true
  compression: false
}}
"""


class NatsDialect(Dialect):
    """The NATS protocol in binary frames."""

    def path(self, session: str, since: str | None) -> str:
        """One address for all."""
        del session, since
        return "/"

    def greeting(self, reader: Reader) -> bytes:
        """Subscribe; PONG tells that it is done."""
        return masked(
            b'CONNECT {"verbose":false,"protocol":1,"headers":false}\r\n'
            + f"SUB hints.{reader.session} 1\r\nPING\r\n".encode(),
            BINARY,
        )

    def joined(self, reader: Reader, payload: bytes) -> bool:
        """Everything before the PING has been done when it is answered."""
        del reader
        return b"PONG\r\n" in payload

    def answer(self, payload: bytes) -> bytes:
        """Answer the server's PING."""
        return masked(b"PONG\r\n", BINARY) if b"PING\r\n" in payload else b""

    def ping(self) -> bytes:
        """Return NATS' own."""
        return masked(b"PING\r\n", BINARY)


class NatsPublishing:
    """PUB on one plain TCP connection, which nobody answers."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address

    def hello(self) -> bytes:
        """Say who publishes."""
        return b'CONNECT {"verbose":false}\r\n'

    def encode(self, session: str, number: int, payload: bytes) -> bytes:
        """Return one PUB."""
        del number
        return b"PUB hints.%s %d\r\n%s\r\n" % (session.encode(), len(payload), payload)

    def answers(self, data: bytes) -> int | None:
        """Look for errors only."""
        if b"-ERR" in data:
            raise BenchError(f"NATS refuses a publication: {data[:100]!r}")
        return None


class Nats(Contender):
    """One nats-server; what it keeps for slow clients is raised, so that it cuts nobody off."""

    name: ClassVar[str] = "nats"
    title: ClassVar[str] = "NATS WebSocket"

    def why_not(self) -> str | None:
        """It needs nats-server."""
        if shutil.which("nats-server", path=_SEARCH_PATH):
            return None
        return "not installed: apt-get install nats-server"

    def version(self) -> str:
        """Name the server."""
        return subprocess.run(
            [_server(), "--version"], capture_output=True, text=True, check=True
        ).stdout.strip()

    def dialect(self) -> Dialect:
        """Return its protocol."""
        return NatsDialect()

    @contextmanager
    def start(self, redis: RedisServer) -> Iterator[Server]:
        """Run it."""
        del redis
        port, ws_port = free_port(), free_port()
        with tempfile.TemporaryDirectory(prefix="hint-relay-nats-") as folder:
            configuration = Path(folder) / "nats.conf"
            configuration.write_text(_CONFIGURATION.format(port=port, ws_port=ws_port))
            with PinnedProcess([_server(), "-c", str(configuration)]) as process:
                process.wait_for_port(ws_port)
                yield Server(
                    process.pid, ("127.0.0.1", ws_port), NatsPublishing(("127.0.0.1", port))
                )


def _server() -> str:
    return shutil.which("nats-server", path=_SEARCH_PATH) or "nats-server"
