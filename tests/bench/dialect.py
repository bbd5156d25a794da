"""How a client talks to a contender: path, greeting, and when it has joined its session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.bench.frames import masked

if TYPE_CHECKING:
    from tests.bench.load import Reader


class Dialect:
    """A session in the query, and a JSON message that says ``connection`` once one has joined.

    Others override what they do otherwise.
    """

    subprotocol: str | None = None

    def path(self, session: str, since: str | None) -> str:
        """Return the request's path and query.

        Args:
            session: a session id.
            since: the last position that the client has, in whatever form ``position`` returns.
        """
        del since
        return f"/ws?session={session}"

    def headers(self, since: str | None) -> str:
        """Return more request headers, each with its line end."""
        del since
        return ""

    def greeting(self, reader: Reader) -> bytes:
        """Return what the client sends as soon as it is upgraded."""
        del reader
        return b""

    def joined(self, reader: Reader, payload: bytes) -> bool:
        """Look at a message that comes before joining; tell whether the client has joined with it."""
        del reader
        return b'"connection"' in payload

    def answer(self, payload: bytes) -> bytes:
        """Return what a client must answer to a message without a mark, ready to be sent."""
        del payload
        return b""

    def position(self, reader: Reader) -> str | None:
        """Return what the client would resume with; None where nothing can be resumed."""
        del reader
        return None

    def ping(self) -> bytes:
        """Return a client's own sign of life, ready to be sent."""
        return masked(b'{"type":"ping"}')
