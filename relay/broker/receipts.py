"""What became of hints: how far facilitators were served, and what they have seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from relay.broker import keys
from relay.broker.broker import text
from relay.position import Position

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relay.broker.broker import Broker

REPORT = b'{"type":"report"}'
"""Published live to a session: its relays write down how far they have served whom; see PROTOCOL.md."""


class ReceiptBook:
    """Receipts, as all workers write them down; safe to use from many tasks at once.

    Every method raises as ``Broker``'s do. Writing something again changes nothing.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def ask_for_reports(self, session: str) -> int:
        """Ask all relays to write down how far they have served whom; returns how many were asked."""
        return await self._broker.publish_live(keys.channel(session), REPORT)

    async def note_delivered(self, session: str, positions: Mapping[str, Position]) -> None:
        """Note the newest position that was written to each facilitator's connection.

        Who is served by several relays, or has come to another one, is noted where it is furthest.
        """
        if not positions:
            return
        written = [part for name, position in positions.items() for part in (name, str(position))]
        await self._broker.run(
            "delivered",
            keys=[keys.delivered(session)],
            args=[self._broker.limits.log_ttl_ms, *written],
        )

    async def note_seen(self, session: str, names: Mapping[str, set[str]]) -> None:
        """Note who has seen which hints: names by hint id."""
        ttl_ms = self._broker.limits.log_ttl_ms
        async with (
            self._broker.bounded(),
            self._broker.redis.pipeline(transaction=False) as pipeline,
        ):
            for hint_id, seen_by in names.items():
                key = keys.seen(session, hint_id)
                pipeline.sadd(key, *seen_by)
                pipeline.pexpire(key, ttl_ms)
            await pipeline.execute()

    async def delivered(self, session: str) -> dict[str, Position]:
        """Return how far each facilitator was served, as far as it was written down."""
        async with self._broker.bounded():
            positions = await self._broker.redis.hgetall(keys.delivered(session))
        return {text(name): Position.parse(text(at)) for name, at in positions.items()}

    async def seen(self, session: str, hint_id: str) -> set[str]:
        """Return who has seen a hint."""
        async with self._broker.bounded():
            names = await self._broker.redis.smembers(keys.seen(session, hint_id))
        return {text(name) for name in names}
