"""Runs one scenario from beginning to end, and tells what it saw."""

from __future__ import annotations

from typing import NamedTuple

from tests.faults.checker import Violation
from tests.faults.scenarios import FLAGS, LOSES, SCENARIOS
from tests.faults.world import Size, World

# The rings of twenty sessions, full, and the allocator's slack.
_MOST_GROWTH_MIB = 16.0


class Outcome(NamedTuple):
    """What one scenario saw; that it returned at all means that nothing was wrong."""

    published: int
    received: int
    connects: int
    resumed: int
    told: int
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
            growth_mib=growth,
        )
