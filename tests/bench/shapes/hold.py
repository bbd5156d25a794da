"""As many connections as a process may have files, held for minutes."""

from __future__ import annotations

import select
import socket
import time
from typing import TYPE_CHECKING, ClassVar

from tests.bench import proc
from tests.bench.figures import percentile
from tests.bench.load import BenchError, Join
from tests.bench.meter import Meter
from tests.bench.shapes.shape import Bench, Figures, Shape, fresh_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.contenders.contender import Contender
    from tests.bench.load import Load
    from tests.bench.sizes import Sizes

_PROBE_EVERY_S = 0.02
# The relay's default.
_HEARTBEAT_S = 10.0
_CONTENDERS = frozenset({"ours", "ours-asgi"})


class Hold(Shape):
    """Heartbeats only; the server's event loop is asked every 20 ms how late it is."""

    name: ClassVar[str] = "hold"
    columns: ClassVar[Mapping[str, str]] = {
        "lag_p99_ms": "p99 ms of GET /health/live",
        "lag_p50_ms": "p50 ms",
        "lag_max_ms": "max ms",
        "own_lag_p99_ms": "p99 ms that the generator was late itself",
        "heartbeats": "heartbeats per client",
        "dropped": "dropped",
        "kb": "KB per connection",
        "server_busy": "server busy",
        "load_core_busy": "load core busy",
    }
    is_long: ClassVar[bool] = True

    def why_not(self, contender: Contender) -> str | None:
        """Only we have this health endpoint."""
        if contender.name not in _CONTENDERS:
            return "not made for this shape"
        return super().why_not(contender)

    def describe(self, sizes: Sizes) -> str:
        """Say what happens."""
        return (
            f"{sizes.hold_clients:,} connections, {sizes.storm_per_session} to a session, "
            f"held for {sizes.hold_s:g} s"
        )

    def measure(self, bench: Bench) -> Figures:
        """Connect, hold, probe."""
        sizes = bench.sizes
        names = fresh_sessions(sizes.hold_clients // sizes.storm_per_session)
        with bench.load() as load:
            empty = proc.memory_bytes(bench.server.pid)
            load.connect(Join(name) for name in names for _ in range(sizes.storm_per_session))
            clients = len(load.readers)
            probe = _Probe(load, bench.server.address)
            meter = Meter(bench.server.pid, bench.redis_pid)
            until_s = time.monotonic() + sizes.hold_s
            while time.monotonic() < until_s:
                probe.go_on()
                load.poll(_PROBE_EVERY_S / 4)
            usage = meter.read()
            grown = proc.memory_bytes(bench.server.pid) - empty
            probe.close()
            heartbeats = [reader.others for reader in load.readers if reader.lost is None]
            due = sizes.hold_s // _HEARTBEAT_S - 1
            if min(heartbeats) < due:
                raise BenchError(f"a client got {min(heartbeats)} heartbeats of at least {due:g}")
            lags = sorted(probe.round_trips_ns)
            own = sorted(probe.own_lags_ns)
            return {
                "lag_p99_ms": percentile(lags, 0.99) / 1e6,
                "lag_p50_ms": percentile(lags, 0.5) / 1e6,
                "lag_max_ms": lags[-1] / 1e6,
                "own_lag_p99_ms": percentile(own, 0.99) / 1e6,
                "heartbeats": sum(heartbeats) / len(heartbeats),
                "dropped": load.lost,
                "kb": grown / 1024 / clients,
                **usage.shares(),
            }


class _Probe:
    """GET /health/live on one connection, every 20 ms unless the last one is not answered yet."""

    def __init__(self, load: Load, address: tuple[str, int]) -> None:
        self.round_trips_ns: list[int] = []
        self.own_lags_ns: list[int] = []
        self._load = load
        self._socket = socket.create_connection(address, timeout=5)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._answer = b""
        self._asked_ns: int | None = None
        self._due_ns = time.monotonic_ns()
        load.add(self._socket.fileno(), self, select.EPOLLIN)

    def go_on(self) -> None:
        """Ask when it is time."""
        now_ns = time.monotonic_ns()
        if now_ns < self._due_ns:
            return
        self.own_lags_ns.append(now_ns - self._due_ns)
        every_ns = round(_PROBE_EVERY_S * 1e9)
        self._due_ns = max(self._due_ns + every_ns, now_ns)
        if self._asked_ns is None:
            self._asked_ns = now_ns
            self._socket.send(b"GET /health/live HTTP/1.1\r\nHost: bench\r\n\r\n")

    def on_event(self, mask: int) -> None:
        """Take the answer."""
        del mask
        # Head and body may come apart.
        self._answer += self._socket.recv(4096)
        if not self._answer.startswith(b"HTTP/1.1 200 "[: len(self._answer)]) or not self._answer:
            raise BenchError(f"/health/live says {self._answer[:60]!r}")
        if self._asked_ns is not None and self._answer.endswith(b"}"):
            self._answer = b""
            self.round_trips_ns.append(time.monotonic_ns() - self._asked_ns)
            self._asked_ns = None

    def close(self) -> None:
        """Stop asking."""
        self._load.forget(self._socket.fileno())
        self._socket.close()
