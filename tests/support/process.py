"""Real processes for tests: started, watched, and ended by their ids."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

ROOT = Path(__file__).resolve().parents[2]

_SEARCH_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

# A test process that is killed, as Ctrl-C may do to pytest's workers, leaves no server behind.
_DIES_WITH_US = (
    ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv", path=_SEARCH_PATH) else []
)


def find_program(name: str) -> str:
    """Return a program's path; a missing one fails the test and says what to do."""
    path = shutil.which(name, path=_SEARCH_PATH)
    if path is None:
        raise AssertionError(f"{name} is not installed: `make test` installs it, or says how.")
    return path


def free_port(host: str = "127.0.0.1") -> int:
    """Return a port that is free now, for a program that can't take port 0 itself."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


_reserved: deque[socket.socket] = deque()
# More ports than any one test uses, and few enough descriptors.
_MOST_RESERVED = 64


def stable_port(*hosts: str) -> int:
    """Return a port that is this process's alone: where a server is, will be, was, or never is.

    It lies below the range that the kernel gives to outgoing connections and to port 0: while the
    server is away nobody else is given its port, and nobody who tries it connects to itself. Tests
    that run beside this one get other ports, and go on doing so while the newest 64 are in use here.

    Args:
        hosts: the loopback addresses on which it is free; 127.0.0.1 by default.
    """
    for _ in range(1000):
        port = 20_000 + secrets.randbelow(10_000)
        # UDP has its own ports: holding this one keeps other test processes off, and no server. The
        # kernel lets go of it with this process, which no lock file does.
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            for host in hosts or ("127.0.0.1",):
                with socket.socket() as probe:
                    probe.bind((host, port))
        except OSError:
            reservation.close()
            continue
        _reserved.append(reservation)
        if len(_reserved) > _MOST_RESERVED:
            _reserved.popleft().close()
        return port
    raise AssertionError("no port below the ephemeral range is free")


def wait_until(
    condition: Callable[[], bool], what: str, *, timeout_s: float = 10.0, every_s: float = 0.02
) -> None:
    """Wait until a condition holds; past the deadline the test fails with ``what``."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)


class Process:
    """A program that runs while the ``with`` block does; its output goes to a file.

    Args:
        arguments: the command line.
        environment: added to this process' own; RELAY_* variables are not inherited.
    """

    def __init__(self, arguments: Sequence[str], environment: dict[str, str] | None = None) -> None:
        self.arguments = list(arguments)
        self._environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith("RELAY_")},
            **(environment or {}),
        }
        self._folder = tempfile.TemporaryDirectory(prefix="hint-relay-test-")
        self.folder = Path(self._folder.name)
        self._output = self.folder / "output.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def output(self) -> str:
        """Return everything that the program has written."""
        return self._output.read_text("utf-8", errors="replace")

    @property
    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, again if it has ended; output is appended."""
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [*_DIES_WITH_US, *self.arguments],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def wait(self, timeout_s: float = 15.0) -> int:
        """Wait for the end; returns the exit code."""
        assert self._process is not None, "not started"
        return self._process.wait(timeout_s)

    def kill(self) -> None:
        """End it without a warning, and wait until it is gone."""
        if self.is_running:
            self.send(signal.SIGKILL)
            self.wait()

    def stop(self) -> int:
        """Ask it to end; one that does not within 15 s fails the test."""
        if self.is_running:
            self.send(signal.SIGTERM)
        return self.wait()

    def wait_for_output(self, text: str, timeout_s: float = 15.0) -> None:
        """Wait until the program has written a text; its death fails the test at once."""

        def found() -> bool:
            if text in self.output:
                return True
            assert self.is_running, f"{self.arguments[0]} has ended:\n{self.output}"
            return False

        wait_until(found, f"{text!r} from {self.arguments[0]}", timeout_s=timeout_s)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Kill, and show the output of a failed test."""
        if self.is_running:
            # A stopped process takes no SIGTERM, and nobody waits for a clean end here.
            self.send(signal.SIGCONT)
        self.kill()
        if error is not None:
            print(f"--- {' '.join(self.arguments)}\n{self.output[-8000:]}")
        self._folder.cleanup()
