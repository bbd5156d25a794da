"""Runs one scenario from beginning to end, and tells what it saw."""

from __future__ import annotations

from typing import NamedTuple

from tests.faults.checker import Violation
from tests.faults.scenarios import FLAGS, LOSES, SCENARIOS
from tests.faults.world import Size, World

# The rings of twenty sessions, full, with their frames and events; and the allocator's slack, which is
# what all who caught up at once in a burst have held for that moment, each its stretch of the log.
_MOST_GROWTH_MIB = 32.0


class Outcome(NamedTuple):
    """What one scenario saw; that it returned at all means that nothing was wrong.

    Attributes:
        published: messages that were acknowledged, pieces of streaming hints not counted.
        received: kept messages that clients took.
        connects: connections that they made.
        resumed: of those, the ones that went on exactly where they were.
        told: how often one was told that history is gone.
        streamed: hints that grew to their end.
        acts: what facilitators did with hints.
        anew: how often a client met a piece of a hint whose beginning it lacked, and began anew.
        growth_mib: how much the largest relay grew.
    """

    published: int
    received: int
    connects: int
    resumed: int
    told: int
    streamed: int
    acts: int
    anew: int
    growth_mib: float


async def run(name: str, size: Size, seed: int) -> Outcome:
    """Run a scenario.

    Raises:
        Violation: something was lost, doubled, out of order, leaked, or not told; names the client.
    """
    async with World(size, seed, *FLAGS.get(name, ())) as world:
        before = world.resident_mib()
        pids = [relay.pid for relay in world.relays]
        await SCENARIOS[name](world)
        await world.quiesce()
        if name not in LOSES and world.told:
            raise Violation(f"{world.told} times a client was told of a loss, and nothing was lost")
        _check_streams(world, loses=name in LOSES)
        after_all = world.resident_mib()
        growth = max(
            (
                after - earlier
                for after, earlier, relay, pid in zip(
                    after_all, before, world.relays, pids, strict=True
                )
                # A relay that was killed began anew.
                if relay.pid == pid
            ),
            default=0.0,
        )
        if growth > _MOST_GROWTH_MIB:
            raise Violation(f"a relay grew by {growth:.1f} MiB")
        await world.leave()
        return Outcome(
            published=world.ledger.count,
            received=sum(client.witness.received for client in world.clients),
            connects=sum(client.connects for client in world.clients),
            resumed=sum(client.witness.resumed for client in world.clients),
            told=world.told,
            streamed=sum(agent.completed for agent in world.agents),
            acts=sum(client.said - len(client.unacknowledged) for client in world.clients),
            anew=sum(client.witness.anew for client in world.clients),
            growth_mib=growth,
        )


def _check_streams(world: World, *, loses: bool) -> None:
    """Look at what streamed, and at what facilitators said, over all sessions."""
    if not any(agent.completed for agent in world.agents):
        raise Violation("no hint was streamed to its end")
    if not any(client.said for client in world.clients):
        raise Violation("no facilitator said anything")
    if loses:
        return
    for client in world.clients:
        if client.witness.doubled:
            raise Violation(f"{client.witness} got twice: {sorted(client.witness.doubled)[:5]}")
        if client.refused:
            raise Violation(f"{client.witness} was refused: {sorted(client.refused)}")
