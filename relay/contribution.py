"""What a facilitator has to say to a session, checked and ready to be published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from relay.errors import InvalidMessage, TextTooLong
from relay.messages import Command, check_size

if TYPE_CHECKING:
    from relay.identity import Identity
    from relay.messages import Feedback

MAX_STEER_CHARACTERS = 2000
_MAX_REF = 128

SET_BY_RELAY = {
    "by": "'by': The relay sets it, from who the connection is: leave it out.",
    "timestamp": "'timestamp': The relay sets it: leave it out.",
    "position": "'position': The relay sets it: leave it out.",
    "session": (
        "'session': It is the connection's, and a foreign session can't be reached from here: "
        "leave it out, or connect to the other one."
    ),
}


class Contribution(NamedTuple):
    """A feedback or a command on its way into the session.

    Attributes:
        ref: its sender's id.
        kind: its ``type``.
        hint: the hint that it names, which the session must have; None when it names none.
        cancels: whether that hint is to stop.
        payload: what is published.
        dedupe_id: what makes a repetition known as one.
    """

    ref: str
    kind: str
    hint: str | None
    cancels: bool
    payload: bytes
    dedupe_id: str

    @property
    def hints(self) -> frozenset[str]:
        """The hints that it names."""
        return frozenset() if self.hint is None else frozenset({self.hint})

    @classmethod
    def of(
        cls,
        fields: dict[str, Any],
        message: Feedback | Command,
        who: Identity,
        *,
        now_s: float,
        max_bytes: int,
    ) -> Contribution:
        """Check what no model can say, and make what is published; pure.

        Args:
            fields: the message as it came; unknown fields stay.
            message: the same, validated.
            who: its sender.
            now_s: seconds since the epoch, for its ``timestamp``.
            max_bytes: the largest publication.

        Raises:
            InvalidMessage: for what the relay sets itself, and for what is missing.
            TextTooLong: for a ``steer`` that is.
            MessageTooLarge: when what would be published is.
        """
        refuse_what_the_relay_sets(fields)
        if "id" not in fields:
            raise InvalidMessage("'id': Make one, and keep it for trying again: a UUID is fine.")
        if isinstance(message, Command):
            _check_command(message)
        rest = {name: value for name, value in fields.items() if name not in ("type", "id")}
        kind = message.type
        try:
            payload = orjson.dumps(
                {"type": kind, "id": message.id, "timestamp": now_s, **rest, "by": who.name}
            )
        except TypeError as error:
            # What can be read may still be nested too deep to be written.
            raise InvalidMessage(f"The message can't be written as JSON: {error}.") from None
        check_size(payload, max_bytes)
        # Who has another name on the next connection must be able to repeat itself there; the ids of
        # those who keep theirs can't be taken by others.
        owner = f"{who.name}:" if who.is_lasting else ""
        return cls(
            ref=message.id,
            kind=kind,
            hint=message.hint,
            cancels=isinstance(message, Command) and message.name == "cancel",
            payload=payload,
            dedupe_id=f"{kind}:{owner}{message.id}",
        )


class Sighting(NamedTuple):
    """Hints that somebody has seen.

    Attributes:
        ref: its sender's id when there was one.
        hints: their ids.
    """

    ref: str | None
    hints: frozenset[str]


def refuse_what_the_relay_sets(fields: dict[str, Any]) -> None:
    """Refuse a message that says what only the relay can.

    Raises:
        InvalidMessage: saying who sets it.
    """
    for name, why in SET_BY_RELAY.items():
        if name in fields:
            raise InvalidMessage(why)


def ref_of(fields: dict[str, Any]) -> str | None:
    """Return the id by which an answer can name a message; None when it has no usable one."""
    ref = fields.get("id")
    return ref if isinstance(ref, str) and 0 < len(ref) <= _MAX_REF else None


def _check_command(command: Command) -> None:
    if command.name == "cancel" and command.hint is None:
        raise InvalidMessage("'hint': Say which streaming hint is to stop.")
    if command.name == "steer":
        text = command.text or ""
        if not text.strip():
            raise InvalidMessage("'text': Say what the agent should do.")
        if len(text) > MAX_STEER_CHARACTERS:
            raise TextTooLong("text", len(text), MAX_STEER_CHARACTERS)
