"""What a session id may be."""

from __future__ import annotations

import re

from relay.errors import InvalidSession

# The unreserved characters of RFC 3986 section 2.3: such an id needs no escaping in a URL, and can't
# leave the name of a Redis key or of a file.
_SESSION = re.compile(r"[A-Za-z0-9_.~-]{1,128}", re.ASCII)


def check_session(session: str) -> str:
    """Return the session id unchanged.

    Args:
        session: 1 to 128 characters of ``A-Za-z0-9_.~-``.

    Raises:
        InvalidSession: for anything else.
    """
    if _SESSION.fullmatch(session) is None:
        raise InvalidSession(session)
    return session
