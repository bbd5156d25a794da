"""A TCP proxy on loopback that can cut, freeze and refuse: the network's bad days, on demand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class TcpProxy:
    """Forwards a free port to a target; use with ``async with``.

    Args:
        target_port: where connections go, on 127.0.0.1.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.accepted = 0
        self._server: asyncio.Server | None = None
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._refuses = False
        self._deaf_to: bytes | None = None

    @property
    def open_connections(self) -> int:
        """How many connections are being forwarded."""
        return len(self._pairs)

    def cut(self) -> None:
        """Break all connections with a reset."""
        for client, upstream in self._pairs:
            client.transport.abort()
            upstream.transport.abort()

    def freeze(self) -> None:
        """Swallow everything from here on: no byte, no FIN, no RST passes."""
        self._flows.clear()

    def thaw(self) -> None:
        """Let everything pass again, what was held back too."""
        self._flows.set()

    def refuse(self, *, refuses: bool = True) -> None:
        """Take new connections and break them at once, or stop doing so."""
        self._refuses = refuses

    def deafen(self, word: bytes | None) -> None:
        """Swallow all that comes back on connections that from now on send this word.

        Connections that have sent it before are cut, so that they send it again. None stops it for
        connections to come; those that are deaf stay so.
        """
        self._deaf_to = word
        if word is not None:
            self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            if self._refuses:
                raise ConnectionRefusedError
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, up_writer)
        deaf = asyncio.Event()
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, up_writer, deafens=deaf))
                group.create_task(self._pump(up_reader, writer, deaf=deaf))
        except* OSError:
            pass
        finally:
            self._pairs.discard(pair)
            for end in pair:
                end.transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        deafens: asyncio.Event | None = None,
        deaf: asyncio.Event | None = None,
    ) -> None:
        while data := await reader.read(65536):
            await self._flows.wait()
            if deaf is not None and deaf.is_set():
                continue
            writer.write(data)
            await writer.drain()
            if deafens is not None and self._deaf_to is not None and self._deaf_to in data:
                # What was asked is still answered; what comes later is not.
                asyncio.get_running_loop().call_later(0.3, deafens.set)
        await self._flows.wait()
        # One side has closed: so does the other, and the pair is over.
        raise ConnectionResetError

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def __aenter__(self) -> Self:
        """Start."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Break everything."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
