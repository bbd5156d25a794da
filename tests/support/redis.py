"""A real redis-server for tests."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tests.support.process import Process, find_program, stable_port, wait_until

if TYPE_CHECKING:
    from typing import Self


class RedisServer(Process):
    """redis-server on a free loopback port, in a folder of its own.

    Args:
        options: more of redis.conf, as command line words.
        append_only: keep an append-only file, fsynced at every write: what was acknowledged survives
            a SIGKILL.
    """

    def __init__(self, *options: str, append_only: bool = False, port: int | None = None) -> None:
        self.port = stable_port() if port is None else port
        super().__init__([])
        self.arguments = [
            find_program("redis-server"),
            "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(self.folder),
            "--appendonly", "yes" if append_only else "no", "--appendfsync", "always",
            *options,
        ]  # fmt: skip

    @property
    def url(self) -> str:
        """Return the URL to connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    def wait_until_ready(self) -> None:
        """Wait until it answers PING."""
        wait_until(self._answers, f"redis-server on port {self.port}\n{self.output}")

    def command(self, *words: str) -> bytes:
        """Send one command on a connection of its own; returns the raw first part of the answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            parts = [f"*{len(words)}\r\n".encode()]
            for word in words:
                data = word.encode()
                parts.append(b"$%d\r\n%s\r\n" % (len(data), data))
            connection.sendall(b"".join(parts))
            return connection.recv(65536)

    def __enter__(self) -> Self:
        """Start, and wait until it answers."""
        super().__enter__()
        self.wait_until_ready()
        return self

    def _answers(self) -> bool:
        assert self.is_running, f"redis-server has ended:\n{self.output}"
        try:
            # One that wants a password is up, too.
            return self.command("PING").startswith((b"+PONG", b"-NOAUTH"))
        except OSError:
            return False
