"""``make bench``: this relay beside a plain Starlette loop, in one run, as ratios.

Absolute figures move with the machine; the ratio of two contenders in one run does not.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import os
import secrets
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from relay.broker.broker import Broker
from tests.support.process import Process, free_port, wait_until
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess

_READERS = 200
_ROUNDS = 3
_PACED_PER_S = 50
_PACED_S = 3.0
_SATURATED = 2000
_MESSAGE = b'{"type":"hint","id":"%d","text":"Ask what the letter smelled like.","timestamp":1.5}'


class Figures(NamedTuple):
    """One round of one contender."""

    cpu_us: float
    p50_ms: float
    p99_ms: float
    per_s: float


class _Reader(asyncio.Protocol):
    """Counts the frames that arrive, as cheaply as Python can."""

    def __init__(self, request: bytes, arrived: list[float]) -> None:
        self._request = request
        self._arrived = arrived
        self.frames = 0
        self._rest = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count whole frames; a server's frames are not masked (RFC 6455 section 5.1)."""
        data = self._rest + data
        at = 0
        if not self._upgraded:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return
            self._upgraded = True
            at = end + 4
        while len(data) - at >= 2:
            length = data[at + 1] & 127
            start = at + 2
            if length == 126:
                if len(data) - at < 4:
                    break
                length = int.from_bytes(data[at + 2 : at + 4], "big")
                start = at + 4
            if len(data) - start < length:
                break
            at = start + length
            self.frames += 1
            self._arrived.append(time.perf_counter())
        self._rest = data[at:]


def _same(reader: _Reader) -> _Reader:
    return reader


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _connect(port: int, session: str) -> tuple[list[asyncio.Transport], list[float]]:
    loop = asyncio.get_running_loop()
    arrived: list[float] = []
    readers: list[_Reader] = []
    transports: list[asyncio.Transport] = []
    for _ in range(_READERS):
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        request = (
            f"GET /ws?session={session} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        ).encode()
        reader = _Reader(request, arrived)
        transport, _ = await loop.create_connection(
            functools.partial(_same, reader), "127.0.0.1", port
        )
        readers.append(reader)
        transports.append(transport)
    while any(reader.frames < 1 for reader in readers):
        await asyncio.sleep(0.01)
    return transports, arrived


async def _round(broker: Broker, pid: int, port: int, *, paced: bool) -> Figures:
    session = f"bench-{secrets.token_hex(4)}"
    transports, arrived = await _connect(port, session)
    count = round(_PACED_PER_S * _PACED_S) if paced else _SATURATED
    arrived.clear()
    before_s, began_s = _cpu_s(pid), time.perf_counter()
    published: list[float] = []
    if paced:
        for n in range(count):
            await asyncio.sleep(max(0.0, began_s + n / _PACED_PER_S - time.perf_counter()))
            published.append(time.perf_counter())
            await broker.publish(session, _MESSAGE % n, str(n))
    else:
        for start in range(0, count, 16):
            published += [time.perf_counter()] * 16
            await asyncio.gather(
                *(broker.publish(session, _MESSAGE % n, str(n)) for n in range(start, start + 16))
            )
    deadline_s = time.perf_counter() + 60
    while len(arrived) < count * _READERS:
        assert time.perf_counter() < deadline_s, f"{len(arrived)} of {count * _READERS} arrived"
        await asyncio.sleep(0.01)
    took_s = arrived[-1] - began_s
    cpu_s = _cpu_s(pid) - before_s
    for transport in transports:
        transport.abort()
    # All readers get message n before message n+1, so the n-th stretch of arrivals is message n's.
    latencies = (
        sorted(at - published[i // _READERS] for i, at in enumerate(arrived)) if paced else [0.0]
    )
    return Figures(
        cpu_us=cpu_s * 1e6 / len(arrived),
        p50_ms=latencies[len(latencies) // 2] * 1e3,
        p99_ms=latencies[int(len(latencies) * 0.99)] * 1e3,
        per_s=len(arrived) / took_s,
    )


async def _measure(
    name: str, process: Process, port: int, redis_url: str, console: Console
) -> dict[bool, Figures]:
    results = {}
    async with Broker(redis_url, log_messages=100_000) as broker:
        for paced in (True, False):
            rounds = []
            for number in range(_ROUNDS):
                shape = "paced" if paced else "saturated"
                console.print(f"{name}: {shape}, round {number + 1} of {_ROUNDS}", style="dim")
                rounds.append(await _round(broker, process.pid, port, paced=paced))
            results[paced] = Figures(
                *(statistics.median(column) for column in zip(*rounds, strict=True))
            )
    return results


def main() -> None:
    """Measure, and print a table."""
    console = Console()
    with RedisServer() as redis:
        with RelayProcess(
            # A ring that holds a whole round: the yardstick has no bound at all.
            redis.url,
            "--log-level",
            "error",
            "--ring-messages",
            str(_SATURATED),
            "--ring-bytes",
            "10000000",
        ) as relay:
            ours = asyncio.run(_measure("hint-relay", relay, relay.port, redis.url, console))
        port = free_port()
        with Process(
            [sys.executable, "-m", "uvicorn", "--factory", "tests.bench.plain_relay:create_app",
             "--port", str(port), "--log-level", "info", "--no-access-log"],
            {"BENCH_REDIS_URL": redis.url},
        ) as plain:  # fmt: skip
            wait_until(lambda: "running on" in plain.output, "the plain relay")
            theirs = asyncio.run(_measure("plain loop", plain, port, redis.url, console))
    table = Table(title=f"1 session x {_READERS} facilitators, medians of {_ROUNDS} rounds")
    for heading in ("", "µs CPU per delivery", "ratio", "p50 ms", "p99 ms", "deliveries/s"):
        table.add_column(heading, justify="right")
    for paced in (True, False):
        for name, results in (("hint-relay", ours), ("plain Starlette loop", theirs)):
            figures = results[paced]
            table.add_row(
                f"{name}, {f'{_PACED_PER_S}/s' if paced else 'saturated'}",
                f"{figures.cpu_us:.1f}",
                f"{figures.cpu_us / ours[paced].cpu_us:.2f}",
                f"{figures.p50_ms:.1f}" if paced else "-",
                f"{figures.p99_ms:.1f}" if paced else "-",
                f"{figures.per_s:,.0f}",
            )
    console.print(table)


if __name__ == "__main__":
    main()
