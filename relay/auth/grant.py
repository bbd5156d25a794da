"""What somebody may do, and until when."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from relay.errors import Forbidden


class Role(StrEnum):
    """What the holder of a token is to a session; the claim ``role``."""

    FACILITATOR = "facilitator"
    """Reads, and sends feedback and commands."""
    OBSERVER = "observer"
    """Reads."""
    AGENT = "agent"
    """Reads, publishes over HTTP, and ends connections."""


class Grant(NamedTuple):
    """What a token allows; ``OPEN`` is what everybody has where no tokens are asked for.

    Attributes:
        role: None: everything.
        sessions: patterns: a session id, or with a ``*`` at its end all that begin so.
        subject: who it was given to, the claim ``sub``.
        token_id: the claim ``jti``.
        issued_at_s: the claim ``iat``, in seconds since the epoch.
        expires_at_s: the claim ``exp``, likewise; None: never.
    """

    role: Role | None
    sessions: tuple[str, ...]
    subject: str | None = None
    token_id: str | None = None
    issued_at_s: float | None = None
    expires_at_s: float | None = None

    @property
    def holder(self) -> str | None:
        """What the grants of one person have in common; None where nothing tells."""
        if self.subject is not None:
            return f"sub:{self.subject}"
        return None if self.token_id is None else f"jti:{self.token_id}"

    @property
    def may_contribute(self) -> bool:
        """Whether feedback and commands are taken."""
        return self.role in (None, Role.FACILITATOR)

    @property
    def may_publish(self) -> bool:
        """Whether hints and transcripts are taken, and connections may be ended."""
        return self.role in (None, Role.AGENT)

    @property
    def is_watching(self) -> bool:
        """Whether a connection counts among those that an agent speaks to."""
        return self.role in (None, Role.FACILITATOR)

    def check_session(self, session: str) -> None:
        """Do nothing for a session that this is for.

        Raises:
            Forbidden: for any other, whether there is such a session or not.
        """
        for pattern in self.sessions:
            if pattern == session or (pattern[-1:] == "*" and session.startswith(pattern[:-1])):
                return
        raise Forbidden("This token is not for this session.")


OPEN = Grant(None, ("*",))
"""Everything, for everybody."""
