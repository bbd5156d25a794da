"""Everything that Hint Relay raises on purpose; whose fault it is shows in the type.

::

    HintRelayError
    ├── SettingsError            the operator's: a setting or the environment is wrong
    ├── PublisherClosed          the caller's: it was closed, or made before a fork
    ├── RequestError             the caller's: has a ``code`` for the wire
    │   ├── InvalidSession
    │   ├── InvalidPosition
    │   ├── InvalidMessage
    │   │   ├── MessageTooLarge
    │   │   │   └── HintTooLarge     … by what was to be appended to it
    │   │   └── TextTooLong
    │   ├── Unauthorized         the token is missing, or not good (any more)
    │   ├── Forbidden            it is good, and not for this
    │   ├── UnknownHint
    │   ├── RateLimited          too fast
    │   ├── LimitReached         too many, or too much
    │   └── HintEnded            nothing can be appended any more
    │       └── HintCancelled    … because a facilitator wants it to stop
    ├── KeysUnavailable          whose keys are to be fetched: their issuer's
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


class PublisherClosed(HintRelayError):
    """The publisher can't be used: it was closed, or its thread stayed behind in a fork."""


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


class TextTooLong(InvalidMessage):
    """A text has more characters than the limit."""

    code = "too_large"

    def __init__(self, field: str, length: int, max_length: int) -> None:
        self.field = field
        self.length = length
        self.max_length = max_length
        super().__init__(field, length, max_length)

    def __str__(self) -> str:
        """Say both lengths."""
        return (
            f"'{self.field}' has {self.length:,} characters; {self.max_length:,} are allowed. "
            "Send a shorter text."
        )


class HintTooLarge(MessageTooLarge):
    """A streaming hint has no room for what was to be appended; what it has stays."""

    def __str__(self) -> str:
        """Say both sizes, and what became of the hint."""
        return (
            f"The hint would have {self.size_bytes:,} bytes; {self.max_bytes:,} are allowed. This "
            "text was not appended; what was appended before stays."
        )


class Unauthorized(RequestError):
    """The token is missing, invalid, expired or revoked; the text says which."""

    code = "unauthorized"


class Forbidden(RequestError):
    """Who asks is known, or need not be, and may not do this."""

    code = "forbidden"


class LimitReached(RequestError):
    """There are as many of something as there may be.

    Args:
        limit: the setting's name, without its prefix.
        text: what there is too much of, and what to do.
        retry_after_ms: when it is worth another try; None: nobody knows.
    """

    code = "limit_reached"

    def __init__(self, limit: str, text: str, retry_after_ms: int | None = None) -> None:
        self.limit = limit
        self.retry_after_ms = retry_after_ms
        super().__init__(text)


class UnknownHint(RequestError):
    """The session's log has no hint with this id.

    Args:
        session: which.
        hint_id: None where it is not to be repeated: it may be any text.
    """

    code = "unknown_hint"

    def __init__(self, session: str, hint_id: str | None = None) -> None:
        self.session = session
        self.hint_id = hint_id
        super().__init__(session, hint_id)

    def __str__(self) -> str:
        """Name both, and say what may have become of it."""
        which = "this id" if self.hint_id is None else f"id {self.hint_id!r}"
        return (
            f"Session {self.session} has no hint with {which}: it was never published there, or is "
            "not kept any more."
        )


class RateLimited(RequestError):
    """Too many messages came at once."""

    code = "rate_limited"

    def __init__(self, retry_after_ms: int) -> None:
        self.retry_after_ms = retry_after_ms
        super().__init__(retry_after_ms)

    def __str__(self) -> str:
        """Say when to try again."""
        return f"Too many messages: this one was not taken. Send it again in {self.retry_after_ms:,} ms."


class HintEnded(RequestError):
    """A streaming hint is over: nothing can be appended to it any more.

    ``status`` says how it ended.
    """

    code = "hint_ended"

    def __init__(self, hint_id: str, status: str) -> None:
        self.hint_id = hint_id
        self.status = status
        super().__init__(hint_id, status)

    def __str__(self) -> str:
        """Name the hint, and say how it ended."""
        why = {
            "cancelled": "was cancelled by a facilitator",
            "interrupted": (
                "was interrupted: its block failed, or Redis heard nothing of it for too long"
            ),
        }.get(self.status, f"is {self.status}")
        return f"Hint {self.hint_id!r} {why}; nothing can be appended to it any more."


class HintCancelled(HintEnded):
    """A facilitator wants a streaming hint to stop."""

    def __init__(self, hint_id: str, status: str = "cancelled") -> None:
        super().__init__(hint_id, status)


class KeysUnavailable(HintRelayError):
    """A token can't be judged now: the key that it names is not known, and can't be asked for."""

    code = "unavailable"

    def __str__(self) -> str:
        """Say what to do."""
        return "The token can't be checked now: its issuer can't be asked for keys. Try again."


Refusal = RequestError | KeysUnavailable
"""What somebody is turned away with; each has a ``code`` for the wire."""


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
