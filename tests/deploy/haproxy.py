"""HAProxy with the project's own configuration file, on loopback, for the length of a test.

Relays are addresses that share one port, as containers do: ``127.0.0.2``, ``127.0.0.3``, … work on
Linux without any set-up. A small DNS server tells HAProxy about them, so that the configuration is
used exactly as Docker uses it, scaling up and down included::

    async with HAProxyProcess(relays=["127.0.0.2", "127.0.0.3"], relay_port=port) as haproxy:
        async with connect(f"{haproxy.ws_url}/ws?session=demo"):
            ...
        haproxy.set_relays(["127.0.0.3"])
        await haproxy.wait_for_relays(["127.0.0.3"])
"""

from __future__ import annotations

import asyncio
import csv
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import httpx

from tests.deploy.fake_dns import FakeDns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
    from types import TracebackType

CONFIG = Path(__file__).parents[2] / "deploy" / "haproxy.cfg"

_RELAY_NAME = "relay.test"
_PAGE_NAME = "page.test"


def haproxy_binary() -> str:
    """Return the path of the installed HAProxy.

    Raises:
        FileNotFoundError: it isn't installed; the test that asked fails, it is never skipped.
    """
    found = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise FileNotFoundError(
            "haproxy is not installed, and this test runs the real one: "
            "install it (Debian: apt-get install haproxy)"
        )
    return found


async def eventually(
    check: Callable[[], Awaitable[object]], what: str, *, within_s: float = 10.0
) -> None:
    """Wait until ``check`` returns something true.

    Raises:
        AssertionError: it didn't within ``within_s``; names ``what`` and the last result.
    """
    deadline = time.monotonic() + within_s
    while not (result := await check()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what} (last seen: {result!r})")
        await asyncio.sleep(0.02)


def listening_sockets(addresses: Sequence[str]) -> list[socket.socket]:
    """Return listening sockets, one for each address, that share one free port.

    Hand them over to the servers (or close them, for a server that opens its own), then close
    them: while a copy is open, connections to a dead server still get through.
    """
    for _ in range(50):
        sockets: list[socket.socket] = []
        port = 0
        try:
            for address in addresses:
                sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
                sockets.append(sock)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((address, port))
                sock.listen(128)
                port = sock.getsockname()[1]
        except OSError:
            # The port is taken at another of the addresses: draw again.
            for sock in sockets:
                sock.close()
        else:
            return sockets
    raise OSError(f"no port is free on all of {', '.join(addresses)}")


class HAProxyProcess:
    """One HAProxy process and the names that it resolves; use with ``async with``.

    It is ready once every relay that was named is up, so relays must answer ``/health/ready``
    before it is entered or soon after. Its ports are free ones, handed over as open sockets. Its
    log goes to standard error at the end, where pytest shows it beside a failure.

    Args:
        relays: their IPv4 addresses.
        relay_port: the one port that all of them listen on.
        page: address and port of the static page's server; without it, the page answers 503.
        tls_pem: certificate and key in one file; with it, the configuration's ``#tls`` lines are
            in force and ``wss_url`` leads there.
        environment: further ``LB_*`` variables of the configuration file.
        replacing: texts of the configuration, and what stands there instead: a test can't wait for a
            minute.
        ready_within_s: how long the relays may take to come up.
    """

    def __init__(
        self,
        *,
        relays: Sequence[str],
        relay_port: int,
        page: tuple[str, int] | None = None,
        tls_pem: Path | None = None,
        environment: Mapping[str, str] | None = None,
        replacing: Mapping[str, str] | None = None,
        ready_within_s: float = 15.0,
    ) -> None:
        self._relays = tuple(relays)
        self._relay_port = relay_port
        self._page = page
        self._tls_pem = tls_pem
        self._environment = dict(environment or {})
        self._replacing = dict(replacing or {})
        self._ready_within_s = ready_within_s
        self._dns = FakeDns()
        self._log_file = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __aexit__
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._tls_port = 0
        self._stats_port = 0

    @property
    def base_url(self) -> str:
        """``http://`` and the address that browsers come in by, without a slash at the end."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def ws_url(self) -> str:
        """The same address with ``ws://``."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def wss_url(self) -> str:
        """The address of the TLS listener with ``wss://``; only with ``tls_pem``."""
        return f"wss://127.0.0.1:{self._tls_port}"

    @property
    def address(self) -> tuple[str, int]:
        """The same address for a plain socket."""
        return "127.0.0.1", self._port

    @property
    def stats_url(self) -> str:
        """The private address with the status page and HAProxy's own metrics."""
        return f"http://127.0.0.1:{self._stats_port}"

    def set_relays(self, addresses: Iterable[str]) -> None:
        """Scale: from now on the relays' name has these addresses. HAProxy asks every second."""
        self._dns.set(_RELAY_NAME, addresses)

    async def relay_states(self) -> dict[str, str]:
        """Return each known relay's address with its state: ``UP``, ``NOLB`` (drains) or ``DOWN``.

        ``UP 1/2`` is up with one failed check. HAProxy takes a new address for up until its first
        check has ended: that is ``UP unchecked``. Addresses that DNS no longer has, and free
        places, are left out.
        """
        async with httpx.AsyncClient(trust_env=False) as client:
            table = (await client.get(f"{self.stats_url}/;csv")).raise_for_status().text
        rows = csv.DictReader(table.removeprefix("# ").splitlines())
        return {
            row["addr"].rpartition(":")[0]: (
                row["status"] if "L7" in row["check_status"] else f"{row['status']} unchecked"
            )
            for row in rows
            if row["pxname"] == "relay"
            and row["svname"] != "BACKEND"
            and not row["status"].startswith("MAINT")
        }

    async def wait_for_relays(self, up: Iterable[str], *, within_s: float = 10.0) -> None:
        """Wait until exactly these addresses get new connections, each having passed a check.

        Raises:
            AssertionError: they weren't within ``within_s``; names the states last seen.
        """
        wanted = set(up)
        seen: dict[str, str] = {}

        async def check() -> bool:
            nonlocal seen
            self.check_alive()
            try:
                seen = await self.relay_states()
            except httpx.TransportError:
                return False  # it has not taken the socket over yet
            up_now = {address for address, state in seen.items() if state.startswith("UP")}
            return up_now == wanted and all(seen[address] == "UP" for address in wanted)

        try:
            await eventually(check, f"relays up: {sorted(wanted)}", within_s=within_s)
        except AssertionError as error:
            error.add_note(f"states last seen: {seen}")
            raise

    def log_text(self) -> str:
        """Return everything that HAProxy has logged so far."""
        size = os.fstat(self._log_file.fileno()).st_size
        return os.pread(self._log_file.fileno(), size, 0).decode(errors="replace")

    def check_alive(self) -> None:
        """Raise an AssertionError with the log if the process has ended."""
        if self._process is None or self._process.poll() is not None:
            raise AssertionError(f"haproxy is not running; its log:\n{self.log_text()}")

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    async def _start(self) -> None:
        self._dns.__enter__()
        self.set_relays(self._relays)
        config = CONFIG.read_text()
        if self._tls_pem is not None:
            config = config.replace("#tls ", "")
        for old, new in self._replacing.items():
            assert config.count(old) == 1, f"not once in {CONFIG}: {old}"
            config = config.replace(old, new)
        with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config_file:
            config_file.write(config)
            config_file.flush()
            self._spawn(config_file.name)
            # Once a relay is up, the file has been read.
            await self.wait_for_relays(self._relays, within_s=self._ready_within_s)

    def _spawn(self, config_path: str) -> None:
        binary = haproxy_binary()
        page_host, page_port = self._page or ("", 8080)
        self._dns.set(_PAGE_NAME, [page_host] if page_host else [])
        with ExitStack() as handed_over:
            public, tls, stats = (
                handed_over.enter_context(listening_sockets(["127.0.0.1"])[0]) for _ in range(3)
            )
            self._port, self._tls_port, self._stats_port = (
                sock.getsockname()[1] for sock in (public, tls, stats)
            )
            self._process = subprocess.Popen(
                [binary, "-db", "-f", config_path],
                env={
                    "LB_BIND": f"fd@{public.fileno()}",
                    "LB_TLS_BIND": f"fd@{tls.fileno()}",
                    "LB_TLS_PEM": str(self._tls_pem),
                    "LB_STATS_BIND": f"fd@{stats.fileno()}",
                    "LB_RESOLVER": self._dns.address,
                    "LB_RELAY_HOST": _RELAY_NAME,
                    "LB_RELAY_PORT": str(self._relay_port),
                    "LB_PAGE_HOST": _PAGE_NAME,
                    "LB_PAGE_PORT": str(page_port),
                    "LB_MAXCONN": "2000",
                    **self._environment,
                },
                pass_fds=[sock.fileno() for sock in (public, tls, stats)],
                stdin=subprocess.DEVNULL,
                stdout=self._log_file,
                stderr=self._log_file,
            )

    def _stop(self) -> None:
        if self._process is not None:
            # SIGTERM stops HAProxy at once; SIGUSR1 would wait for open sockets.
            self._process.terminate()
            try:
                self._process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._dns.__exit__(None, None, None)
        sys.stderr.write(f"--- haproxy's log ---\n{self.log_text()}")
        self._log_file.close()
