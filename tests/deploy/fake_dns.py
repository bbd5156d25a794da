"""A DNS server for one test: what Docker's does for a compose network, on loopback."""

from __future__ import annotations

import ipaddress
import socketserver
import struct
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

_A, _AAAA = 1, 28
_NO_ERROR, _NAME_ERROR = 0, 3
_HEADER = struct.Struct("!6H")


def answer(query: bytes, records: dict[str, tuple[str, ...]]) -> bytes:
    """Return the response to one query (RFC 1035 §4.1).

    A known name has its A records and no others; an unknown one gets NXDOMAIN. Additional records
    of the query (EDNS) are left out of the response, as an old server would.
    """
    query_id, flags, _questions, *_ = _HEADER.unpack_from(query)
    labels: list[str] = []
    offset = _HEADER.size
    while (length := query[offset]) != 0:
        labels.append(query[offset + 1 : offset + 1 + length].decode("ascii"))
        offset += 1 + length
    (wanted,) = struct.unpack_from("!H", query, offset + 1)
    question = query[_HEADER.size : offset + 5]
    known = records.get(".".join(labels).lower(), ())
    addresses = known if wanted == _A else ()
    code = _NO_ERROR if known else _NAME_ERROR
    # Response, authoritative, "recursion desired" copied from the query.
    head = _HEADER.pack(query_id, 0x8400 | (flags & 0x0100) | code, 1, len(addresses), 0, 0)
    # Each record points back at the name in the question (offset 12), lives 1 s, holds 4 bytes.
    return b"".join(
        [
            head,
            question,
            *(
                struct.pack("!3HIH", 0xC000 | _HEADER.size, _A, 1, 1, 4)
                + ipaddress.IPv4Address(address).packed
                for address in addresses
            ),
        ]
    )


class FakeDns:
    """Answers A queries over UDP on a free port of 127.0.0.1, from its own thread.

    ``set`` may be called at any time and from any thread; the next query sees it. Because it has
    its own thread, a test that blocks its event loop doesn't take the names away from HAProxy.
    """

    def __init__(self) -> None:
        self._records: dict[str, tuple[str, ...]] = {}
        names = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                query, sock = self.request
                sock.sendto(answer(query, names._records), self.client_address)

        self._server = socketserver.UDPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="fake-dns"
        )

    @property
    def address(self) -> str:
        """Where it listens, as ``ip:port``."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def set(self, name: str, addresses: Iterable[str]) -> None:
        """Let ``name`` have these IPv4 addresses from now on; none makes it unknown."""
        self._records = {**self._records, name: tuple(addresses)}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
