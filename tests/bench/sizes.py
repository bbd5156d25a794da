"""How large each shape is: in full, and for a quick look."""

from __future__ import annotations

from typing import NamedTuple


class Sizes(NamedTuple):
    """Numbers of clients and messages, rates per second, times in seconds.

    Attributes:
        rounds: how often every shape is measured, unless it is one that takes long.
        long_rounds: how often idle, storm and slow are.
        warm_up_s: how long a paced shape runs before it counts.
        wide_readers: clients of the one session.
        wide_per_s: publications per second, paced.
        wide_paced_s: for how long.
        wide_saturated: publications, as fast as it goes; each contender gets its share of them.
        narrow_sessions: sessions with one client each.
        narrow_per_s: publications per second over all of them, paced.
        narrow_paced_s: for how long.
        narrow_saturated: publications over all of them, as fast as it goes.
        handshake_sessions: sessions that are joined …
        handshake_joins: … this often each.
        handshake_missed: messages that each join recovers, where that is measured.
        idle_few: clients with which the memory is first looked at …
        idle_many: … and then.
        idle_watched_s: for how long the CPU of doing nothing is measured.
        storm_clients: clients that are reset at once.
        storm_per_session: how many of them share a session.
        storm_per_s: publications per second meanwhile, over all sessions.
        slow_readers: clients beside the slow one.
        slow_per_s: publications per second.
        slow_text_bytes: how long each text is.
        slow_s: how long latencies are taken, with and without the slow one.
        stalled: slow clients of which the memory is measured.
        stalled_bytes: how much each of them is behind.
        hold_clients: connections that are held …
        hold_s: … for so long.
    """

    rounds: int
    long_rounds: int
    warm_up_s: float
    wide_readers: int
    wide_per_s: int
    wide_paced_s: float
    wide_saturated: int
    narrow_sessions: int
    narrow_per_s: int
    narrow_paced_s: float
    narrow_saturated: int
    handshake_sessions: int
    handshake_joins: int
    handshake_missed: int
    idle_few: int
    idle_many: int
    idle_watched_s: float
    storm_clients: int
    storm_per_session: int
    storm_per_s: int
    slow_readers: int
    slow_per_s: int
    slow_text_bytes: int
    slow_s: float
    stalled: int
    stalled_bytes: int
    hold_clients: int
    hold_s: float


FULL = Sizes(
    rounds=5,
    long_rounds=3,
    warm_up_s=1.0,
    wide_readers=500,
    wide_per_s=50,
    wide_paced_s=4.0,
    wide_saturated=20_000,
    narrow_sessions=1000,
    narrow_per_s=1000,
    narrow_paced_s=4.0,
    narrow_saturated=20_000,
    handshake_sessions=20,
    handshake_joins=50,
    handshake_missed=5,
    idle_few=500,
    idle_many=10_000,
    idle_watched_s=10.0,
    storm_clients=5000,
    storm_per_session=5,
    storm_per_s=500,
    slow_readers=500,
    slow_per_s=50,
    slow_text_bytes=1000,
    slow_s=5.0,
    stalled=200,
    stalled_bytes=8_000_000,
    hold_clients=19_000,
    hold_s=300.0,
)

QUICK = FULL._replace(
    rounds=2,
    long_rounds=1,
    warm_up_s=0.3,
    wide_paced_s=1.5,
    wide_saturated=10_000,
    narrow_paced_s=1.5,
    narrow_saturated=5000,
    handshake_joins=20,
    idle_few=200,
    idle_many=2000,
    idle_watched_s=0.0,
    storm_clients=1000,
    hold_clients=2000,
    hold_s=25.0,
)
