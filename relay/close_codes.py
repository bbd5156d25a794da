"""The table of WebSocket close codes; the number alone says whether to come back.

The same table stands in ``frontend/lib/relay/codes.ts``; ``tests/golden/close_codes.json`` holds
the two together.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Self

from relay.errors import Forbidden, KeysUnavailable, LimitReached, Unauthorized

if TYPE_CHECKING:
    from relay.errors import HintRelayError


class CloseCode(IntEnum):
    """A close code with the reason that goes out beside it.

    4000-4099 ask the client to come back, 4100-4199 to stay away; below 4000 are the codes of
    RFC 6455 section 7.4.1. 1006 is never sent: a browser reports it when no close frame came.
    """

    reason: str
    reconnect: bool
    meaning: str

    def __new__(cls, code: int, reason: str, reconnect: bool, meaning: str) -> Self:  # noqa: D102
        member = int.__new__(cls, code)
        member._value_ = code
        member.reason = reason
        member.reconnect = reconnect
        member.meaning = meaning
        return member

    NORMAL = 1000, "", False, "The facilitator left, or closed the page."
    GOING_AWAY = 1001, "Going away", True, "The server or the page goes away."
    ABNORMAL = (
        1006,
        "",
        True,
        "The connection broke without a close frame (never sent, RFC 6455 section 7.4.1).",
    )
    INVALID_DATA = (
        1007,
        "Invalid data",
        False,
        "A text frame was not UTF-8 (RFC 6455 section 8.1).",
    )
    UNAUTHORIZED = (
        1008,
        "Unauthorized",
        False,
        "The token is missing or invalid: do not come back without a new one.",
    )
    TOO_BIG = 1009, "Message too big", False, "An inbound message is larger than the relay takes."
    INTERNAL_ERROR = (
        1011,
        "Internal error",
        True,
        "The relay failed in a way that it did not foresee.",
    )
    RESTART = 1012, "Service restart", True, "The relay restarts."
    DRAIN = (
        4001,
        "Draining",
        True,
        "The relay drains: come back after the delay of the drain message.",
    )
    TOO_SLOW = 4002, "Too slow", True, "The reader fell too far behind: come back and resume."
    NO_PONG = 4003, "No pong", True, "The peer did not answer a ping in time."
    TOKEN_EXPIRED = (
        4004,
        "Token expired",
        True,
        "The token has expired: get a new one, then come back.",
    )
    BROKER_LOST = 4005, "Broker lost", True, "The relay has been without its broker for too long."
    BAD_REQUEST = (
        4101,
        "Bad request",
        False,
        "The request can't be served as it is: the error message says why.",
    )
    LIMIT_REACHED = (
        4102,
        "Limit reached",
        False,
        "A limit is reached: the error message says which.",
    )
    KICKED = 4103, "Kicked", False, "An operator ended this connection."


def code_of_refusal(error: HintRelayError) -> CloseCode:
    """Return the code that a connection is closed with when its request was refused."""
    match error:
        case Unauthorized() | Forbidden():
            return CloseCode.UNAUTHORIZED
        case LimitReached():
            return CloseCode.LIMIT_REACHED
        case KeysUnavailable():
            return CloseCode.INTERNAL_ERROR
        case _:
            return CloseCode.BAD_REQUEST
