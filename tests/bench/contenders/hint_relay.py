"""This relay: as it is served, through plain ASGI, and reading through redis-py."""

from __future__ import annotations

import re
import sys
from abc import abstractmethod
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from tests.bench.contenders.contender import Contender, PinnedProcess, Server, script_publishing
from tests.bench.dialect import Dialect
from tests.support.process import free_port
from tests.support.relay import RelayProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.load import Reader
    from tests.support.redis import RedisServer

_POSITION = re.compile(rb'"position":"([0-9]+-[0-9]+)"')

# Saturated shapes publish faster than the generator reads. The ring holds a whole round, so that no
# reader falls out of it: what is measured is delivering, not cutting off. Nobody else has a bound.
_RING = {"ring_messages": "20000", "ring_bytes": str(64 * 1024 * 1024)}


class RelayDialect(Dialect):
    """docs/PROTOCOL.md."""

    def path(self, session: str, since: str | None) -> str:
        """Resume where there is something to resume from."""
        # A newcomer of a shape shall get what is published from now on, no snapshot.
        return f"/ws?session={session}&" + ("replay=0" if since is None else f"since={since}")

    def position(self, reader: Reader) -> str | None:
        """Return the last message's position, or the one that the welcome stands for."""
        found = _POSITION.search(reader.last) or _POSITION.search(reader.welcome)
        return reader.since if found is None else found[1].decode()


class _PinnedRelay(PinnedProcess, RelayProcess):
    pass


class HintRelay(Contender):
    """``hint-relay serve`` with its defaults, but for the ring and the log level."""

    name: ClassVar[str] = "ours"
    title: ClassVar[str] = "hint-relay"
    share: ClassVar[float] = 1.0
    recovers: ClassVar[bool] = True

    def version(self) -> str:
        """Name the relay and what it stands on."""
        return f"{version('hint-relay')}, {_stack()}"

    def dialect(self) -> Dialect:
        """Return the protocol."""
        return RelayDialect()

    @contextmanager
    def start(self, redis: RedisServer) -> Iterator[Server]:
        """Run one worker."""
        flags = ["--log-level", "error"]
        for name, value in _RING.items():
            flags += [f"--{name.replace('_', '-')}", value]
        with _PinnedRelay(redis.url, *flags) as relay:
            yield Server(relay.pid, (relay.host, relay.port), script_publishing(redis))


class _OurApp(Contender):
    """The relay's app under another server than its own."""

    recovers: ClassVar[bool] = True

    def version(self) -> str:
        """Name the relay and what it stands on."""
        return f"{version('hint-relay')}, {_stack()}"

    def dialect(self) -> Dialect:
        """Return the protocol."""
        return RelayDialect()

    @abstractmethod
    def command(self, port: int) -> list[str]:
        """Return the command line."""

    @contextmanager
    def start(self, redis: RedisServer) -> Iterator[Server]:
        """Run one worker."""
        port = free_port()
        environment = {
            "RELAY_REDIS_URL": redis.url,
            "RELAY_LOG_LEVEL": "error",
            "RELAY_PORT": str(port),
            **{f"RELAY_{name.upper()}": value for name, value in _RING.items()},
        }
        with PinnedProcess(self.command(port), environment) as process:
            process.wait_for_port(port)
            yield Server(process.pid, ("127.0.0.1", port), script_publishing(redis))


class PlainAsgi(_OurApp):
    """The same app under plain uvicorn: without the relay's own socket protocol."""

    name: ClassVar[str] = "ours-asgi"
    title: ClassVar[str] = "hint-relay, plain ASGI"

    def command(self, port: int) -> list[str]:
        """Run uvicorn."""
        return [
            sys.executable, "-m", "uvicorn", "--factory", "relay.server:worker_app",
            "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning",
            "--no-access-log", "--ws", "websockets-sansio", "--ws-per-message-deflate", "false",
            "--ws-ping-interval", "10", "--ws-ping-timeout", "10",
        ]  # fmt: skip


class Listen(_OurApp):
    """The relay as it is served, but for its subscription: redis-py's ``listen()``."""

    name: ClassVar[str] = "ours-listen"
    title: ClassVar[str] = "hint-relay, redis-py listen()"
    shapes: ClassVar[frozenset[str] | None] = frozenset({"narrow-paced", "narrow-saturated"})

    def command(self, port: int) -> list[str]:
        """Run our own entry point."""
        del port
        return [sys.executable, "-m", "tests.bench.servers.listen_relay"]


def _stack() -> str:
    names = ("uvicorn", "starlette", "websockets", "uvloop", "redis")
    return ", ".join(f"{name} {version(name)}" for name in names)
