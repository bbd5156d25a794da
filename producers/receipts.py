"""What became of a hint: who got it, who has seen it, and what they did with it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import orjson

from producers.news import read_message
from relay.broker.presence import PresenceBoard
from relay.broker.receipts import ReceiptBook
from relay.errors import UnknownHint
from relay.messages import Feedback, Hint
from relay.position import Position

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from relay.broker.broker import Broker

# Relays write down whom they served when they are asked; one that takes longer is not waited for.
_REPORTS_S = 0.2
_LOOK_EVERY_S = 0.02


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a hint, as far as is known now.

    Attributes:
        delivered: to how many facilitators it was sent.
        seen: the names of those who had it on a visible screen for a second.
        acted: what is in force now of what facilitators did with it, by their names: "used" or
            "dismissed", "helpful" or "unhelpful", "pinned". Who has taken everything back is not in.
    """

    delivered: int
    seen: frozenset[str]
    acted: Mapping[str, frozenset[str]]


# Of each kind somebody's last word counts; None takes the kind back.
_KINDS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "used": ("use", "used"),
        "dismissed": ("use", "dismissed"),
        "restored": ("use", None),
        "helpful": ("rating", "helpful"),
        "unhelpful": ("rating", "unhelpful"),
        "unrated": ("rating", None),
        "pinned": ("pin", "pinned"),
        "unpinned": ("pin", None),
    }
)


def fold_feedback(feedback: Iterable[Feedback]) -> dict[str, frozenset[str]]:
    """Return what is in force of what was said about one hint, by who said it; the oldest comes first.

    Feedback without a name, which no relay publishes, is nobody's and passed over.
    """
    last: dict[str, dict[str, str | None]] = {}
    for one in feedback:
        if one.by is not None:
            kind, action = _KINDS[one.action]
            last.setdefault(one.by, {})[kind] = action
    in_force = {
        name: frozenset(action for action in kinds.values() if action is not None)
        for name, kinds in last.items()
    }
    return {name: actions for name, actions in in_force.items() if actions}


async def read_receipt(broker: Broker, session: str, hint_id: str) -> Receipt:
    """Ask the relays, and read what became of a hint; takes at most some 0.2 s more than Redis.

    Raises:
        UnknownHint: the session's log has no such hint.
        BrokerUnavailable, BrokerError: as ``Broker``'s methods do.
    """
    book = ReceiptBook(broker)
    began, feedback = await _read_log(broker, session, hint_id)
    asked = await book.ask_for_reports(session)
    watching = await PresenceBoard(broker).look(session)
    names = set(orjson.loads(watching.message).get("who") or ())
    loop = asyncio.get_running_loop()
    until_s = loop.time() + _REPORTS_S
    while True:
        positions = await book.delivered(session)
        served = {name for name, position in positions.items() if position >= began}
        # All who are watching have it: no relay has more to tell.
        is_complete = 0 < watching.facilitators == len(names) and names <= served
        if not asked or is_complete or loop.time() >= until_s:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    seen = await book.seen(session, hint_id)
    return Receipt(len(served), frozenset(seen), MappingProxyType(fold_feedback(feedback)))


async def _read_log(broker: Broker, session: str, hint_id: str) -> tuple[Position, list[Feedback]]:
    """Return where a hint first appeared, and what was said about it."""
    began: Position | None = None
    feedback: list[Feedback] = []
    quoted = orjson.dumps(hint_id)
    for publication in (await broker.read(session)).publications:
        # Other writers of JSON may escape what is not ASCII.
        if hint_id.isascii() and quoted not in publication.payload:
            continue
        match read_message(publication.payload):
            case Hint(id=id_) as hint if id_ == hint_id and began is None:
                began = Position.parse(hint.began) if hint.began else publication.position
            case Feedback(hint=about) as one if about == hint_id:
                feedback.append(one)
    if began is None:
        raise UnknownHint(session, hint_id)
    return began, feedback
