"""Relays for tests: a real process, or one inside the test's own event loop."""

from __future__ import annotations

import asyncio
import re
import sys
import urllib.error
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import uvicorn

from relay.app import create_app
from relay.server import bind, uvicorn_config
from relay.settings import Settings
from relay.socket.lobby import LOBBY
from tests.support.process import Process, stable_port, wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import Self

    from relay.hub import Hub
    from relay.metrics import Metrics
    from relay.socket.lobby import Lobby
    from relay.socket.serving import Serving

_COMPLAINT = re.compile(
    r'Traceback|exception|unhandled|never retrieved|"level":"(error|critical)"', re.IGNORECASE
).search


class RelayProcess(Process):
    """``hint-relay serve`` on a port of its own, where it is again after a restart.

    Args:
        redis_url: where Redis is.
        flags: more flags of ``serve``.
        host: where it listens.
        port: another port; with 0 the relay takes a free one.
        environment: for secrets, which are no flags.
    """

    def __init__(
        self,
        redis_url: str,
        *flags: str,
        host: str = "127.0.0.1",
        port: int | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        if port is None:
            port = stable_port(host)
        super().__init__(
            [
                sys.executable, "-m", "relay.cli", "serve", "--host", host, "--port", str(port),
                "--redis-url", redis_url, *flags,
            ],
            environment,
        )  # fmt: skip
        self.host = host
        self._port = port
        self._is_awaited = True

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

    def metrics(self) -> dict[str, float]:
        """Return what ``/metrics`` says, by name with labels."""
        with urllib.request.urlopen(f"{self.base_url}/metrics", timeout=30) as answer:
            lines = answer.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def complaints(self) -> list[str]:
        """Return the lines of its log that say that it failed, whatever was done to it."""
        with self._output.open(encoding="utf-8", errors="replace") as lines:
            return [line.rstrip() for line in lines if _COMPLAINT(line)]

    def without_waiting(self) -> Self:
        """Start it without waiting until it is ready: for one that will not be."""
        self._is_awaited = False
        return self

    def __enter__(self) -> Self:
        """Start, and wait until it is ready."""
        super().__enter__()
        if self._is_awaited:
            self.wait_until_ready()
        return self


class LocalRelay:
    """A relay in the test's own event loop, for looking inside; made by ``local_relay``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.app = create_app(settings)
        self.server: uvicorn.Server | None = None
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
    def serving(self) -> Serving:
        """Return what the relay's connections share."""
        serving: Serving = self.app.state.serving
        return serving

    @property
    def metrics(self) -> Metrics:
        """Return the relay's metrics."""
        metrics: Metrics = self.app.state.metrics
        return metrics

    @property
    def lobby(self) -> Lobby:
        """Return where connections wait for their request."""
        assert self.server is not None
        lobby: Lobby = self.server.lifespan.state[LOBBY]
        return lobby

    def count_of(self, name: str, **labels: str) -> float:
        """Return a counter's value: ``limits_reached``, ``refused`` and so on."""
        full = f"hint_relay_{name}_total"
        return self.metrics.registry.get_sample_value(full, labels) or 0.0

    @property
    def open_connections(self) -> set[Any]:
        """What the server would shut down with itself: the sockets that it serves."""
        assert self.server is not None
        return self.server.server_state.connections

    async def until(
        self, condition: Callable[[], bool], what: str, timeout_s: float = 10.0
    ) -> None:
        """Wait until a condition holds; past the deadline the test fails with ``what``."""
        try:
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"not within {timeout_s:g} s: {what}") from None

    async def until_nothing_is_left(self, timeout_s: float = 10.0) -> None:
        """Wait until no facilitator has left a trace: room, reader, socket, heartbeat or count."""
        admission = self.serving._gate.admission

        def traces() -> dict[str, int]:
            found = {
                "rooms": self.hub.rooms,
                "messages on their way": len(self.serving.inbox),
                "readers": self.hub.readers,
                "open connections": len(self.open_connections),
                "heartbeat slots": sum(map(len, self.serving.heartbeat._slots)),
                "connections counted": int(self.metrics.connections._value.get()),
                "connections admitted": len(admission),
                "names admitted": admission.traces,
                "tokens watched": len(self.serving._token_watch),
                "waiting in the lobby": len(self.lobby),
            }
            return {name: count for name, count in found.items() if count}

        try:
            async with asyncio.timeout(timeout_s):
                while traces():
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"left behind: {traces()}") from None


class PromptServer(uvicorn.Server):
    """Notices within milliseconds, not a tenth of a second, that it is to stop."""

    async def main_loop(self) -> None:
        """Wait for ``should_exit``; the date in answers stays what it was."""
        await self.on_tick(0)
        while not self.should_exit:
            await asyncio.sleep(0.005)


PLAIN_ASGI = {"http": "httptools"}
"""Options of uvicorn under which the relay is served by uvicorn's own WebSocket protocol."""


@asynccontextmanager
async def local_relay(
    redis_url: str, *, options: dict[str, Any] | None = None, **settings: Any
) -> AsyncIterator[LocalRelay]:
    """Run a relay in this event loop on a free port, with its subscription up.

    Args:
        redis_url: where Redis is.
        options: attributes of ``uvicorn.Config`` that are to be other than the relay sets them.
        settings: other than the defaults.
    """
    relay = LocalRelay(Settings.load(redis_url=redis_url, port=0, **settings))
    config = uvicorn_config(relay.settings, relay.app)
    for name, value in (options or {}).items():
        assert hasattr(config, name), name
        setattr(config, name, value)
    server = relay.server = PromptServer(config)
    serving = asyncio.create_task(server.serve(sockets=[relay.listener]))
    try:
        async with asyncio.timeout(10):
            await relay.hub.until_link_up()
        yield relay
    finally:
        server.should_exit = True
        await serving
