"""Relays for tests: a real process, or one inside the test's own event loop."""

from __future__ import annotations

import asyncio
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from relay.app import create_app
from relay.server import bind
from relay.settings import Settings
from tests.support.process import Process, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Self

    from relay.hub import Hub
    from relay.metrics import Metrics


class RelayProcess(Process):
    """``hint-relay serve`` on a free port.

    Args:
        redis_url: where Redis is.
        flags: more flags of ``serve``.
    """

    def __init__(self, redis_url: str, *flags: str, host: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(
            [
                sys.executable, "-m", "relay.cli", "serve", "--host", host, "--port", str(port),
                "--redis-url", redis_url, *flags,
            ]
        )  # fmt: skip
        self.host = host
        self._port = port

    @property
    def port(self) -> int:
        """Return the port that it listens on."""
        if self._port == 0:
            said = self.output.partition("Hint Relay on http://")[2].split()[0]
            self._port = int(said.rpartition(":")[2])
            # A restart must come back where it was.
            self.arguments[self.arguments.index("--port") + 1] = str(self._port)
        return self._port

    @property
    def base_url(self) -> str:
        """Return its http address."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """Return its WebSocket address, without the query."""
        return f"ws://{self.host}:{self.port}/ws"

    def is_ready(self) -> bool:
        """Tell what ``/health/ready`` says."""
        try:
            with urllib.request.urlopen(f"{self.base_url}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def wait_until_ready(self, timeout_s: float = 15.0) -> None:
        """Wait until ``/health/ready`` says yes."""
        self.wait_for_output("Hint Relay on http://")
        wait_until(self.is_ready, f"{self.base_url} ready", timeout_s=timeout_s, every_s=0.05)

    def __enter__(self) -> Self:
        """Start, and wait until it is ready."""
        super().__enter__()
        self.wait_until_ready()
        return self


class LocalRelay:
    """A relay in the test's own event loop, for looking inside; made by ``local_relay``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.listener = bind(settings)
        self.port: int = self.listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"

    @property
    def hub(self) -> Hub:
        """Return the relay's hub."""
        hub: Hub = self.app.state.hub
        return hub

    @property
    def metrics(self) -> Metrics:
        """Return the relay's metrics."""
        metrics: Metrics = self.app.state.metrics
        return metrics


@asynccontextmanager
async def local_relay(redis_url: str, **settings: Any) -> AsyncIterator[LocalRelay]:
    """Run a relay in this event loop on a free port, with its subscription up."""
    relay = LocalRelay(Settings.load(redis_url=redis_url, port=0, **settings))
    server = uvicorn.Server(
        uvicorn.Config(
            relay.app,
            log_config=None,
            access_log=False,
            lifespan="on",
            ws="websockets-sansio",
            ws_max_size=relay.settings.max_inbound_bytes,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=5,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[relay.listener]))
    try:
        async with asyncio.timeout(10):
            await relay.hub.until_link_up()
        yield relay
    finally:
        server.should_exit = True
        await serving
