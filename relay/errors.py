"""Everything that Hint Relay raises on purpose; whose fault it is shows in the type.

::

    HintRelayError
    ├── SettingsError            the operator's: a setting or the environment is wrong
    ├── RequestError             the caller's: has a ``code`` for the wire
    │   ├── InvalidSession
    │   ├── InvalidPosition
    │   └── InvalidMessage
    │       └── MessageTooLarge
    └── BrokerError              Redis'
        ├── BrokerUnavailable    away or too slow: try again
        │   └── BufferFull       … and the publisher's buffer for such times is full
        └── BrokerFull           out of memory: nothing was written
"""

from __future__ import annotations


class HintRelayError(Exception):
    """The root of the tree."""


class SettingsError(HintRelayError):
    """A setting or the environment is wrong; the text says what to change."""


class RequestError(HintRelayError):
    """The caller asked for something that can't be served as it is.

    ``code`` is the ``code`` of the ``error`` message on the wire, stable across releases.
    """

    code = "bad_request"


class InvalidSession(RequestError):
    """The session id breaks the rule."""

    code = "bad_session"

    def __init__(self, session: str) -> None:
        self.session = session
        super().__init__(session)

    def __str__(self) -> str:
        """Say the rule, and show as much of the id as is safe to show."""
        shown = self.session if len(self.session) <= 40 else self.session[:40] + "…"
        return (
            f"{shown!r} is not a session id: use 1 to 128 characters of "
            "letters, digits, '_', '.', '~' and '-'."
        )


class InvalidPosition(RequestError):
    """The text is not a position."""

    code = "bad_position"

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(text)

    def __str__(self) -> str:
        """Say the shape of a position."""
        shown = self.text if len(self.text) <= 40 else self.text[:40] + "…"
        return f"{shown!r} is not a position: it looks like '1763900000000-42'."


class InvalidMessage(RequestError):
    """The message breaks its type's rules; the text names the field."""

    code = "bad_message"


class MessageTooLarge(InvalidMessage):
    """The message has more bytes than the limit."""

    code = "too_large"

    def __init__(self, size_bytes: int, max_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.max_bytes = max_bytes
        super().__init__(size_bytes, max_bytes)

    def __str__(self) -> str:
        """Say both sizes."""
        return (
            f"The message has {self.size_bytes:,} bytes; {self.max_bytes:,} are allowed. "
            "Send a shorter text, or stream it."
        )


class BrokerError(HintRelayError):
    """Redis could not do what was asked."""


class BrokerUnavailable(BrokerError):
    """Redis is away, too slow, or refuses the connection; trying again later can help."""


class BufferFull(BrokerUnavailable):
    """Redis is away, and the publisher's buffer is full: this message was not taken."""

    def __init__(self, messages: int, size_bytes: int) -> None:
        self.messages = messages
        self.size_bytes = size_bytes
        super().__init__(messages, size_bytes)

    def __str__(self) -> str:
        """Say what waits already."""
        return (
            f"Redis is away, and {self.messages:,} messages ({self.size_bytes:,} bytes) wait for it "
            "already: this one was not taken. Send less, or allow more (max_buffered)."
        )


class BrokerFull(BrokerError):
    """Redis has reached its ``maxmemory``; nothing was written."""
