"""What one writes in Python: a plain loop, encode/broadcaster, python-socketio, socketify."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, ClassVar

from tests.bench.contenders import venv
from tests.bench.contenders.contender import Contender, PinnedProcess, Server, script_publishing
from tests.bench.dialect import Dialect
from tests.bench.frames import masked
from tests.bench.load import Join, Load
from tests.bench.publisher import CommandPublishing, resp
from tests.support.process import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.load import Reader
    from tests.bench.publisher import Publishing
    from tests.support.redis import RedisServer


class _PythonServer(Contender):
    """A server in ``tests.bench.servers``."""

    module: ClassVar[str]
    packages: ClassVar[tuple[str, ...]]
    share: ClassVar[float] = 0.02

    def why_not(self) -> str | None:
        """It needs its package."""
        return venv.why_not(self.packages[0].removeprefix("python-"))

    def version(self) -> str:
        """Name the packages."""
        return venv.versions(self.packages)

    def command(self, port: int) -> list[str]:
        """Run it under uvicorn with uvicorn's defaults, and no access log."""
        return [
            venv.PYTHON, "-m", "uvicorn", "--factory", f"tests.bench.servers.{self.module}:create_app",
            "--host", "127.0.0.1", "--port", str(port), "--log-level", "warning", "--no-access-log",
        ]  # fmt: skip

    def publishing(self, redis: RedisServer) -> Publishing:
        """Return how it is published to."""
        return script_publishing(redis)

    def when_up(self, address: tuple[str, int], redis: RedisServer) -> None:
        """Wait for more than a port that listens."""

    @contextmanager
    def start(self, redis: RedisServer) -> Iterator[Server]:
        """Run it."""
        port = free_port()
        with PinnedProcess(
            self.command(port), {"BENCH_REDIS_URL": redis.url, "BENCH_PORT": str(port)}
        ) as process:
            process.wait_for_port(port)
            address = ("127.0.0.1", port)
            self.when_up(address, redis)
            yield Server(process.pid, address, self.publishing(redis))


class PlainStarlette(_PythonServer):
    """``send_json`` in a loop, fed by redis-py; runs on the relay's own packages."""

    name: ClassVar[str] = "plain"
    title: ClassVar[str] = "plain Starlette loop"
    module: ClassVar[str] = "plain"
    packages: ClassVar[tuple[str, ...]] = ("starlette", "uvicorn", "websockets", "redis")

    def why_not(self) -> str | None:
        """It is always there."""
        return None

    def version(self) -> str:
        """Name the packages."""
        return ", ".join(f"{name} {version(name)}" for name in self.packages)

    def command(self, port: int) -> list[str]:
        """Run it in the environment that this runs in."""
        return [sys.executable, *super().command(port)[1:]]


class Broadcaster(_PythonServer):
    """encode/broadcaster: a queue for each WebSocket."""

    name: ClassVar[str] = "broadcaster"
    title: ClassVar[str] = "encode/broadcaster"
    module: ClassVar[str] = "broadcaster_app"
    packages: ClassVar[tuple[str, ...]] = ("broadcaster", "starlette", "uvicorn", "redis")


class SocketIoDialect(Dialect):
    """Socket.IO 5 over Engine.IO 4, WebSockets only."""

    def path(self, session: str, since: str | None) -> str:
        """Skip polling."""
        del session, since
        return "/socket.io/?EIO=4&transport=websocket"

    def joined(self, reader: Reader, payload: bytes) -> bool:
        """Open, connect the namespace, join the room, have that acknowledged."""
        if payload.startswith(b"0{"):
            reader.send(masked(b"40"))
        elif payload.startswith(b"40{"):
            reader.send(masked(f'420["join","{reader.session}"]'.encode()))
        return payload.startswith(b"430[")

    def answer(self, payload: bytes) -> bytes:
        """Answer Engine.IO's ping."""
        return masked(b"3") if payload == b"2" else b""

    def ping(self) -> bytes:
        """Clients have none of their own."""
        return b""


class SocketIo(_PythonServer):
    """python-socketio, emitted to from outside as its write-only Redis manager does."""

    name: ClassVar[str] = "socketio"
    title: ClassVar[str] = "python-socketio"
    module: ClassVar[str] = "socketio_app"
    packages: ClassVar[tuple[str, ...]] = ("python-socketio", "python-engineio", "uvicorn", "redis")
    share: ClassVar[float] = 0.01

    def dialect(self) -> Dialect:
        """Return Socket.IO's protocol."""
        return SocketIoDialect()

    def publishing(self, redis: RedisServer) -> Publishing:
        """Publish what ``AsyncRedisManager(write_only=True).emit("hint", …, room=…)`` publishes."""

        def encode(session: str, number: int, payload: bytes) -> bytes:
            emit = {
                "method": "emit", "event": "hint", "data": [json.loads(payload)], "binary": False,
                "namespace": "/", "room": session, "skip_sid": None, "callback": None,
                "host_id": "bench",
            }  # fmt: skip
            return resp(b"PUBLISH", b"socketio", json.dumps(emit).encode())

        return CommandPublishing(("127.0.0.1", redis.port), encode)

    def when_up(self, address: tuple[str, int], redis: RedisServer) -> None:
        """Connect once: it subscribes when the first client comes, and says so to nobody."""
        with Load(address, self.dialect()) as load:
            load.connect([Join("warm-up")])
            deadline_s = time.monotonic() + 10
            while b":1\r\n" not in redis.command("PUBSUB", "NUMSUB", "socketio"):
                load.run_for(0.05)
                if time.monotonic() > deadline_s:
                    break


class Socketify(_PythonServer):
    """socketify: uWebSockets, its own topics, a pump from redis-py."""

    name: ClassVar[str] = "socketify"
    title: ClassVar[str] = "socketify (uWebSockets)"
    module: ClassVar[str] = "socketify_app"
    packages: ClassVar[tuple[str, ...]] = ("socketify", "redis")
    share: ClassVar[float] = 0.1

    def command(self, port: int) -> list[str]:
        """Run it; the port comes through the environment."""
        del port
        return [venv.PYTHON, "-m", f"tests.bench.servers.{self.module}"]

    def when_up(self, address: tuple[str, int], redis: RedisServer) -> None:
        """Wait for its subscription."""
        deadline_s = time.monotonic() + 10
        while b":1\r\n" not in redis.command("PUBSUB", "NUMPAT"):
            time.sleep(0.05)
            if time.monotonic() > deadline_s:
                break
