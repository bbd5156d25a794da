"""The messages on the wire: one model for each ``type``.

Producers and facilitators are checked against these before anything is published; publications on
their way to a facilitator are forwarded as they are and never pass through here. Unknown fields are
kept: the format is extensible. ``tests/golden/messages.json`` holds these models and the page's
schemas together.
"""

from __future__ import annotations

import hashlib
import time
from typing import Annotated, Any, Literal, TypeVar
from uuid import uuid4

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from relay.errors import InvalidMessage, MessageTooLarge

# Room for any id scheme (UUID, ULID, a provider's own), and small enough for a part of a Redis key.
MessageId = Annotated[str, Field(min_length=1, max_length=128)]
# Seconds since the epoch. JSON has no NaN, and a hint from before 1970 is a mistake.
Timestamp = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _whole(value: object) -> object:
    """Return 5 for 5.0, which JSON does not tell apart, and everything else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def new_id() -> str:
    """Return a fresh message id."""
    return str(uuid4())


class Message(BaseModel):
    """What all messages share: they are JSON objects with a ``type``, and unknown fields stay."""

    # Strict: "5" is not a number and 5 is not a text; a producer that mixes them up wants to know.
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    # First here, so that it is the first field of the JSON too.
    type: str
    # Where it stands in its session's log, in what is read from there; Redis gives it.
    position: str | None = None

    def to_json(self) -> bytes:
        """Return the message as one line of JSON, without the fields that are not set.

        Raises:
            InvalidMessage: when a field of the caller's own holds what JSON can't.
        """
        try:
            return orjson.dumps(self.model_dump(exclude_none=True))
        except TypeError as error:
            raise InvalidMessage(f"The message can't be written as JSON: {error}.") from None


class _Published(Message):
    """A message that is kept: it gets an id and a time where its producer gave none."""

    id: MessageId = Field(default_factory=new_id)
    timestamp: Timestamp = Field(default_factory=time.time)


class Hint(_Published):
    """A hint for the facilitator.

    ``began`` is the position at which a streaming hint first appeared; the script that replaces its
    pieces by the text so far says it.
    """

    type: Literal["hint"] = "hint"
    text: str
    status: Literal["streaming", "complete", "cancelled", "interrupted"] | None = None
    priority: Literal["low", "normal", "high"] | None = None
    category: str | None = None
    source: str | None = None
    reply_to: str | None = None
    expires_at: Timestamp | None = None
    meta: dict[str, Any] | None = None
    began: str | None = None


class Append(Message):
    """Text that is added to the end of a streaming hint; the last one carries ``status``.

    ``at`` is the length of the text that it continues, in UTF-16 code units.
    """

    type: Literal["append"] = "append"
    id: MessageId
    at: Annotated[int, Field(ge=0)] | None = None
    text: str
    status: Literal["complete", "cancelled", "interrupted"] | None = None


class Transcript(_Published):
    """What was said, and by whom; ``final=False`` is an interim result with the final one's id."""

    type: Literal["transcript"] = "transcript"
    text: str
    speaker: str | None = None
    final: bool | None = None


class Feedback(_Published):
    """What a facilitator did with a hint, or took back."""

    type: Literal["feedback"] = "feedback"
    hint: MessageId
    action: Literal[
        "used", "dismissed", "restored", "helpful", "unhelpful", "unrated", "pinned", "unpinned"
    ]
    by: str | None = None


class Command(_Published):
    """What a facilitator wants of the agent."""

    type: Literal["command"] = "command"
    name: Literal["cancel", "steer"]
    hint: MessageId | None = None
    text: str | None = None
    by: str | None = None


class Seen(Message):
    """Hints that were on a facilitator's visible screen for a second."""

    type: Literal["seen"] = "seen"
    hints: Annotated[list[MessageId], Field(min_length=1, max_length=100)]


class Presence(Message):
    """Who is watching; never kept."""

    type: Literal["presence"] = "presence"
    facilitators: Annotated[int, Field(ge=0)]
    who: list[str] | None = None


class Error(Message):
    """Something went wrong, said to people; from the relay or from an agent.

    Relays and the SDK always set ``code``; a hand-written one may lack it.
    """

    type: Literal["error"] = "error"
    text: str
    id: MessageId | None = None
    code: str | None = None
    ref: str | None = None
    retry_after_ms: Annotated[int, Field(ge=0), BeforeValidator(_whole)] | None = None


class Connection(Message):
    """The first message on a connection, and again when the session's log was lost.

    ``recovered`` is True when everything since the client's position follows, False when some of it
    is gone, None when the client asked for nothing. Unless it is True, ``snapshot`` messages follow;
    when they have all arrived, the client's position is ``position``. ``you`` is who the client is to
    others. ``role`` and ``expires_at`` (seconds since the epoch) are its token's.
    """

    type: Literal["connection"] = "connection"
    status: Literal["connected"] = "connected"
    session: str
    position: str | None
    recovered: bool | None
    snapshot: Annotated[int, Field(ge=0)] = 0
    heartbeat_s: Annotated[float, Field(gt=0)]
    you: str | None = None
    role: str | None = None
    expires_at: float | None = None

    def to_json(self) -> bytes:
        """Return the message as JSON; null is a value here, but not of who the client is."""
        fields = self.model_dump()
        for name in ("you", "role", "expires_at"):
            if fields[name] is None:
                del fields[name]
        return orjson.dumps(fields)


class Heartbeat(Message):
    """Sent in silence: a client that is behind ``position`` has missed something."""

    type: Literal["heartbeat"] = "heartbeat"
    position: str | None

    def to_json(self) -> bytes:
        """Return the message as JSON; null is a value here, so no field is left out."""
        return orjson.dumps(self.model_dump())


class Ack(Message):
    """The client's own message ``ref`` has been published at ``position``."""

    type: Literal["ack"] = "ack"
    ref: str
    position: str


class Drain(Message):
    """The relay is about to stop: this very connection comes back after the delay."""

    type: Literal["drain"] = "drain"
    reconnect_after_ms: Annotated[int, Field(ge=0)]


class Ping(Message):
    """A client asks for a heartbeat."""

    type: Literal["ping"] = "ping"


class Refresh(Message):
    """A client shows a newer token, so that its connection outlives the one that it came with."""

    type: Literal["refresh"] = "refresh"
    token: str


class Refreshed(Message):
    """The newer token is taken; ``expires_at`` is in seconds since the epoch."""

    type: Literal["refreshed"] = "refreshed"
    expires_at: float
    role: str


AnyMessage = (
    Hint | Append | Transcript | Feedback | Command | Seen | Presence | Error | Connection
    | Heartbeat | Ack | Drain | Ping | Refresh | Refreshed
)  # fmt: skip

# What a producer may publish, and what a facilitator may send.
Publishable = Hint | Append | Transcript | Error
Inbound = Feedback | Command | Seen | Ping | Refresh

_M = TypeVar("_M")

_ANY: TypeAdapter[AnyMessage] = TypeAdapter(Annotated[AnyMessage, Field(discriminator="type")])
_INBOUND: TypeAdapter[Inbound] = TypeAdapter(Annotated[Inbound, Field(discriminator="type")])


def parse_message(data: bytes | str) -> AnyMessage:
    """Read one message of any known type.

    Raises:
        InvalidMessage: for text that is not a JSON object, an unknown type, or a wrong field.
    """
    return _validated(_ANY, parse_object(data))


def parse_inbound(data: bytes | str) -> Inbound:
    """Read what a facilitator sent.

    Raises:
        InvalidMessage: as ``parse_message``, and for types that only a relay or producer may send.
    """
    return check_inbound(parse_object(data))


def check_inbound(fields: dict[str, Any]) -> Inbound:
    """Do what ``parse_inbound`` does with a message whose JSON has been read."""
    return _validated(_INBOUND, fields)


def check_message(fields: dict[str, Any], kind: type[Message] | None = None) -> Message:
    """Return what a producer publishes, with an id and a time where its kind has them and it does not.

    Args:
        fields: the message as it came.
        kind: its model; None for a type of the producer's own.

    Raises:
        InvalidMessage: naming the field that breaks its rule.
    """
    try:
        return (kind or _Published).model_validate(fields)
    except ValidationError as error:
        raise explain(error) from None


def dedupe_id(message: Message, message_id: str) -> str:
    """Return what makes this publication the same as another one: its type and its id.

    An interim transcript, its successors and the final one share an id and are all published; the
    same text again is the same version.
    """
    if isinstance(message, Transcript) and message.final is not None:
        version = f"{message.final} {message.speaker} {message.text}".encode()
        return f"transcript:{message_id}:{hashlib.blake2b(version, digest_size=12).hexdigest()}"
    return f"{message.type}:{message_id}"


def check_size(payload: bytes, max_bytes: int) -> None:
    """Refuse a payload with more than ``max_bytes`` bytes.

    Raises:
        MessageTooLarge: with both sizes.
    """
    if len(payload) > max_bytes:
        raise MessageTooLarge(len(payload), max_bytes)


def parse_object(data: bytes | str) -> dict[str, Any]:
    """Read a JSON object, of whatever type.

    Raises:
        InvalidMessage: for anything else.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(f"The message is not JSON: {error.msg}.") from None
    if not isinstance(value, dict):
        raise InvalidMessage("The message is not a JSON object.")
    return value


def _validated(adapter: TypeAdapter[_M], value: dict[str, Any]) -> _M:
    if not isinstance(value.get("type", ""), str):
        # pydantic would write it down for its report, and fail on stderr where it is nested too deep.
        raise InvalidMessage("'type': Input should be a text.")
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise explain(error) from None


def explain(error: ValidationError) -> InvalidMessage:
    """Turn pydantic's report into one sentence that names the field and shows no values."""
    first = error.errors(include_url=False, include_input=False, include_context=True)[0]
    match first["type"]:
        case "union_tag_not_found":
            return InvalidMessage("The message has no 'type'.")
        case "union_tag_invalid":
            expected = first["ctx"]["expected_tags"]
            return InvalidMessage(f"Unknown 'type'; known here: {expected}.")
        case _:
            # The first part of the path is the discriminator's value when there is one.
            path = [str(part) for part in first["loc"]]
            known = set(_TYPE_NAMES)
            field = ".".join(path[1:] if path and path[0] in known else path)
            return InvalidMessage(f"'{field}': {first['msg']}.")


_TYPE_NAMES = (
    "hint", "append", "transcript", "feedback", "command", "seen", "presence", "error",
    "connection", "heartbeat", "ack", "drain", "ping", "refresh", "refreshed",
)  # fmt: skip
