"""The real redis-server runs the real configuration file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from tests.deploy.haproxy import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.e2e

CONFIG = Path(__file__).parents[2] / "deploy" / "redis.conf"


class RedisProcess:
    """One redis-server on a Unix socket, with the project's configuration file."""

    def __init__(self, folder: Path) -> None:
        binary = shutil.which("redis-server")
        if binary is None:
            raise FileNotFoundError(
                "redis-server is not installed, and this test runs the real one: "
                "install it (Debian: apt-get install redis-server)"
            )
        self.socket_path = folder / "redis.sock"
        self._command = [
            *(binary, str(CONFIG), "--port", "0", "--dir", str(folder)),
            *("--unixsocket", str(self.socket_path)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it may still load its file afterwards."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def kill(self) -> None:
        """End it without giving it a chance to write anything (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self.socket_path.unlink(missing_ok=True)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    """A running Redis with an empty folder."""
    process = RedisProcess(tmp_path)
    process.start()
    yield process
    process.kill()


@pytest.fixture
async def redis(server: RedisProcess) -> AsyncIterator[Redis]:
    """A client of it, once it answers."""
    async with Redis(unix_socket_path=str(server.socket_path), decode_responses=True) as client:
        await _answers(client)
        yield client


async def _answers(client: Redis) -> None:
    async def ping() -> bool:
        try:
            return bool(await client.ping())
        except RedisConnectionError:  # also while it loads its file
            return False

    await eventually(ping, "redis answers")


async def test_the_settings_are_in_force(redis: Redis) -> None:
    """Redis reads the file as it was meant."""
    wanted = {
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory": str(512 * 1024**2),
        "maxmemory-policy": "noeviction",
    }
    assert await redis.config_get(*wanted) == wanted
    limits = await redis.config_get("client-output-buffer-limit")
    assert f"pubsub {256 * 1024**2} {64 * 1024**2} 60" in str(limits)


async def test_a_killed_redis_keeps_the_log(server: RedisProcess, redis: Redis) -> None:
    """What was published is still there after SIGKILL and a new start."""
    for offset in range(1, 101):
        await redis.xadd("{hints:demo}:log", {"m": "{}"}, id=f"1763900000000-{offset}")
    server.kill()
    server.start()
    await _answers(redis)
    assert await redis.xlen("{hints:demo}:log") == 100


async def test_a_full_redis_tells_the_producer(redis: Redis) -> None:
    """Without memory a write fails instead of deleting another session's log."""
    await redis.set("old", "x")
    await redis.config_set("maxmemory", "1")
    with pytest.raises(ResponseError, match="used memory"):
        await redis.set("new", "x")
    assert await redis.get("old") == "x"
