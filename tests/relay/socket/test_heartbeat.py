"""The one timer, turned by hand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.socket.heartbeat import Heartbeat

if TYPE_CHECKING:
    from collections.abc import Callable

TICKS = 100
"""How many ticks make an interval; the first test holds this."""


class Visited:
    """Counts its visits, and does something at each."""

    def __init__(self, do: Callable[[], None] | None = None) -> None:
        self.slot = 0
        self.beats = 0
        self._do = do

    def beat(self) -> None:
        self.beats += 1
        if self._do is not None:
            self._do()


def _turn(heartbeat: Heartbeat, ticks: int = TICKS) -> None:
    for _ in range(ticks):
        heartbeat.tick()


@pytest.mark.parametrize("before", [0, 1, 50, 99, 100, 250])
def test_once_an_interval(before: int) -> None:
    """Whenever it was added, it is visited first after a whole interval, then once in each."""
    heartbeat = Heartbeat(1.0)
    _turn(heartbeat, before)
    one = Visited()
    heartbeat.add(one)
    _turn(heartbeat, TICKS - 1)
    assert one.beats == 0
    for interval in range(1, 4):
        heartbeat.tick()
        assert one.beats == interval
        _turn(heartbeat, TICKS - 1)
        assert one.beats == interval


@settings(max_examples=50)
@given(st.lists(st.integers(0, 30), max_size=80))
def test_everybody_exactly_once(pauses: list[int]) -> None:
    """However they came, each is visited exactly once in an interval."""
    heartbeat = Heartbeat(1.0)
    all_of_them = []
    for pause in pauses:
        _turn(heartbeat, pause)
        one = Visited()
        heartbeat.add(one)
        all_of_them.append(one)
    before = [one.beats for one in all_of_them]
    _turn(heartbeat)
    assert [one.beats for one in all_of_them] == [beats + 1 for beats in before]


def test_visits_are_spread() -> None:
    """Those who come at different times are visited at different times: never all at once."""
    heartbeat = Heartbeat(1.0)
    many = [Visited() for _ in range(10 * TICKS)]
    for index, one in enumerate(many):
        heartbeat.add(one)
        if index % 10 == 9:
            heartbeat.tick()
    for _ in range(TICKS):
        before = sum(one.beats for one in many)
        heartbeat.tick()
        assert sum(one.beats for one in many) - before <= 10


def test_discarding() -> None:
    """Who was discarded is visited no more; a second time, or without ever having come, is fine."""
    heartbeat = Heartbeat(1.0)
    one, other, stranger = Visited(), Visited(), Visited()
    heartbeat.add(one)
    heartbeat.add(other)
    heartbeat.discard(one)
    heartbeat.discard(one)
    heartbeat.discard(stranger)
    _turn(heartbeat)
    assert (one.beats, other.beats, stranger.beats) == (0, 1, 0)


def test_adding_twice() -> None:
    """A second ``add`` of the same is no second visit."""
    heartbeat = Heartbeat(1.0)
    one = Visited()
    heartbeat.add(one)
    heartbeat.add(one)
    _turn(heartbeat)
    assert one.beats == 1


def test_leaving_during_the_own_visit() -> None:
    """A visit may end the visited; the others of its part are still visited."""
    heartbeat = Heartbeat(1.0)
    leaver = Visited(lambda: heartbeat.discard(leaver))
    others = [Visited() for _ in range(20)]
    for one in (*others[:10], leaver, *others[10:]):
        heartbeat.add(one)
    _turn(heartbeat, 3 * TICKS)
    assert leaver.beats == 1
    assert [one.beats for one in others] == [3] * 20


def test_discarding_others_during_a_visit() -> None:
    """Who is discarded by a visit is not visited after it, also not in the same tick."""
    heartbeat = Heartbeat(1.0)
    first: list[Visited] = []

    def send_the_others_away() -> None:
        for one in pair:
            if one.beats == 0:
                heartbeat.discard(one)
            else:
                first.append(one)

    pair = [Visited(send_the_others_away), Visited(send_the_others_away)]
    for one in pair:
        heartbeat.add(one)
    _turn(heartbeat)
    assert len(first) == 1
    assert sorted(one.beats for one in pair) == [0, 1]


def test_a_visit_that_fails() -> None:
    """One that raises keeps nobody else from being visited, and is visited again."""

    def fail() -> None:
        raise RuntimeError("broken")

    heartbeat = Heartbeat(1.0)
    everybody = [Visited(), Visited(fail), Visited()]
    for one in everybody:
        heartbeat.add(one)
    _turn(heartbeat, 2 * TICKS)
    assert [one.beats for one in everybody] == [2, 2, 2]


def test_adding_during_a_visit() -> None:
    """Who comes during a visit is visited after a whole interval."""
    heartbeat = Heartbeat(1.0)
    late = Visited()
    early = Visited(lambda: heartbeat.add(late) if early.beats == 1 else None)
    heartbeat.add(early)
    _turn(heartbeat)
    assert (early.beats, late.beats) == (1, 0)
    _turn(heartbeat)
    assert (early.beats, late.beats) == (2, 1)


async def test_running() -> None:
    """``run`` ticks by itself until it is cancelled."""
    heartbeat = Heartbeat(0.02)
    one = Visited()
    heartbeat.add(one)
    running = asyncio.create_task(heartbeat.run())
    async with asyncio.timeout(10):
        while one.beats < 3:
            await asyncio.sleep(0.001)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


def test_a_loop_that_was_held_up() -> None:
    """After a halt of many intervals nobody is visited again and again to make up for it."""
    heartbeat = Heartbeat(10.0)
    one = Visited()
    heartbeat.add(one)
    clock = ManualClock(heartbeat)
    try:
        clock.run_ticks(5)
        clock.now_s += 1000.0
        clock.run_ticks(TICKS)
    finally:
        clock.close()
    assert one.beats <= 2


class ManualClock:
    """Runs a heartbeat in a loop whose time is set by hand."""

    def __init__(self, heartbeat: Heartbeat) -> None:
        self.now_s = 0.0
        self._ticks = 0
        self._tick = heartbeat.tick
        heartbeat.tick = self._count  # type: ignore[method-assign]
        self._loop = asyncio.new_event_loop()
        self._loop.time = lambda: self.now_s  # type: ignore[method-assign]
        self._task = self._loop.create_task(heartbeat.run())

    def run_ticks(self, count: int) -> None:
        """Let the time go on, in steps shorter than a tick, until it has ticked so often."""
        until = self._ticks + count
        for _ in range(100 * count):
            if self._ticks >= until:
                return
            self._loop.call_soon(self._loop.stop)
            self._loop.run_forever()
            self.now_s += 0.01
        raise AssertionError("it does not tick")

    def close(self) -> None:
        """Stop."""
        self._task.cancel()
        self._loop.run_until_complete(asyncio.gather(self._task, return_exceptions=True))
        self._loop.close()

    def _count(self) -> None:
        self._ticks += 1
        self._tick()
