"""The embedded broker: a stand-in for Redis inside this process, for development and demos."""

from __future__ import annotations

import errno
import logging
import threading
from typing import TYPE_CHECKING

from fakeredis import TcpFakeServer

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_REDIS_PORT = 6379


class EmbeddedBroker:
    """A Redis look-alike on loopback, in a thread; everything in it is gone when it stops.

    A context manager. Listens on Redis' own port when that is free, so that other programs find it
    without being told, else on any free one.
    """

    def __init__(self, port: int = _REDIS_PORT) -> None:
        # It reports each client that resets its connection as an error; here that is daily life.
        logging.getLogger("fakeredis").setLevel(logging.CRITICAL)
        try:
            self._server = _Server(("127.0.0.1", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            self._server = _Server(("127.0.0.1", 0))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="embedded broker", daemon=True
        )

    @property
    def url(self) -> str:
        """Return the URL to connect to."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def is_on_default_port(self) -> bool:
        """Tell whether it is where everybody looks for Redis."""
        return self.port == _REDIS_PORT

    def __enter__(self) -> Self:
        """Start serving."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


class _Server(TcpFakeServer):
    def __init__(self, address: tuple[str, int]) -> None:
        super().__init__(address)
        # Handlers poll; the process must not wait for those whose client stays.
        self.daemon_threads = True
        self.block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Pass over a client that went away in the middle of an answer."""
