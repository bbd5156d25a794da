"""Everything that can go wrong, one scenario each, under continuous publishing and flapping clients.

A scenario is given a running world, disturbs it, and leaves it undisturbed; the caller then checks
every client against what was acknowledged. ``LOSES`` are those in which history is really lost:
only there may a client be told so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from typing import TYPE_CHECKING, cast

from redis import Redis
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from relay.broker import keys
from relay.errors import BrokerFull
from relay.position import Position
from tests.faults.checker import Violation
from tests.support.redis import RedisServer
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.faults.world import World


async def calm(world: World) -> None:
    """Nothing happens but clients that are reset and come back to any relay."""
    await world.progress(world.size.fault_s)


async def relays_are_killed(world: World) -> None:
    """SIGKILL and restart, one relay after another; at times none is left."""
    loop = asyncio.get_running_loop()
    until_s = loop.time() + world.size.fault_s
    while loop.time() < until_s:
        world.restart(world.draw.choice(world.relays))
        await world.progress(world.draw.uniform(0.2, 2.0))
    for relay in world.relays:
        world.restart(relay)
    await world.progress(1.0)


async def subscriptions_are_killed(world: World) -> None:
    """CLIENT KILL TYPE pubsub, again and again."""
    for _ in range(round(world.size.fault_s / 0.4)):
        world.redis.command("CLIENT", "KILL", "TYPE", "pubsub")
        await world.progress(world.draw.uniform(0.1, 0.7))


async def redis_stops(world: World) -> None:
    """SIGSTOP: Redis is connected and answers nothing; then it goes on."""
    world.redis.send(signal.SIGSTOP)
    await world.progress(max(4.0, world.size.fault_s * 2 / 3))
    world.redis.send(signal.SIGCONT)
    await world.progress(1.0)


async def redis_is_killed(world: World) -> None:
    """SIGKILL, and a restart from its append-only file."""
    for _ in range(2):
        world.redis.kill()
        await world.progress(world.draw.uniform(0.5, 2.0))
        world.redis.start()
        await asyncio.to_thread(world.redis.wait_until_ready)
        await world.progress(world.size.fault_s / 2)


async def scripts_are_flushed(world: World) -> None:
    """SCRIPT FLUSH: the scripts are loaded again, nobody notices."""
    for _ in range(round(world.size.fault_s / 0.3)):
        world.redis.command("SCRIPT", "FLUSH")
        await world.progress(0.3)


async def everything_is_flushed(world: World) -> None:
    """FLUSHALL: every log begins anew, with a later epoch."""
    await world.progress(0.5)
    # Acknowledged before this moment and gone with it: nobody can be owed that any more.
    world.redis.command("FLUSHALL")
    _forget_lost(world)
    await world.progress(world.size.fault_s)
    _forget_lost(world)


async def logs_are_evicted(world: World) -> None:
    """Redis, out of memory under an eviction policy, throws logs away."""
    world.redis.command("CONFIG", "SET", "maxmemory-policy", "allkeys-random")
    for _ in range(3):
        world.redis.command("CONFIG", "SET", "maxmemory", "1")
        world.redis.command("SET", "filler", "x")
        world.redis.command("CONFIG", "SET", "maxmemory", "0")
        await world.progress(world.size.fault_s / 3)
    evicted = world.redis.command("INFO", "stats")
    count = int(evicted.partition(b"evicted_keys:")[2].split()[0])
    if count == 0:
        raise Violation("the scenario evicted nothing")
    _forget_lost(world)


async def memory_is_full(world: World) -> None:
    """At maxmemory without eviction, publishers are refused clearly; readers go on."""
    world.redis.command("CONFIG", "SET", "maxmemory", "1")
    await world.progress(world.size.fault_s)
    refused = [
        error for publisher in world.publishers for error in publisher.errors
        if isinstance(error, BrokerFull)
    ]  # fmt: skip
    world.redis.command("CONFIG", "SET", "maxmemory", "0")
    await world.progress(1.0)
    if not refused:
        raise Violation("no publisher was told that Redis is full")


async def output_buffer_overflows(world: World) -> None:
    """A relay that reads too slowly for a while is cut off by Redis, and catches up."""
    world.redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 16kb 8kb 1")
    relay = world.relays[0]
    relay.send(signal.SIGSTOP)
    # What the kernel takes for a reader that stands still comes first: more than these hints fill.
    filler = json.dumps({"type": "filler", "text": "x" * 60_000})
    for n in range(400):
        world.redis.command("PUBLISH", keys.channel(world.sessions[n % 4]), filler)
        await asyncio.sleep(0)
    await world.progress(1.5)
    relay.send(signal.SIGCONT)
    world.redis.command("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32mb 8mb 60")
    if "overcoming of output buffer limits" not in world.redis.output:
        raise Violation("Redis cut nobody off")
    await world.progress(world.size.fault_s)


async def network_to_redis_swallows(world: World) -> None:
    """Between one relay and Redis nothing passes: no byte, no FIN, no RST."""
    world.redis_proxies[0].freeze()
    await world.progress(max(4.0, world.size.fault_s / 2))
    world.redis_proxies[0].cut()
    world.redis_proxies[0].thaw()
    await world.progress(1.0)


async def network_to_clients_swallows(world: World) -> None:
    """Between clients and one relay nothing passes; they leave it and resume elsewhere."""
    world.client_proxies[0].freeze()
    await world.progress(max(6.0, world.size.fault_s / 2))
    world.client_proxies[0].cut()
    world.client_proxies[0].thaw()
    await world.progress(1.0)


async def a_link_is_deaf(world: World) -> None:
    """Subscribed and connected, and nothing arrives: found, said, and mended within 10 s."""
    relay, proxy = world.relays[0], world.redis_proxies[0]
    loop = asyncio.get_running_loop()
    proxy.deafen(b"SUBSCRIBE")
    began_s = loop.time()
    unready_s = await _wait_for(lambda: not relay.is_ready(), "the deaf relay unready", 10)
    # New connections hear again; the deaf one stays deaf until the relay gives it up by itself.
    proxy.deafen(None)
    await _wait_for(relay.is_ready, "the relay ready again", 10 - (loop.time() - began_s))
    if loop.time() - began_s > 10:
        raise Violation(f"deaf for {loop.time() - began_s:.1f} s, unready after {unready_s:.1f} s")
    await world.progress(1.0)


async def a_burst_while_joining(world: World) -> None:
    """Hundreds of messages at once while new clients come in."""
    burst = [asyncio.create_task(_burst(world, n)) for n in range(2)]
    for n in range(world.size.clients // 2):
        world.add_client(world.sessions[n % 2])
        await world.progress(0.02)
    await asyncio.gather(*burst)
    await world.progress(1.0)


async def _burst(world: World, number: int) -> None:
    from producers import HintPublisher

    session = world.sessions[number]
    async with HintPublisher(world.redis.url) as publisher:
        for start in range(0, 600, 30):
            ids = [f"burst{number}-{n}" for n in range(start, start + 30)]
            sent = await asyncio.gather(
                *(publisher.hint(session, "x" * 200, id=message_id) for message_id in ids)
            )
            for message in sent:
                world.ledger.acknowledge(session, message.id, message.position)


async def plain_messages_are_mixed_in(world: World) -> None:
    """PUBLISH from any client, positions forged or not, garbage or not, never disturbs positions."""
    session = world.sessions[0]
    payloads = [
        '{"type":"hint","text":"plain"}', "garbage", "[]", '{"type":"future"}',
        '{"position":"1700000000000-5","type":"hint","id":"forged","text":"forged"}',
        '{"position":"1700000000000-99999","type":"hint","id":"forged","text":"forged"}',
    ]  # fmt: skip
    for n in range(round(world.size.fault_s / 0.05)):
        world.redis.command("PUBLISH", keys.channel(session), payloads[n % len(payloads)])
        known = world.ledger.acknowledged.get(session)
        if known:
            ahead = max(known)
            forged = {"position": f"{ahead.epoch}-{ahead.offset + 1000}", "type": "hint", "id": "f"}
            world.redis.command("PUBLISH", keys.channel(session), json.dumps(forged))
        await world.progress(0.05)


async def strange_positions(world: World) -> None:
    """A ``since`` older than the ring, older than the log, ahead of the head, foreign, malformed."""
    session = world.sessions[0]
    await world.progress(world.size.fault_s)
    known = world.ledger.acknowledged[session]
    oldest, head = min(known), max(known)
    # The ring is small in this scenario: most of the log is older than it.
    for since, recovered in (
        (oldest, True),
        (Position(head.epoch, head.offset + 100_000), False),
        (Position(head.epoch - 1, 1), False),
        (Position(head.epoch + 1, 1), False),
    ):
        for proxy in world.client_proxies:
            url = f"ws://127.0.0.1:{proxy.port}/ws?session={session}&since={since}"
            async with connect(url, proxy=None, max_queue=None) as websocket:
                first = json.loads(await websocket.recv())
                if first["recovered"] is not recovered:
                    raise Violation(f"since={since} was answered with {first}")
                if recovered:
                    second = json.loads(await websocket.recv())
                    if Position.parse(second["position"]).offset != since.offset + 1:
                        raise Violation(f"since={since} was followed by {second}")
    # Older than the log: the log is trimmed away under it.
    world.redis.command("XTRIM", keys.log(session), "MAXLEN", "1")
    for proxy in world.client_proxies:
        url = f"ws://127.0.0.1:{proxy.port}/ws?session={session}&since={oldest}"
        async with connect(url, proxy=None, max_queue=None) as websocket:
            first = json.loads(await websocket.recv())
            if first["recovered"] is not False:
                raise Violation(f"since={oldest}, which is trimmed, was answered with {first}")
    for malformed in ("x", "1-", "-1", "1-1-1", "9" * 400):
        url = (
            f"ws://127.0.0.1:{world.client_proxies[0].port}/ws?session={session}&since={malformed}"
        )
        async with connect(url, proxy=None, max_queue=None) as websocket:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await websocket.recv()
            if websocket.close_code != 4101:
                raise Violation(f"since={malformed[:20]} was closed with {websocket.close_code}")


async def failover_loses_the_tail(world: World) -> None:
    """A replica that lacks the newest messages takes over; who saw them is told, and goes on."""
    async with TcpProxy(world.redis.port) as replication:
        with RedisServer(append_only=True) as replica:
            await _fail_over(world, replica, replication)


async def _fail_over(world: World, replica: RedisServer, replication: TcpProxy) -> None:
    replica.command("REPLICAOF", "127.0.0.1", str(replication.port))
    await _wait_for(
        lambda: b"master_link_status:up" in replica.command("INFO", "replication"),
        "the replica in step",
        15,
    )
    await world.progress(1.0)
    # Nothing reaches the replica any more: what is published from here on will be lost.
    replication.freeze()
    await world.progress(1.5)
    world.redis.kill()
    replication.cut()
    # Until the last answers of the dead master have been read.
    await world.progress(0.3)
    replica.command("REPLICAOF", "NO", "ONE")
    world.redis_url = replica.url
    if not _forget_lost(world, replica):
        raise Violation("the scenario lost nothing")
    # Hints whose end is lost stream on the new master until their leases run out.
    world.ledger.finished.clear()
    for proxy in [*world.redis_proxies, world.publisher_proxy]:
        proxy.target_port = replica.port
        proxy.cut()
    await world.progress(world.size.fault_s)
    await world.quiesce()
    if not world.told:
        raise Violation("nobody was told of the lost tail")
    # The old master is dead and the new one ends with this scenario: nobody may need them any more.
    await world.leave(replica)


def _forget_lost(world: World, redis: RedisServer | None = None) -> int:
    """Take from the ledger what this Redis does not have; returns how much that was."""
    server = redis or world.redis
    lost = 0
    with contextlib.closing(Redis.from_url(server.url, protocol=2)) as client:
        for session in world.sessions:
            # In this order: what is acknowledged in between is after `until`.
            until = max(world.ledger.acknowledged.get(session, ()), default=None)
            entries = cast("list[tuple[bytes, object]]", client.xrange(keys.log(session)))
            kept = {Position.parse(entry_id.decode()) for entry_id, _ in entries}
            if until is not None:
                lost += world.ledger.forget(session, kept=kept, until=until)
    return lost


async def _wait_for(condition: Callable[[], bool], what: str, timeout_s: float) -> float:
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not await asyncio.to_thread(condition):
        if loop.time() - began_s > timeout_s:
            raise Violation(f"not within {timeout_s:.1f} s: {what}")
        await asyncio.sleep(0.05)
    return loop.time() - began_s


SCENARIOS: dict[str, Callable[[World], Awaitable[None]]] = {
    scenario.__name__: scenario
    for scenario in (
        calm, relays_are_killed, subscriptions_are_killed, redis_stops, redis_is_killed,
        scripts_are_flushed, everything_is_flushed, logs_are_evicted, memory_is_full,
        output_buffer_overflows, network_to_redis_swallows, network_to_clients_swallows,
        a_link_is_deaf, a_burst_while_joining, plain_messages_are_mixed_in, strange_positions,
        failover_loses_the_tail,
    )
}  # fmt: skip

LOSES = {
    "everything_is_flushed",
    "logs_are_evicted",
    "strange_positions",
    "failover_loses_the_tail",
}

# More flags for the relays of a scenario.
FLAGS = {"strange_positions": ("--ring-messages", "20")}
