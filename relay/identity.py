"""Who a facilitator is to others."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

from relay.errors import RequestError

_GUEST = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Identity(NamedTuple):
    """A facilitator's name, decided once for each connection.

    Attributes:
        name: what stands in ``by``, in ``you`` and in who is watching.
        is_lasting: whether the same facilitator has it on every connection.
        is_watching: whether it counts among those that an agent speaks to.
    """

    name: str
    is_lasting: bool
    is_watching: bool = True


NOBODY = Identity("", is_lasting=False, is_watching=False)
"""Whoever is refused: it never gets a name."""


def identify(
    guest: str | None, subject: str | None = None, *, is_watching: bool = True
) -> Identity:
    """Decide who a connection is.

    Args:
        guest: the name that the client gives itself, 1 to 64 characters of ``A-Za-z0-9_-``; None for
            somebody who is another one on every connection. A ``subject`` wins.
        subject: who the token says it is; None: it does not say.
        is_watching: see ``Identity``.

    Raises:
        RequestError: for a name that breaks the rule.
    """
    if subject is not None:
        return Identity(subject, is_lasting=True, is_watching=is_watching)
    if guest is None:
        return Identity(f"guest-{secrets.token_hex(3)}", False, is_watching)
    if _GUEST.fullmatch(guest) is None:
        raise RequestError("'guest' is a name of 1 to 64 letters, digits, '_' and '-'.")
    return Identity(f"guest-{guest}", is_lasting=True, is_watching=is_watching)
