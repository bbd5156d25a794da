"""The fault matrix in its short form; ``make faults`` runs the long one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from relay.position import Position
from tests.faults.checker import Ledger, Violation, Witness
from tests.faults.long_hint import run_long_hint
from tests.faults.runner import run
from tests.faults.scenarios import SCENARIOS
from tests.faults.world import SHORT

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("name", SCENARIOS)
async def test_exactly_once_in_order(name: str, figure: Callable[[str], None]) -> None:
    """Every client gets all that was acknowledged, once and in order, or is told that it can't."""
    outcome = await run(name, SHORT, seed=1)
    assert outcome.received >= outcome.published, "hardly anybody was there"
    figure(
        f"{name}: {outcome.published} published, {outcome.received} received over "
        f"{outcome.connects} connections, {outcome.resumed} resumed, {outcome.told} told"
    )


async def test_a_long_streaming_hint(figure: Callable[[str], None]) -> None:
    """Who comes late, comes back or loses the relay has the same text, in few bytes and messages."""
    watchers = await run_long_hint(tokens=2_000, per_s=250)
    for seen in watchers:
        figure(str(seen))


def _hello(position: str | None, recovered: bool | None, snapshot: int = 0) -> dict[str, object]:
    return {
        "type": "connection", "position": position, "recovered": recovered, "snapshot": snapshot
    }  # fmt: skip


def _hint(offset: int, message_id: str = "") -> dict[str, object]:
    return {"type": "hint", "position": f"7-{offset}", "id": message_id or f"m{offset}"}


def _ledger(count: int) -> Ledger:
    ledger = Ledger()
    for offset in range(1, count + 1):
        ledger.acknowledge("s", f"m{offset}", Position(7, offset))
    return ledger


def _witness(*messages: dict[str, object]) -> Witness:
    witness = Witness("s", "client")
    for message in messages:
        witness.take(message)
    return witness


def test_the_checker_accepts_what_is_right() -> None:
    """A snapshot, live messages and a resume that hold together are no violation."""
    witness = _witness(
        _hello("7-2", None, 2), _hint(1), _hint(2), _hint(3), _hello("7-4", True), _hint(4)
    )
    witness.final_check(_ledger(4))


@pytest.mark.parametrize(
    "messages",
    [
        [_hello("7-1", None, 1), _hint(1), _hint(3)],
        [_hello("7-1", None, 1), _hint(1), _hint(1)],
        [_hello("7-2", None, 2), _hint(2), _hint(1)],
        [_hello("7-1", None, 1), _hint(1), _hello("7-3", True), _hint(3)],
        [_hello("7-1", None, 1), _hint(1), _hello("7-1", None, 1)],
        [_hello("7-1", None, 1), _hint(1), {"type": "heartbeat", "position": "7-2"}],
        [_hello(None, None), _hint(2)],
    ],
    ids=["gap", "twice", "out of order", "gap over a resume", "unanswered", "behind", "no start"],
)
def test_the_checker_finds(messages: list[dict[str, object]]) -> None:
    """Each kind of broken promise is found at the message that breaks it."""
    with pytest.raises(Violation):
        _witness(*messages)


@pytest.mark.parametrize(
    "messages",
    [
        [_hello("7-2", None, 2), _hint(1), _hint(2)],
        [_hello("7-3", None, 3), _hint(1), _hint(2)],
        [_hello("7-3", None, 2), _hint(1), _hint(3)],
        [_hello("7-3", None, 3), _hint(1), _hint(2, "other"), _hint(3)],
    ],
    ids=["tail missing", "snapshot broken off", "hole in the snapshot", "another message"],
)
def test_the_checker_finds_at_the_end(messages: list[dict[str, object]]) -> None:
    """What never arrived is found when everything is quiet."""
    with pytest.raises(Violation):
        _witness(*messages).final_check(_ledger(3))
