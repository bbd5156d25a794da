"""Runs the app under uvicorn: one process, or several that share a port."""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, cast

import uvicorn
from uvicorn.supervisors import Multiprocess

from relay.app import create_app
from relay.errors import SettingsError
from relay.logs import configure_logs
from relay.orphans import die_with_parent
from relay.settings import Settings
from relay.socket.asgi_protocol import AsgiProtocol
from relay.socket.protocol import RelayProtocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from starlette.applications import Starlette
    from uvicorn._types import ASGIApplication

# How long open requests may take to end when the relay stops; WebSockets are closed at once.
_SHUTDOWN_TIMEOUT_S = 5


# Connections that wait to be accepted; a reconnect storm fills less.
_BACKLOG = 2048

# What the kernel keeps for a reader that does not keep up (Linux doubles it, and would otherwise take
# megabytes before it says stop). It is also how stale a hint can get on its way.
_SEND_BUFFER_BYTES = 128 * 1024

# How long a peer may take nothing of what is sent to it; as HAProxy's "tcp-ut" in deploy/. The kernel
# would wait a quarter of an hour for one that left the network without a word, and a reader of events
# counts as watching so long. (Whoever is there and does not read its answer: see RelayProtocol.)
_UNTAKEN_TIMEOUT_MS = 30_000

# Python 3.11's are 700, 10, 10.
_COLLECTOR_THRESHOLDS = (20_000, 20, 50)

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Take a signal that has been dealt with."""


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let processes that are started meanwhile never hear SIGINT, which a terminal sends to all.

    Their parent hears it and stops them with SIGTERM. One that is still importing its modules would
    end with a traceback. A signal that comes meanwhile is heard afterwards.
    """
    # It is started with the first process, and lets the signal in again when it is (CPython 3.11).
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Workers(Multiprocess):
    """uvicorn's supervisor of several processes, at each place where it starts some."""

    def init_processes(self) -> None:
        """Start all."""
        with _deaf_to_interrupts():
            super().init_processes()

    def restart_all(self) -> None:
        """Replace each (SIGHUP)."""
        with _deaf_to_interrupts():
            super().restart_all()

    def keep_subprocess_alive(self) -> None:
        """Replace those that have died."""
        with _deaf_to_interrupts():
            super().keep_subprocess_alive()


def worker_app() -> Starlette:
    """Build a worker's app from the environment; runs in each worker process."""
    settings = Settings.load()
    if settings.workers > 1:
        die_with_parent()
    configure_logs(settings.log_level, settings.log_format)
    app = create_app(settings)
    _spare_the_collector()
    return app


def _spare_the_collector() -> None:
    """Let the cyclic garbage collector run rarely: what serves facilitators makes no cycles.

    With its usual thresholds it goes over every connection and publication again and again, and holds
    up everybody while it does.
    """
    gc.collect()
    # Modules, models and routes stay for good.
    gc.freeze()
    gc.set_threshold(*_COLLECTOR_THRESHOLDS)


def bind(settings: Settings) -> socket.socket:
    """Bind the port that the relay listens on.

    Raises:
        SettingsError: when the address can't be had; the text says why and what to do.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where it sees that this is TCP. On, it holds the body of
    # an answer back until its head is acknowledged, which takes a client 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit it.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        if sys.platform == "linux":
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_TIMEOUT_MS)
        listener.bind((settings.host, settings.port))
        # At once: two that are only bound would both believe that the port is theirs.
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        advice = (
            "Stop the program that uses it, or choose another --port (0 takes a free one)."
            if error.errno == errno.EADDRINUSE
            else "Choose another --host or --port."
        )
        raise SettingsError(
            f"Can't listen on {settings.host}:{settings.port}: {error.strerror}. {advice}"
        ) from None
    listener.set_inheritable(True)
    return listener


def url_of(listener: socket.socket) -> str:
    """Return the address that a browser on this machine would open."""
    host, port = listener.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def uvicorn_config(settings: Settings, app: Starlette | str) -> uvicorn.Config:
    """Return how uvicorn shall run the relay.

    Args:
        settings: bounds and times.
        app: an app, or for several workers the name of what builds one.
    """
    return uvicorn.Config(
        cast("ASGIApplication | str", app),
        factory=isinstance(app, str),
        workers=settings.workers,
        lifespan="on",
        # Facilitators leave ASGI after the handshake; "ws" serves what is no plain request for that.
        http=RelayProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        # Who a request is from is decided in one place, relay/auth/addresses.py.
        proxy_headers=False,
        # No answer of ours is anything but what it says it is.
        headers=[("x-content-type-options", "nosniff")],
        ws=AsgiProtocol,
        ws_max_size=settings.max_inbound_bytes,
        ws_ping_interval=settings.heartbeat_s,
        ws_ping_timeout=settings.heartbeat_s,
        # Off: shared frames, and tens of KB less for each connection. On, uvicorn's own protocol serves.
        ws_per_message_deflate=settings.websocket_deflate,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
    )


def run(settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; closes the listener."""
    # Worker processes are started afresh and read their settings from here.
    os.environ.update(settings.to_environment())
    config = uvicorn_config(settings, "relay.server:worker_app")
    if settings.workers == 1:
        # When uvicorn has shut down it raises the signal again, for the handler that was there before.
        # Ours does nothing: being asked to stop is no failure, and the caller has to clean up.
        before = {number: signal.signal(number, _ignore) for number in _STOP_SIGNALS}
        try:
            uvicorn.Server(config).run(sockets=[listener])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    else:
        _Workers(config, sockets=[listener]).run()
        listener.close()
