"""What became of a hint."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers import HintPublisher, Receipt
from producers.receipts import fold_feedback
from relay.broker.broker import Broker
from relay.broker.presence import PresenceBoard
from relay.broker.receipts import REPORT, ReceiptBook
from relay.errors import UnknownHint
from relay.messages import Feedback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from relay.position import Position

_ACTIONS = get_args(Feedback.model_fields["action"].annotation)


@pytest.fixture
async def publisher(redis_url: str) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_url) as publisher:
        yield publisher


@pytest.fixture
async def broker(redis_url: str) -> AsyncIterator[Broker]:
    """What relays use."""
    async with Broker(redis_url) as broker:
        yield broker


async def _say(broker: Broker, session: str, hint: str, by: str, *actions: str) -> None:
    for action in actions:
        said = Feedback.model_validate(
            {"type": "feedback", "hint": hint, "action": action, "by": by}
        )
        await broker.publish(session, said.to_json(), said.id)


def _said(*words: str) -> list[Feedback]:
    return [
        Feedback.model_validate({"type": "feedback", "hint": "h", "action": action, "by": by})
        for by, action in (word.split() for word in words)
    ]


@pytest.mark.parametrize(
    ("said", "in_force"),
    [
        (_said(), {}),
        (_said("a used", "a dismissed"), {"a": {"dismissed"}}),
        (_said("a used", "a restored"), {}),
        (_said("a used", "a pinned", "a helpful"), {"a": {"used", "pinned", "helpful"}}),
        (_said("a helpful", "a unhelpful", "a unpinned"), {"a": {"unhelpful"}}),
        (_said("a used", "b used", "b restored", "b unrated"), {"a": {"used"}}),
        (_said("a used", "a unrated", "a unpinned"), {"a": {"used"}}),
    ],
)
def test_the_last_word_counts(said: list[Feedback], in_force: dict[str, set[str]]) -> None:
    """Of each kind somebody's last word counts, and what was taken back is not in force."""
    assert fold_feedback(said) == in_force


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(_ACTIONS))))
def test_at_most_one_of_a_kind(said: list[tuple[str, str]]) -> None:
    """Nobody has used and dismissed a hint, or found it helpful and not; nobody's word is another's."""
    folded = fold_feedback(_said(*(f"{by} {action}" for by, action in said)))
    for name, actions in folded.items():
        assert actions
        assert not {"used", "dismissed"} <= actions
        assert not {"helpful", "unhelpful"} <= actions
        mine = [f"{by} {action}" for by, action in said if by == name]
        assert fold_feedback(_said(*mine)) == {name: actions}


async def test_a_receipt(publisher: HintPublisher, broker: Broker, session_id: str) -> None:
    """It counts who was served up to the hint, names who saw it, and says what is in force."""
    book = ReceiptBook(broker)
    early = (await publisher.hint(session_id, "early")).position
    sent = await publisher.hint(session_id, "Breathe.", id="h-1")
    await book.note_delivered(session_id, {"a": sent.position, "b": early})
    await book.note_seen(session_id, {"h-1": {"a"}, "other": {"b"}})
    await _say(broker, session_id, "h-1", "a", "used", "helpful", "unrated")
    await _say(broker, session_id, "other", "b", "used")
    assert await publisher.receipt(session_id, "h-1") == Receipt(
        delivered=1, seen=frozenset({"a"}), acted={"a": frozenset({"used"})}
    )


async def test_a_streaming_hint(publisher: HintPublisher, broker: Broker, session_id: str) -> None:
    """A hint that grew counts from its beginning: its last piece need not have arrived."""
    async with publisher.stream_hint(session_id, id="h-1") as hint:
        began = hint.position
        for _ in range(5):
            await hint.append("x")
            await asyncio.sleep(0.05)
    assert hint.position != began
    assert began is not None
    await ReceiptBook(broker).note_delivered(session_id, {"a": began})
    assert (await publisher.receipt(session_id, "h-1")).delivered == 1


@pytest.mark.alone
async def test_relays_are_asked(publisher: HintPublisher, broker: Broker, session_id: str) -> None:
    """It asks the relays, and waits no longer than for all who are watching, or 0.2 s."""
    sent = await publisher.hint(session_id, "Breathe.", id="h-1")
    await PresenceBoard(broker).report(session_id, "relay-1", {"a"})
    asked = asyncio.Event()

    class Relay:
        def heard(self, payload: bytes) -> None:
            if payload == REPORT:
                asked.set()

        def live(self) -> None:
            listening.set()

        def closed(self) -> None:
            pass

    async def answer(position: Position) -> None:
        await asked.wait()
        await asyncio.sleep(0.05)
        await ReceiptBook(broker).note_delivered(session_id, {"a": position})

    listening = asyncio.Event()
    publisher._tap.attach(session_id, Relay())
    await listening.wait()
    began_s = time.monotonic()
    silent = await publisher.receipt(session_id, "h-1")
    assert silent.delivered == 0
    assert 0.2 <= time.monotonic() - began_s < 0.4
    asked.clear()
    answering = asyncio.create_task(answer(sent.position))
    began_s = time.monotonic()
    assert (await publisher.receipt(session_id, "h-1")).delivered == 1
    assert time.monotonic() - began_s < 0.19
    await answering


async def test_an_unknown_hint(publisher: HintPublisher, session_id: str) -> None:
    """A hint that the session does not have is an error that says so."""
    await publisher.hint(session_id, "h-1", id="h-2")
    with pytest.raises(UnknownHint, match="'h-1'"):
        await publisher.receipt(session_id, "h-1")
