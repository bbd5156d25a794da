"""WebSocket bytes by hand: for clients that are ruder than any library lets one be."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import ssl
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from websockets.frames import CloseCode, Opcode
from websockets.utils import accept_key

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

TEXT, BINARY, CONT = Opcode.TEXT, Opcode.BINARY, Opcode.CONT
CLOSE, PING, PONG = Opcode.CLOSE, Opcode.PING, Opcode.PONG


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    mask: bytes | None = b"\x01\x80\x7f\xff",
    announced: int | None = None,
    wide: int | None = None,
) -> bytes:
    """Return one frame as a client would send it (RFC 6455 section 5.2), right or wrong.

    Args:
        opcode: 0 to 15.
        payload: its bytes before masking.
        fin: whether it is the last of its message.
        reserved: the three reserved bits as a number.
        mask: four bytes; None leaves it unmasked.
        announced: the length that the header tells, when it is to be a lie.
        wide: 126 or 127 for a longer form of the length than is needed.
    """
    size = len(payload) if announced is None else announced
    form = wide or (size if size < 126 else 126 if size < 65536 else 127)
    head = bytes((fin << 7 | reserved << 4 | opcode, (mask is not None) << 7 | form))
    head += struct.pack("!H", size) if form == 126 else b""
    head += struct.pack("!Q", size) if form == 127 else b""
    if mask is None:
        return head + payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload) ^ int.from_bytes(key)
    return head + mask + masked.to_bytes(len(payload))


def close_frame(code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> bytes:
    """Return a client's close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def request(
    path: str,
    *,
    key: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    without: Iterable[str] = (),
    line: str | None = None,
) -> bytes:
    """Return a handshake as a browser would send it, but for what is given.

    Args:
        path: with its query.
        key: the value of Sec-WebSocket-Key.
        headers: more lines; one with a name that is there anyway replaces that.
        without: names of lines to leave out.
        line: the whole request line.
    """
    key = base64.b64encode(secrets.token_bytes(16)).decode() if key is None else key
    usual = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
    }
    headers = list(headers)
    given = {name.lower() for name, _ in headers} | {name.lower() for name in without}
    lines = [line or f"GET {path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in usual.items() if name.lower() not in given]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


class Received(NamedTuple):
    """One frame that a server sent."""

    opcode: Opcode
    payload: bytes
    fin: bool = True

    @property
    def json(self) -> dict[str, Any]:
        """The message in a text frame."""
        assert self.opcode is TEXT, self
        assert self.fin, self
        value = json.loads(self.payload)
        assert isinstance(value, dict)
        return value

    @property
    def close_code(self) -> int:
        """The code in a close frame; 1005 when there is none."""
        assert self.opcode is CLOSE, self
        if not self.payload:
            return int(CloseCode.NO_STATUS_RCVD)
        return int(struct.unpack("!H", self.payload[:2])[0])


class Answer(NamedTuple):
    """A server's answer to a handshake, or to any HTTP request."""

    status: int
    headers: dict[str, str]
    """Names in lower case; a repeated one has its values joined with a comma."""
    body: bytes = b""


class RawClient:
    """A client on a bare socket: what is not read stays in the kernel, nothing is answered for it.

    Made by ``connect``; a context manager that closes the socket. Every wait has an end.
    """

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self.socket = sock
        self._timeout_s = timeout_s
        self._buffer = b""

    @classmethod
    async def connect(
        cls,
        port: int = 0,
        *,
        path: str | None = None,
        receive_buffer: int | None = None,
        timeout_s: float = 10.0,
    ) -> Self:
        """Connect to a loopback port, or to a Unix domain socket.

        Args:
            port: on 127.0.0.1.
            path: of the Unix domain socket.
            receive_buffer: bytes that the kernel keeps for us; little makes slow readers cheap.
            timeout_s: how long anything may take.
        """
        sock = socket.socket(socket.AF_INET if path is None else socket.AF_UNIX)
        try:
            if receive_buffer is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            sock.setblocking(False)
            async with asyncio.timeout(timeout_s):
                address: Any = ("127.0.0.1", port) if path is None else path
                await asyncio.get_running_loop().sock_connect(sock, address)
        except BaseException:
            sock.close()
            raise
        return cls(sock, timeout_s)

    @property
    def name(self) -> tuple[str, int]:
        """Our own address, by which a server's transport can be found."""
        host, port = self.socket.getsockname()[:2]
        return host, port

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        async with asyncio.timeout(self._timeout_s):
            await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def send_in_pieces(self, data: bytes, size: int = 1) -> None:
        """Send it so that the server reads it in pieces of this size."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for begin in range(0, len(data), size):
            await self.send(data[begin : begin + size])
            # The server's loop is ours: it reads before we go on.
            for _ in range(4):
                await asyncio.sleep(0)

    def send_what_fits(self, data: bytes) -> int:
        """Send what the kernel takes now; returns how much that was."""
        sent = 0
        try:
            while sent < len(data):
                sent += self.socket.send(data[sent:])
        except BlockingIOError:
            pass
        return sent

    async def _more(self) -> bool:
        data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
        self._buffer += data
        return bool(data)

    async def read_exactly(self, size: int) -> bytes:
        """Read so many bytes; fewer when the server closes before."""
        async with asyncio.timeout(self._timeout_s):
            while len(self._buffer) < size and await self._more():
                pass
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data

    async def read_to_end(self) -> bytes:
        """Read until the server closes the connection, or resets it."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while await self._more():
                    pass
        except ConnectionError:
            pass
        data, self._buffer = self._buffer, b""
        return data

    async def read_answer(self) -> Answer:
        """Read an HTTP answer, and its body when its length is told."""
        async with asyncio.timeout(self._timeout_s):
            while b"\r\n\r\n" not in self._buffer:
                assert await self._more(), f"closed without an answer, after {self._buffer!r}"
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, str] = {}
        for header in lines:
            name, _, value = header.partition(":")
            name, value = name.lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        body = await self.read_exactly(int(headers.get("content-length", 0)))
        return Answer(int(line.split(" ")[1]), headers, body)

    async def ask(self, data: bytes) -> Answer:
        """Send a request and read its answer."""
        await self.send(data)
        return await self.read_answer()

    async def open(self, path: str, *, after: bytes = b"", **options: Any) -> Answer:
        """Do the handshake, which must succeed; see ``request``.

        Args:
            path: with its query.
            after: sent right behind the request, in the same write.
            options: for ``request``.
        """
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        answer = await self.ask(request(path, key=key, **options) + after)
        assert answer.status == 101, answer
        assert answer.headers["sec-websocket-accept"] == accept_key(key)
        return answer

    async def read_frame(self) -> Received | None:
        """Read the next frame; None when the server has closed the connection."""
        head = await self.read_exactly(2)
        if len(head) < 2:
            assert head == b"", "the server closed in the middle of a frame"
            return None
        first, size = head
        assert first & 0x70 == 0, "no extension was agreed on"
        assert size & 0x80 == 0, "a server does not mask (RFC 6455 section 5.1)"
        if size == 126:
            (size,) = struct.unpack("!H", await self.read_exactly(2))
            assert size > 125, "the length has its shortest form"
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.read_exactly(8))
            assert size > 65535, "the length has its shortest form"
        payload = await self.read_exactly(size)
        assert len(payload) == size, "the server closed in the middle of a frame"
        return Received(Opcode(first & 0x0F), payload, bool(first & 0x80))

    async def next(self, *, passing: Iterable[str] = ("heartbeat",)) -> Received:
        """Return the next frame that is no ping, nor a message of a type in ``passing``.

        Nor one about who is watching, which comes at a moment that no test can know.
        """
        passing = {"presence", *passing}
        while True:
            got = await self.read_frame()
            assert got is not None, "closed without a close frame"
            if got.opcode is PING or (got.opcode is TEXT and got.json["type"] in passing):
                continue
            return got

    async def welcome(self) -> dict[str, Any]:
        """Read the ``connection`` message."""
        message = (await self.next()).json
        assert message["type"] == "connection", message
        return message

    async def frames_to_end(self) -> list[Received]:
        """Read all frames until the server closes the connection."""
        got = []
        while (one := await self.read_frame()) is not None:
            got.append(one)
        return got

    async def closed(self) -> int:
        """Read until a close frame and the end after it; returns its code.

        Nothing may come behind the close frame (RFC 6455 section 5.5.1).
        """
        while True:
            got = await self.read_frame()
            assert got is not None, "closed without a close frame"
            if got.opcode is CLOSE:
                assert await self.read_to_end() == b"", "something came behind the close frame"
                return got.close_code

    def reset(self) -> None:
        """Vanish with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def __enter__(self) -> Self:
        """Use it."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the socket."""
        self.socket.close()


def client_context(certificate: str) -> ssl.SSLContext:
    """Return a TLS context that trusts one certificate."""
    return ssl.create_default_context(cafile=certificate)
