"""A proxy as some companies have: plain HTTP passes, WebSockets don't."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_REFUSAL = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class NoUpgrades:
    """Forwards a free port to a target, and refuses requests for an upgrade; use ``async with``.

    Args:
        target_port: where connections go, on 127.0.0.1.
    """

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.refused = 0
        self.lets_through = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def base_url(self) -> str:
        """Its http address."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"upgrade: websocket" in head.lower() and not self.lets_through:
                self.refused += 1
                writer.write(_REFUSAL)
                return
            # One request for each connection, so that each one's head is seen.
            head = head.replace(b"Connection: keep-alive", b"Connection: close")
            upstream, target = await asyncio.open_connection("127.0.0.1", self.target_port)
            try:
                target.write(head)
                async with asyncio.TaskGroup() as group:
                    group.create_task(_pump(reader, target))
                    group.create_task(_pump(upstream, writer))
            finally:
                target.close()
        except (OSError, asyncio.IncompleteReadError, ExceptionGroup):
            # Either side has gone.
            pass
        finally:
            writer.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()
