"""Every name that Hint Relay uses in Redis.

The hash tag of the keys is the whole channel name, so that in a Redis Cluster the keys and the
sharded channel of a session share a slot while the channel keeps its plain name.
"""

from __future__ import annotations

_CHANNEL_PREFIX = "hints:"


def channel(session: str) -> str:
    """Return the channel that a session's publications go out on."""
    return _CHANNEL_PREFIX + session


def session_of(channel_name: str) -> str:
    """Return the session of a channel made by ``channel``."""
    return channel_name.removeprefix(_CHANNEL_PREFIX)


def log(session: str) -> str:
    """Return the key of the session's log: a stream whose entry ids are positions."""
    return f"{{hints:{session}}}:log"


def meta(session: str) -> str:
    """Return the key of what is known about the log: a hash with ``epoch`` and ``floor``."""
    return f"{{hints:{session}}}:meta"


def published(session: str, message_id: str) -> str:
    """Return the key that remembers the position of a message id, for the dedupe window."""
    return f"{{hints:{session}}}:id:{message_id}"


def streaming_hint(session: str, hint_id: str) -> str:
    """Return the key of what is known about a streaming hint: a hash."""
    return f"{{hints:{session}}}:streaming:{hint_id}"


def streaming_text(session: str, hint_id: str) -> str:
    """Return the key of a streaming hint's text so far, as it stands inside JSON quotes."""
    return f"{{hints:{session}}}:text:{hint_id}"


def presence(session: str) -> str:
    """Return the key of who is watching: a hash with one field for each worker."""
    return f"{{hints:{session}}}:presence"


def seen(session: str, hint_id: str) -> str:
    """Return the key of who has seen a hint: a set of names."""
    return f"{{hints:{session}}}:seen:{hint_id}"


def delivered(session: str) -> str:
    """Return the key of how far each facilitator was served: a hash of names and positions."""
    return f"{{hints:{session}}}:delivered"


LEASES = "hint-relay:leases"
"""The sorted set of streaming hints, of all sessions, whose producers may have died."""


REVOCATIONS = "hint-relay:revocations"
"""The stream of revoked tokens."""


def request(session: str, key: str) -> str:
    """Return the key that remembers what an ``Idempotency-Key`` was used for: a hash of the body."""
    return f"{{hints:{session}}}:request:{key}"


def probe(worker: str) -> str:
    """Return the channel on which one worker proves to itself that its subscription delivers."""
    return f"hint-relay:probe:{worker}"
