"""Real Redis servers, real relays, clients and agents, for the length of one scenario."""

from __future__ import annotations

import asyncio
import random
import secrets
import signal
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, NamedTuple

import httpx
import orjson

from relay.broker.broker import Broker
from relay.errors import BrokerError
from relay.snapshot import fold
from tests.faults.checker import Ledger, Text, Truth, Violation, Witness
from tests.faults.clients import FlappingClient, SocketClient, SteadyPublisher, StreamingAgent
from tests.faults.event_clients import EventSource, EventsReader
from tests.support.memory import resident_mib
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


# Streaming sessions with an agent of their own, at most: all live in this one process.
_MAX_AGENTS = 5

# Clients, each kind in every session: a third of them read events.
_KINDS: tuple[type[FlappingClient], ...] = (
    SocketClient, EventsReader, SocketClient, SocketClient, EventSource, SocketClient,
)  # fmt: skip

# uvicorn's server and lifespan, the hub with its probe, the lobby, and the request that asks.
_IDLE_TASKS = 9


class Size(NamedTuple):
    """How large a run is."""

    relays: int
    sessions: int
    clients: int
    per_s: float
    fault_s: float


SHORT = Size(relays=2, sessions=4, clients=24, per_s=80, fault_s=4)
FULL = Size(relays=3, sessions=20, clients=200, per_s=200, fault_s=15)
# A thousand clients, and fewer messages: all of them live in the checker's one process.
LARGER = {"relays_are_killed": FULL._replace(clients=1000, per_s=60)}

# Short times, so that what must be noticed is noticed within a scenario.
_FLAGS = (
    "--heartbeat-s", "1", "--probe-interval-s", "0.5", "--probe-timeout-s", "2",
    "--redis-timeout-s", "1.5", "--linger-s", "1", "--log-level", "warning",
)  # fmt: skip


class World:
    """Everything that a scenario can disturb.

    In every second session hints stream, and facilitators say what they do with hints. A third of the
    clients read events, half of those know nothing of positions.

    ``redis_proxies[i]`` lies between ``relays[i]`` and Redis; ``publisher_proxy`` between the agents
    and Redis; ``client_proxies[i]`` between clients and ``relays[i]``. ``redis_url`` is where the data
    is by now.
    """

    def __init__(self, size: Size, seed: int, *relay_flags: str) -> None:
        self.size = size
        self.draw = random.Random(seed)
        self.ledger = Ledger()
        prefix = f"fault-{secrets.token_hex(4)}"
        self.sessions = [f"{prefix}-{n}" for n in range(size.sessions)]
        self.redis = RedisServer(append_only=True)
        self.redis_url = self.redis.url
        self.relays: list[RelayProcess] = []
        self.redis_proxies: list[TcpProxy] = []
        self.client_proxies: list[TcpProxy] = []
        self.publisher_proxy = TcpProxy(self.redis.port)
        self.clients: list[FlappingClient] = []
        self.publishers: list[SteadyPublisher] = []
        self.streaming = set(self.sessions[1::2])
        self.agents: list[StreamingAgent] = []
        self._relay_flags = relay_flags
        self._left = False
        self._stack = AsyncExitStack()
        self._client_tasks: list[asyncio.Task[None]] = []
        self._publisher_tasks: list[asyncio.Task[None]] = []

    @property
    def told(self) -> int:
        """How often clients were told that history is gone."""
        return sum(client.witness.told for client in self.clients)

    async def __aenter__(self) -> Self:
        """Start Redis, relays, agents and clients."""
        stack = self._stack
        stack.enter_context(self.redis)
        await stack.enter_async_context(self.publisher_proxy)
        for _ in range(self.size.relays):
            proxy = await stack.enter_async_context(TcpProxy(self.redis.port))
            relay = RelayProcess(
                f"redis://127.0.0.1:{proxy.port}/0",
                *_FLAGS,
                *self._relay_flags,
            )
            stack.push(relay)
            relay.start()
            self.redis_proxies.append(proxy)
            self.relays.append(relay)
        # The proxies run in this loop: it must not stand still while the relays connect.
        for relay in self.relays:
            await asyncio.to_thread(relay.wait_until_ready)
            self.client_proxies.append(await stack.enter_async_context(TcpProxy(relay.port)))
        for n in range(2):
            publisher = SteadyPublisher(
                f"redis://127.0.0.1:{self.publisher_proxy.port}/0", self.sessions, self.ledger,
                per_s=self.size.per_s / 2, name=f"agent{n}",
            )  # fmt: skip
            self.publishers.append(publisher)
            self._publisher_tasks.append(asyncio.create_task(publisher.run()))
        for session in sorted(self.streaming)[:_MAX_AGENTS]:
            agent = StreamingAgent(
                f"redis://127.0.0.1:{self.publisher_proxy.port}/0", session, self.ledger, self.draw
            )
            self.agents.append(agent)
            self._publisher_tasks.append(asyncio.create_task(agent.run()))
        for n in range(self.size.clients):
            self.add_client(self.sessions[n % len(self.sessions)])
        await self.progress(1.0)
        return self

    def add_client(
        self, session: str, *, stays_s: tuple[float, float] = (0.3, 4.0)
    ) -> FlappingClient:
        """Let one more client come."""
        witness = Witness(session, f"client{len(self.clients)}", streams=session in self.streaming)
        kind = _KINDS[len(self.clients) // len(self.sessions) % len(_KINDS)]
        client = kind(witness, self.ledger, self._pick_port, self.draw, stays_s=stays_s)
        self.clients.append(client)
        self._client_tasks.append(asyncio.create_task(client.run()))
        return client

    async def progress(self, seconds: float) -> None:
        """Let the world go on; a violation ends the run at once."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + seconds
        while loop.time() < until_s:
            await asyncio.sleep(min(0.2, max(0.0, until_s - loop.time())))
            self.raise_violation()

    def raise_violation(self) -> None:
        """Raise what a client has found wrong."""
        for client in self.clients:
            if client.violation is not None:
                raise client.violation
        for task in self._publisher_tasks:
            if task.done():
                task.result()

    async def quiesce(self, timeout_s: float = 30.0) -> None:
        """Stop publishing and flapping, wait until every client has everything, and check it all.

        Afterwards, and after ``leave``, a second call has nothing to do.
        """
        if self._left:
            return
        for publisher in self.publishers:
            publisher.stop()
        for agent in self.agents:
            agent.stop()
        async with asyncio.timeout(timeout_s):
            await asyncio.gather(*self._publisher_tasks)
        for client in self.clients:
            client.settle()
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + timeout_s
        while True:
            self.raise_violation()
            try:
                truths = await self._truths()
                for client in self.clients:
                    client.final_check(truths.get(client.witness.session))
            except (Violation, BrokerError):
                # Not there yet; or all of this takes the machine, and Redis too long.
                if loop.time() > deadline_s:
                    raise
                await asyncio.sleep(0.1)
            else:
                break
        # A heartbeat more each: they would say if something were missing after all.
        await self.progress(1.5)

    async def _truths(self) -> dict[str, Truth]:
        """Read what Redis has of the sessions in which hints stream."""
        truths = {}
        async with Broker(self.redis_url) as broker:
            for session in self.streaming:
                log = await broker.read(session)
                messages = [
                    orjson.loads(publication.payload) for publication in fold(log.publications)
                ]
                truths[session] = Truth(
                    log.head,
                    {
                        message["id"]: Text(message["text"], message["status"])
                        for message in messages
                        if message["type"] == "hint" and "status" in message
                    },
                )
        return truths

    async def leave(self, redis: RedisServer | None = None) -> None:
        """Let all clients go, and check that they leave nothing behind; once.

        Args:
            redis: where the subscriptions are by now.
        """
        if self._left:
            return
        self._left = True
        server = redis or self.redis
        for task in self._client_tasks:
            task.cancel()
        await asyncio.gather(*self._client_tasks, return_exceptions=True)
        for relay in self.relays:
            await self._until_empty(relay, server)
        for relay in self.relays:
            output = relay.output
            for mark in ("Traceback", "never retrieved", "was destroyed but it is pending"):
                if mark in output:
                    raise Violation(f"a relay's log has {mark!r}:\n{output[-4000:]}")

    async def _until_empty(self, relay: RelayProcess, redis: RedisServer) -> None:
        deadline_s = asyncio.get_running_loop().time() + 15
        while True:
            values = await asyncio.to_thread(metrics_of, relay)
            left = {
                "connections": values["hint_relay_connections"],
                "sessions": values["hint_relay_sessions"],
                "tasks": max(0, values["hint_relay_tasks"] - _IDLE_TASKS),
                "channels": max(0, channels_of(redis) - len(self.relays)),
            }
            if not any(left.values()):
                return
            if asyncio.get_running_loop().time() > deadline_s:
                raise Violation(f"{relay.base_url} still has {left}\n{relay.output[-3000:]}")
            await asyncio.sleep(0.05)

    def restart(self, relay: RelayProcess) -> None:
        """Kill a relay, and start it again where it was."""
        relay.kill()
        relay.start()

    def resident_mib(self) -> list[float]:
        """Return the memory of each relay."""
        return [resident_mib(relay.pid) for relay in self.relays]

    def _pick_port(self) -> int:
        return self.draw.choice(self.client_proxies).port

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End everything."""
        for task in [*self._client_tasks, *self._publisher_tasks]:
            task.cancel()
        await asyncio.gather(*self._client_tasks, *self._publisher_tasks, return_exceptions=True)
        for process in [self.redis, *self.relays]:
            if process.is_running:
                process.send(signal.SIGCONT)
        await self._stack.__aexit__(kind, error, traceback)


def metrics_of(relay: RelayProcess) -> dict[str, float]:
    """Return a relay's metrics without labels; all NaN while it is away."""
    text = httpx.get(f"{relay.base_url}/metrics", trust_env=False, timeout=5).text
    return {
        line.split()[0]: float(line.split()[1])
        for line in text.splitlines()
        if line and not line.startswith("#") and "{" not in line
    }


def channels_of(redis: RedisServer) -> int:
    """Return how many channels have subscribers; each relay's probe is one."""
    answer = redis.command("PUBSUB", "CHANNELS", "*")
    return int(answer[1 : answer.index(b"\r\n")])
