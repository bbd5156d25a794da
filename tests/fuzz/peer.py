"""A client's bare connection: bytes out, bytes in, nothing understood."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self


class Peer(asyncio.Protocol):
    """Made by ``connect``; a context manager that vanishes with a reset.

    Attributes:
        data: what has come and nobody has taken.
        is_over: whether nothing more will come.
    """

    def __init__(self) -> None:
        self.data = b""
        self.is_over = False
        self._reader: Callable[[bytes], None] | None = None
        self._error: Exception | None = None
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Connect to a loopback port."""
        loop = asyncio.get_running_loop()
        _, peer = await loop.create_connection(cls, "127.0.0.1", port)
        return peer

    async def send(self, data: bytes) -> None:
        """Send, and wait while the relay does not read."""
        if not self._transport.is_closing():
            self._transport.write(data)
        await self._writable.wait()

    async def more(self, timeout_s: float) -> bool:
        """Wait until something has come, or the end has; False when nothing has."""
        if not self.is_over:
            self._changed.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return False
        self.check()
        return True

    def read_with(self, reader: Callable[[bytes], None]) -> None:
        """Give all that has come, and will come, to a function; what it raises ``check`` does."""
        self._reader = reader
        data, self.data = self.data, b""
        if data:
            reader(data)

    def check(self) -> None:
        """Raise what the reader has raised."""
        if self._error is not None:
            raise self._error

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._reader is None:
            self.data += data
        elif self._error is None:
            try:
                self._reader(data)
            except Exception as error:  # noqa: BLE001 - the task that waits raises it
                self._error = error
        self._changed.set()

    def eof_received(self) -> None:
        self.is_over = True
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over = True
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            # So that a hundred thousand connections leave no port waiting.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
