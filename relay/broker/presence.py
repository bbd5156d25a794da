"""Who is watching a session, over all relays."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import orjson

from relay.broker import keys

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from relay.broker.broker import Broker

# More are only counted.
_MAX_NAMES = 64


class Watching(NamedTuple):
    """Who is watching a session now.

    Attributes:
        facilitators: how many.
        message: the presence message that says so.
        told: whether this call has told everybody, because it had changed.
    """

    facilitators: int
    message: bytes
    told: bool


class PresenceBoard:
    """Who is watching, as all workers write it down; safe to use from many tasks at once.

    Every method raises as ``Broker``'s do.

    Args:
        broker: talks to Redis.
        holds_s: how long what a worker says holds; it must say it again before.
    """

    def __init__(self, broker: Broker, *, holds_s: float = 9.0) -> None:
        self._broker = broker
        self._holds_ms = round(holds_s * 1000)

    async def report(self, session: str, worker: str, names: Collection[str]) -> Watching:
        """Say who is watching on one worker, instead of what it said before; then as ``look``.

        Args:
            session: a checked session id.
            worker: the worker's unique name.
            names: of its facilitators, each once; empty when nobody is left.
        """
        return (await self.report_all(worker, [(session, names)]))[0]

    async def report_all(
        self, worker: str, reports: Sequence[tuple[str, Collection[str]]]
    ) -> list[Watching]:
        """Do what ``report`` does for several sessions, in one round trip.

        When this raises, some of it may have been done; reporting it again does no harm.
        """
        return await self._run(
            [
                (session, worker, len(names), b"\n".join(map(orjson.dumps, _listed(names))))
                for session, names in reports
            ]
        )

    async def look(self, session: str) -> Watching:
        """Return who is watching; what a worker that died had said is struck out, and told."""
        return (await self._run([(session, "", 0, b"")]))[0]

    async def _run(self, reports: Sequence[tuple[str, str, int, bytes]]) -> list[Watching]:
        answers = await self._broker.run_all(
            "presence",
            [
                (
                    [keys.presence(session)],
                    [keys.channel(session), *said, self._holds_ms, _MAX_NAMES],
                )
                for session, *said in reports
            ],
        )
        return [
            Watching(facilitators, message, bool(told)) for facilitators, message, told in answers
        ]


def _listed(names: Collection[str]) -> Sequence[str]:
    return sorted(names)[:_MAX_NAMES]
