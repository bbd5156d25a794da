"""Nchan: publish and subscribe inside nginx."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from tests.bench.contenders.contender import Contender, PinnedProcess, Server
from tests.bench.dialect import Dialect
from tests.bench.load import BenchError
from tests.support.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.load import Reader
    from tests.support.redis import RedisServer

_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")
_SEARCH_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

_CONFIGURATION = """
load_module {module};
user root;
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 100000000;
  keepalive_timeout 1h;
  nchan_shared_memory_size 1g;
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    location = /ws {{
      nchan_subscriber websocket;
      nchan_channel_id $arg_session;
      nchan_subscriber_first_message newest;
      nchan_websocket_ping_interval 10;
    }}
    location = /publish {{
      nchan_publisher http;
      nchan_channel_id $arg_session;
      nchan_message_buffer_length {kept};
      nchan_message_timeout 1d;
    }}
  }}
}}
"""

_ID = re.compile(rb"^id: (\S+)")
_ANSWER = b"HTTP/1.1 20"


class NchanDialect(Dialect):
    """Nchan's own subprotocol, which tells each message's id, so that clients can come back."""

    subprotocol = "ws+meta.nchan"

    def path(self, session: str, since: str | None) -> str:
        """Resume after an id."""
        return f"/ws?session={session}" + ("" if since is None else f"&last_event_id={since}")

    def joined(self, reader: Reader, payload: bytes) -> bool:
        """It says nothing; who is upgraded has joined."""
        del reader
        return not payload

    def position(self, reader: Reader) -> str | None:
        """Return the id of the last message."""
        found = _ID.match(reader.last)
        return reader.since if found is None else found[1].decode()

    def ping(self) -> bytes:
        """Clients have none of their own."""
        return b""


class NchanPublishing:
    """POST to its publisher location, on one connection, pipelined."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self._rest = b""

    def hello(self) -> bytes:
        """Return nothing."""
        return b""

    def encode(self, session: str, number: int, payload: bytes) -> bytes:
        """Return one request."""
        del number
        return (
            f"POST /publish?session={session} HTTP/1.1\r\nHost: bench\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n"
        ).encode() + payload

    def answers(self, data: bytes) -> int | None:
        """Count 201 (somebody got it) and 202 (it waits)."""
        if b"HTTP/1.1 4" in data or b"HTTP/1.1 5" in data:
            raise BenchError(f"Nchan refuses a publication: {data[:100]!r}")
        data = self._rest + data
        self._rest = data[-(len(_ANSWER) - 1) :]
        return data.count(_ANSWER)


class Nchan(Contender):
    """One worker, messages in nginx' shared memory, as many kept as by us."""

    name: ClassVar[str] = "nchan"
    title: ClassVar[str] = "Nchan (nginx)"
    recovers: ClassVar[bool] = True

    def why_not(self) -> str | None:
        """It needs nginx with its module."""
        if shutil.which("nginx", path=_SEARCH_PATH) and _MODULE.exists():
            return None
        return "not installed: apt-get install nginx libnginx-mod-nchan"

    def version(self) -> str:
        """Name nginx and the module."""
        nginx = subprocess.run(
            [_nginx(), "-v"], capture_output=True, text=True, check=True
        ).stderr.strip()
        nchan = subprocess.run(
            ["dpkg-query", "-W", "-f=${Version}", "libnginx-mod-nchan"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip()
        return f"nchan {nchan or 'of unknown version'}, {nginx.removeprefix('nginx version: ')}"

    def dialect(self) -> Dialect:
        """Return its protocol."""
        return NchanDialect()

    @contextmanager
    def start(self, redis: RedisServer) -> Iterator[Server]:
        """Run it."""
        del redis
        port = free_port()
        with tempfile.TemporaryDirectory(prefix="hint-relay-nchan-") as folder:
            configuration = Path(folder) / "nginx.conf"
            configuration.write_text(
                _CONFIGURATION.format(module=_MODULE, folder=folder, port=port, kept=1000)
            )
            # In the foreground, and its workers end with it: Process kills the master.
            with PinnedProcess([_nginx(), "-p", folder, "-c", str(configuration)]) as process:
                process.wait_for_port(port)
                address = ("127.0.0.1", port)
                try:
                    yield Server(process.pid, address, NchanPublishing(address))
                finally:
                    process.stop()


def _nginx() -> str:
    return shutil.which("nginx", path=_SEARCH_PATH) or "nginx"
