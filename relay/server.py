"""Runs the app under uvicorn: one process, or several that share a port."""

from __future__ import annotations

import errno
import os
import signal
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.supervisors import Multiprocess

from relay.app import create_app
from relay.errors import SettingsError
from relay.logs import configure_logs
from relay.orphans import die_with_parent
from relay.settings import Settings

if TYPE_CHECKING:
    from types import FrameType

    from starlette.applications import Starlette

# How long open requests may take to end when the relay stops; WebSockets are closed at once.
_SHUTDOWN_TIMEOUT_S = 5


# Connections that wait to be accepted; a reconnect storm fills less.
_BACKLOG = 2048

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Take a signal that has been dealt with."""


def worker_app() -> Starlette:
    """Build a worker's app from the environment; runs in each worker process."""
    settings = Settings.load()
    if settings.workers > 1:
        die_with_parent()
    configure_logs(settings.log_level, settings.log_format)
    return create_app(settings)


def bind(settings: Settings) -> socket.socket:
    """Bind the port that the relay listens on.

    Raises:
        SettingsError: when the address can't be had; the text says why and what to do.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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


def run(settings: Settings, listener: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM; closes the listener."""
    # Worker processes are started afresh and read their settings from here.
    os.environ.update(settings.to_environment())
    config = uvicorn.Config(
        "relay.server:worker_app",
        factory=True,
        workers=settings.workers,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=settings.max_inbound_bytes,
        ws_ping_interval=settings.heartbeat_s,
        ws_ping_timeout=settings.heartbeat_s,
        # Shared, uncompressed frames and tens of KB less for each connection.
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_S,
    )
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
        Multiprocess(config, sockets=[listener]).run()
        listener.close()
