"""Streaming hints in Redis: opened, grown, ended, and ended for a producer that died."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from relay.broker import keys
from relay.broker.broker import text
from relay.errors import BrokerError, BrokerUnavailable, InvalidMessage
from relay.position import Position

if TYPE_CHECKING:
    from relay.broker.broker import Broker
    from relay.messages import Append, Hint

LEASE_S = 7.0
"""How long a producer may be silent before its hint may be ended for it."""

# How long others leave a claimed lease alone: also how often one is looked at again.
_CLAIM_S = 2.0
_MAX_CLAIMED = 100


class Standing(StrEnum):
    """How a streaming hint stands."""

    STREAMING = "streaming"
    CANCELLING = "cancelling"
    """It grows, and a facilitator wants it to stop."""
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    """Redis knows less of it than it was told: open it anew."""

    @property
    def is_over(self) -> bool:
        """Tell whether nothing can be added any more."""
        return self in (Standing.COMPLETE, Standing.CANCELLED, Standing.INTERRUPTED)


class Step(NamedTuple):
    """What became of a part of a streaming hint.

    Attributes:
        position: of the newest part that Redis has; None when it is lost.
        new: whether this was published just now.
        standing: how the hint stands now.
    """

    position: Position | None
    new: bool
    standing: Standing


def utf16_length(value: str) -> int:
    """Return a text's length in UTF-16 code units, which is what ``at`` counts."""
    return len(value) if value.isascii() else len(value.encode("utf-16-le")) // 2


def escaped(value: str) -> bytes:
    """Return a text as it stands inside JSON quotes.

    Raises:
        InvalidMessage: for half a surrogate pair, which no UTF-8 can say.
    """
    try:
        return orjson.dumps(value)[1:-1]
    except TypeError:
        raise InvalidMessage("The text has half a surrogate pair; it can't be sent.") from None


class StreamingHints:
    """The streaming hints of all sessions; safe to use from many tasks at once.

    Every method raises as ``Broker``'s do. Each may be repeated when its outcome is unknown.

    Args:
        broker: talks to Redis.
        lease_s: how long a producer may be silent before its hint may be ended for it.
    """

    def __init__(self, broker: Broker, *, lease_s: float = LEASE_S) -> None:
        self._broker = broker
        self._lease_ms = round(lease_s * 1000)

    async def open(self, session: str, hint: Hint, *, anew: bool = False) -> Step:
        """Publish the beginning of a streaming hint.

        Args:
            session: a checked session id.
            hint: its status is "streaming"; its text what there is already.
            anew: Redis has lost it: everybody gets all the text so far.
        """
        # First: a hint without a lease would stream for ever if its producer died between the two.
        await self._lease("note", self._lease_ms, _member(session, hint.id))
        fields = hint.model_dump(exclude={"text", "status", "began"}, exclude_none=True)
        return await self._publish(
            session,
            hint.id,
            hint.to_json(),
            "reopen" if anew else "open",
            orjson.dumps(fields)[1:-1],
            escaped(hint.text),
            utf16_length(hint.text),
            self._lease_ms,
        )

    async def append(self, session: str, append: Append) -> Step:
        """Publish more text, and the end if there is a status.

        Args:
            session: a checked session id.
            append: ``at`` is the length of everything that was appended before: an append that Redis
                has already changes nothing, and one that it can't join on is ``LOST``.
        """
        at = append.at or 0
        return await self._publish(
            session,
            append.id,
            append.to_json(),
            "append",
            at,
            escaped(append.text),
            at + utf16_length(append.text),
            self._lease_ms,
            append.status or "",
        )

    async def renew(self, session: str, hint_id: str) -> Standing:
        """Say that the producer is alive, and learn how the hint stands."""
        return await self._touch(session, hint_id, "renew", self._lease_ms)

    async def request_cancel(self, session: str, hint_id: str) -> Standing:
        """Note that a facilitator wants the hint to stop: its producer learns it with its next step."""
        return await self._touch(session, hint_id, "cancel")

    async def ping(self) -> None:
        """Make sure that Redis answers."""
        await self._broker.ping()

    async def interrupt_abandoned(self) -> list[tuple[str, str]]:
        """End the hints whose producers died, each once whoever else does the same at the same time.

        Returns:
            Session and id of those that were ended by this very call.

        Raises:
            BrokerError: Redis refuses to end one; raised when there was no other to be ended.
        """
        interrupted = []
        refused: BrokerError | None = None
        for member in await self._lease("claim", round(_CLAIM_S * 1000), _MAX_CLAIMED):
            session, _, hint_id = text(member).partition(" ")
            beginning = orjson.dumps({"type": "append", "id": hint_id})[:-1] + b',"at":'
            try:
                step = await self._publish(session, hint_id, beginning, "expire")
            except BrokerUnavailable:
                raise
            except BrokerError as error:
                # It comes first again the next time, and must not keep all others from being ended.
                refused = error
                continue
            if step.new:
                interrupted.append((session, hint_id))
            if step.standing.is_over or step.standing is Standing.LOST:
                await self._lease("forget", round(_CLAIM_S * 1000), member)
        if refused is not None and not interrupted:
            raise refused
        return interrupted

    async def _publish(self, session: str, hint_id: str, message: bytes, *part: Any) -> Step:
        hint_key = keys.streaming_hint(session, hint_id)
        position, new, standing = await self._broker.run(
            "publish",
            keys=[
                keys.log(session), keys.meta(session), hint_key, hint_key,
                keys.streaming_text(session, hint_id),
            ],
            args=[keys.channel(session), message, *self._broker.limits, *part],
        )  # fmt: skip
        at = text(position)
        return Step(Position.parse(at) if at else None, bool(new), Standing(text(standing)))

    async def _touch(self, session: str, hint_id: str, *args: Any) -> Standing:
        standing = await self._broker.run(
            "touch", keys=[keys.streaming_hint(session, hint_id)], args=list(args)
        )
        return Standing(text(standing))

    async def _lease(self, *args: Any) -> list[bytes]:
        due: list[bytes] = await self._broker.run("leases", keys=[keys.LEASES], args=list(args))
        return due


def _member(session: str, hint_id: str) -> str:
    # A session id has no blanks.
    return f"{session} {hint_id}"
