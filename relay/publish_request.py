"""What somebody wants to publish over HTTP, checked; pure."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

import orjson

from relay.contribution import Contribution, Sighting, ref_of, refuse_what_the_relay_sets
from relay.errors import Forbidden, InvalidMessage, RequestError
from relay.messages import (
    Error,
    Hint,
    Message,
    Seen,
    Transcript,
    check_inbound,
    check_message,
    check_size,
    dedupe_id,
    new_id,
)

if TYPE_CHECKING:
    from relay.auth.grant import Grant
    from relay.identity import Identity

MAX_MESSAGES = 100
_MAX_KEY = 128
_KEY = re.compile(rf"[!-~]{{1,{_MAX_KEY}}}", re.ASCII)
MAX_TYPE = 64
CONTRIBUTIONS = frozenset({"feedback", "command", "seen"})
PUBLISHABLE: dict[str, type[Message]] = {"hint": Hint, "transcript": Transcript, "error": Error}
# What only relays say, to clients or to one another; a client would take it for theirs.
RESERVED = frozenset(
    {
        "connection", "heartbeat", "ack", "drain", "presence", "ping", "refresh", "refreshed",
        "report", "kick",
    }
)  # fmt: skip
# Told by publish.lua: where a message stands, and where a hint that has grown began.
SET_BY_REDIS = ("position", "began")
_NAMESPACE = UUID("7a1f6c52-6f0e-4f5b-9a0f-1f2a35cd5c10")


class Publishing(NamedTuple):
    """A message of an agent on its way into a session.

    Attributes:
        id: its own, or the one that it was given.
        payload: what is published.
        dedupe_id: what makes a repetition known as one.
    """

    id: str
    payload: bytes
    dedupe_id: str


class WrongMessage(RequestError):
    """One of the messages can't be taken; so none is.

    Args:
        index: which; None when it came alone.
        error: what is wrong.
        field: with which field; None: the error's text begins with its name, if it is one.
    """

    def __init__(self, index: int | None, error: RequestError, field: str | None = None) -> None:
        self.index = index
        self.error = error
        self.field = field
        super().__init__(index, error, field)

    def __str__(self) -> str:
        """Say which, and what is wrong with it."""
        which = "" if self.index is None else f"Message {self.index}: "
        return f"{which}{self.error}"


class IdempotencyKey(NamedTuple):
    """What makes a request known as a repetition.

    Attributes:
        name: what it is remembered under; two holders never share one.
        fingerprint: of what is asked for.
    """

    name: str
    fingerprint: str

    @classmethod
    def of(cls, header: str, holder: str | None, body: bytes) -> IdempotencyKey:
        """Check the header ``Idempotency-Key``.

        Raises:
            RequestError: for one that is no key.
        """
        key = header.strip()
        if _KEY.fullmatch(key) is None:
            raise RequestError(
                f"'Idempotency-Key' is to be 1 to {_MAX_KEY} visible ASCII characters: a UUID is fine."
            )
        name = hashlib.sha256(f"{holder or ''}\n{key}".encode()).hexdigest()
        return cls(name, hashlib.sha256(body).hexdigest())

    def id_of(self, index: int) -> str:
        """Return the id of a message that has none: the same each time."""
        return str(uuid5(_NAMESPACE, f"{self.name}:{index}"))


def parse_body(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """Read the messages of a request; tells whether they came as an array.

    Raises:
        RequestError: for anything but one JSON object, or an array of 1 to 100.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(f"The body is not JSON: {error.msg}.") from None
    messages = value if isinstance(value, list) else [value]
    if not 0 < len(messages) <= MAX_MESSAGES:
        raise RequestError(f"The body is to be a message, or an array of 1 to {MAX_MESSAGES}.")
    for index, message in enumerate(messages):
        if not isinstance(message, dict):
            wrong = InvalidMessage("It is not a JSON object.")
            raise WrongMessage(index if isinstance(value, list) else None, wrong)
    return messages, isinstance(value, list)


def check_one(
    fields: dict[str, Any],
    *,
    grant: Grant,
    who: Identity,
    given_id: str | None,
    now_s: float,
    max_bytes: int,
) -> Publishing | Contribution | Sighting:
    """Check one message, and make what is published.

    Args:
        fields: the message as it came.
        grant: what its sender may do.
        who: its sender.
        given_id: the id for one that has none; None: a new one.
        now_s: seconds since the epoch.
        max_bytes: the largest publication.

    Raises:
        InvalidMessage: naming the field that is wrong.
        MessageTooLarge: when what would be published is.
        Forbidden: for what its sender may not send.
    """
    kind = fields.get("type")
    if not isinstance(kind, str) or not 0 < len(kind) <= MAX_TYPE:
        raise InvalidMessage(f"'type' is to be a text of 1 to {MAX_TYPE} characters.")
    if kind in CONTRIBUTIONS:
        if not grant.may_contribute:
            raise Forbidden(f"Your token's role may not send '{kind}': a facilitator's may.")
        message = check_inbound(fields)
        if isinstance(message, Seen):
            refuse_what_the_relay_sets(fields)
            return Sighting(ref_of(fields), frozenset(message.hints))
        return Contribution.of(fields, message, who, now_s=now_s, max_bytes=max_bytes)  # type: ignore[arg-type]
    if not grant.may_publish:
        raise Forbidden(f"Your token's role may not publish '{kind}': an agent's may.")
    return _publishing(kind, fields, given_id, max_bytes)


def _publishing(
    kind: str, fields: dict[str, Any], given_id: str | None, max_bytes: int
) -> Publishing:
    if kind in RESERVED:
        raise InvalidMessage(f"'type': '{kind}' is said by relays only.")
    if kind == "append" or (kind == "hint" and fields.get("status") == "streaming"):
        raise InvalidMessage(
            "'status': a hint that grows needs somebody who looks after it: use the SDK, or "
            "publish.lua; over HTTP send it whole."
        )
    for name in SET_BY_REDIS:
        if name in fields:
            raise InvalidMessage(f"'{name}' is given by Redis: leave it out.")
    if fields.get("id") is None:
        fields = {**fields, "id": given_id or new_id()}
    message = check_message(fields, PUBLISHABLE.get(kind))
    payload = message.to_json()
    check_size(payload, max_bytes)
    message_id: str = fields["id"]
    return Publishing(message_id, payload, dedupe_id(message, message_id))
