"""What strangers do to a relay; each attack runs in a process of its own, on loopback only.

``python -m tests.hostile.attacks <name> <port> <seconds> <count>`` prints what came of it as JSON.
"""

from __future__ import annotations

import errno
import json
import socket
import struct
import sys
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from tests.support.websocket import BINARY, CLOSE, CONT, TEXT, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Another address than that of the facilitator, who would otherwise be taken for one of us.
_OURS = "127.0.0.2"
_HEAD = (
    b"GET /ws?session=hostile HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
_DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
_MIB = 1024 * 1024


class Attack:
    """Counts what happens, until its time is over."""

    def __init__(self, port: int, seconds: float, count: int) -> None:
        self.address = ("127.0.0.1", port)
        self.ends_s = time.monotonic() + seconds
        self.count = count
        self.seen: Counter[str] = Counter()

    @property
    def is_over(self) -> bool:
        """Whether it is time to stop."""
        return time.monotonic() >= self.ends_s

    def connect(self) -> socket.socket | None:
        """Begin a connection without waiting for it."""
        connection = socket.socket()
        connection.setblocking(False)
        try:
            connection.bind((_OURS, 0))
            outcome = connection.connect_ex(self.address)
        except OSError as error:
            outcome = error.errno or errno.EIO
        if outcome not in (0, errno.EINPROGRESS):
            self.seen["not connected"] += 1
            connection.close()
            return None
        self.seen["connected"] += 1
        return connection

    def upgrade(self, more: bytes = b"") -> socket.socket | None:
        """Open a WebSocket; None when the relay does not let us."""
        connection = socket.create_connection(self.address, timeout=5, source_address=(_OURS, 0))
        connection.sendall(_HEAD + more + b"\r\n")
        try:
            answer = connection.recv(65536)
        except OSError:
            answer = b""
        self.seen[f"upgrade {answer[9:12].decode() or 'dropped'}"] += 1
        if answer.startswith(b"HTTP/1.1 101"):
            return connection
        connection.close()
        return None

    def flood(self, pieces: Callable[[], Iterator[bytes]], more: bytes = b"") -> None:
        """Send pieces on ``count`` WebSockets, each opened anew when the relay has closed it."""
        while not self.is_over:
            connections = [one for _ in range(self.count) if (one := self.upgrade(more))]
            try:
                for connection in connections:
                    self._send(connection, pieces())
            finally:
                for connection in connections:
                    connection.close()

    def _send(self, connection: socket.socket, pieces: Iterator[bytes]) -> None:
        try:
            for piece in pieces:
                if self.is_over:
                    return
                connection.sendall(piece)
                self.seen["bytes"] += len(piece)
            self.seen[f"closed {_close_code(connection)}"] += 1
        except OSError:
            self.seen["closed by the relay"] += 1


def slowloris(attack: Attack) -> None:
    """Keep ``count`` requests half open, with a byte now and then, and open new ones for lost ones."""
    waiting: list[socket.socket] = []
    while not attack.is_over:
        while len(waiting) < attack.count:
            connection = attack.connect()
            if connection is None:
                break
            waiting.append(connection)
        alive = []
        for index, connection in enumerate(waiting):
            try:
                connection.send(_HEAD if index % 2 else b"X")
                alive.append(connection)
            except BlockingIOError:
                alive.append(connection)
            except OSError:
                attack.seen["dropped by the relay"] += 1
                connection.close()
        waiting = alive
        attack.seen["most at once"] = max(attack.seen["most at once"], len(waiting))
        time.sleep(1)
    for connection in waiting:
        connection.close()


def connects(attack: Attack) -> None:
    """Connect ``count`` times a second, ask for an upgrade, and leave."""
    began_s = time.monotonic()
    leave = struct.pack("ii", 1, 0)
    done = 0
    while not attack.is_over:
        due = int((time.monotonic() - began_s) * attack.count)
        if done >= due:
            time.sleep(0.0005)
            continue
        done += 1
        connection = attack.connect()
        if connection is None:
            continue
        try:
            connection.send(_HEAD + b"\r\n")
            if done % 2:
                # A reset: half of them leave no trace, not even in our own kernel.
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, leave)
        except BlockingIOError:
            attack.seen["kept waiting"] += 1
        except OSError:
            attack.seen["dropped"] += 1
        connection.close()
    attack.seen["per second"] = round(attack.seen["connected"] / (time.monotonic() - began_s))


def oversized(attack: Attack) -> None:
    """Announce a frame of a gigabyte, and send as much of it as is taken."""

    def pieces() -> Iterator[bytes]:
        yield frame(BINARY, b"", announced=1024 * _MIB)
        while True:
            yield b"\0" * 65536

    attack.flood(pieces)


def fragments(attack: Attack) -> None:
    """Send a message in small fragments, without an end."""

    def pieces() -> Iterator[bytes]:
        yield frame(TEXT, b"x", fin=False)
        while True:
            yield frame(CONT, b"x", fin=False) * 100

    attack.flood(pieces)


def empty_fragments(attack: Attack) -> None:
    """Send fragments with nothing in them, without an end."""

    def pieces() -> Iterator[bytes]:
        yield frame(TEXT, b"", fin=False)
        while True:
            yield frame(CONT, b"", fin=False) * 100

    attack.flood(pieces)


def bombs(attack: Attack) -> None:
    """Send 64 MiB of zeros in 64 KiB, where the relay lets one compress."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(b"0" * (64 * _MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)
    bomb = frame(TEXT, packed.removesuffix(b"\0\0\xff\xff"), reserved=4)

    def pieces() -> Iterator[bytes]:
        yield bomb

    attack.flood(pieces, _DEFLATE)


ATTACKS = {
    attack.__name__: attack
    for attack in (slowloris, connects, oversized, fragments, empty_fragments, bombs)
}


def _close_code(connection: socket.socket) -> str:
    """Return the code of the close frame that the relay answers with."""
    connection.settimeout(5)
    try:
        data = connection.recv(65536)
    except OSError:
        return "without a word"
    while len(data) >= 4:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        if data[0] & 0x0F == CLOSE:
            return str(int.from_bytes(data[2:4], "big"))
        data = data[start + size :]
    return "without a code"


def main() -> None:
    """Run one attack."""
    name, port, seconds, count = sys.argv[1:]
    attack = Attack(int(port), float(seconds), int(count))
    ATTACKS[name](attack)
    print(json.dumps(attack.seen))


if __name__ == "__main__":
    main()
