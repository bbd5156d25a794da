"""An issuer of tokens for tests: a real HTTP server that publishes keys, or fails to."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.process import stable_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.tokens import KeyPair


class Issuer:
    """Answers every request with what ``answer`` holds; made by ``issuer``.

    Attributes:
        answer: bytes of a whole HTTP answer; None: none comes.
        is_slow: whether the answer's body comes byte by byte.
        asked: the paths of all requests so far.
    """

    def __init__(self) -> None:
        self.answer: bytes | None = b""
        self.is_slow = False
        self.asked: list[str] = []
        # Its own, also while it is stopped.
        self.port = stable_port()
        self._open: set[asyncio.StreamWriter] = set()
        self._waiting: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """The address of the keys; its query is a secret of the operator's."""
        return f"http://127.0.0.1:{self.port}/keys?secret=of-the-operator"

    def publish(self, *pairs: KeyPair) -> None:
        """Answer with these keys from now on."""
        self.say(json.dumps({"keys": [pair.jwk for pair in pairs]}).encode())

    def say(self, body: bytes, status: str = "200 OK", *headers: str) -> None:
        """Answer with this from now on."""
        lines = [
            f"HTTP/1.1 {status}",
            f"Content-Length: {len(body)}",
            "Connection: close",
            *headers,
        ]
        self.answer = "\r\n".join([*lines, "", ""]).encode() + body

    def answer_now(self, answer: bytes | None) -> None:
        """Answer with this from now on, and at once those who have got none."""
        assert answer is not None
        self.answer = answer
        for writer in self._waiting:
            writer.write(answer)

    async def start(self) -> None:
        """Listen, at the same port each time."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Listen no more, and drop everybody."""
        assert self._server is not None
        self._server.close()
        for writer in tuple(self._open):
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self.asked.append(head.split(b" ")[1].decode())
            if self.answer is None:
                # Until it is stopped, or the other side gives up, or there is an answer.
                self._waiting.add(writer)
                await reader.read()
            elif self.is_slow:
                head, separator, body = self.answer.partition(b"\r\n\r\n")
                writer.write(head + separator)
                for byte in body:
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(0.01)
            else:
                writer.write(self.answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            self._waiting.discard(writer)
            writer.close()


@asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    """Run an issuer on a free loopback port."""
    one = Issuer()
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
