"""The ``hint-relay`` command, as the process that a terminal starts."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from relay.embedded import EmbeddedBroker
from relay.settings import Settings
from tests.support.client import client
from tests.support.process import ROOT, Process, stable_port, wait_until

if TYPE_CHECKING:
    from tests.support.redis import RedisServer

_BIN = Path(sys.executable).parent
_PLAIN = {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "80"}


def _run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("RELAY_") and name not in ("GITHUB_ACTIONS", "FORCE_COLOR")
    }
    return subprocess.run(
        [str(_BIN / "hint-relay"), *words],
        capture_output=True, text=True, cwd=ROOT, timeout=30, check=False,
        env={**kept, **_PLAIN, **environment},
    )  # fmt: skip


def _sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return what was said on stderr; the command must have failed with 2, without a traceback."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    # A narrow terminal breaks the line.
    return " ".join(done.stderr.split())


class Dev(Process):
    """``hint-relay dev`` on a free port, with a page."""

    def __init__(self, *flags: str) -> None:
        super().__init__([], _PLAIN)
        self.page_dir = self.folder / "page"
        self.page_dir.mkdir()
        (self.page_dir / "index.html").write_text("a page")
        self.arguments = [
            str(_BIN / "hint-relay"), "dev", "--port", "0", "--page-dir", str(self.page_dir),
            *flags,
        ]  # fmt: skip

    def wait_until_told(self) -> None:
        """Wait until it has said everything that it has to say."""
        self.wait_for_output("Ctrl-C stops everything")
        self.wait_for_output("link up")

    @property
    def ws_url(self) -> str:
        """Return its WebSocket address."""
        said = re.search(r"Open\s+http://(127\.0\.0\.1:\d+)/session/facilitator", self.output)
        assert said is not None, self.output
        return f"ws://{said[1]}/ws"

    def told(self, command: str) -> list[str]:
        """Return the words of the command that it tells people to type, which is on one line."""
        [line] = [line for line in self.output.splitlines() if f"hint {command} " in line]
        words = shlex.split(line)
        words[0] = str(_BIN / Path(words[0]).name)
        return words


def _children(pid: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.add(int(stat.parent.name))
    return found


def test_help() -> None:
    """``hint-relay --help`` lists all commands."""
    done = _run("--help")
    assert done.returncode == 0
    for command in ("serve", "dev"):
        assert f" {command} " in done.stdout


@pytest.mark.parametrize("columns", ["80", "120"])
def test_help_of_serve(columns: str) -> None:
    """``serve --help`` lists every setting with its flag, its variable and its default."""
    text = _run("serve", "--help", COLUMNS=columns).stdout
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert f"RELAY_{name.upper()};" in text
        assert f"{'none' if field.default is None else field.default}]" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "0"], "RELAY_WORKERS: Input should be greater than or equal to 1"),
        (["--port", "70000"], "RELAY_PORT"),
        (["--heartbeat-s", "0"], "RELAY_HEARTBEAT_S"),
        (["--log-level", "loud"], "RELAY_LOG_LEVEL"),
        (["--redis-url", "http://127.0.0.1"], "RELAY_REDIS_URL"),
        (["--redis-url", "redis://127.0.0.1:port/0"], "RELAY_REDIS_URL"),
        (["--page-dir", "/nowhere"], "make page"),
        (["--host", "192.0.2.1", "--port", "0"], "Can't listen on 192.0.2.1:0"),
    ],
)
def test_bad_settings(words: list[str], told: str) -> None:
    """A wrong setting is one sentence that names it, and the exit code is 2."""
    assert told in _sentence(_run("serve", *words))


def test_bad_variables() -> None:
    """A wrong variable is named as well, and its value, perhaps a secret, is not shown."""
    text = _sentence(
        _run("serve", RELAY_REDIS_URL="http://user:hunter2@example.org", RELAY_WORKERS="many")
    )
    assert "RELAY_REDIS_URL" in text
    assert "RELAY_WORKERS" in text
    assert "hunter2" not in text


@pytest.mark.parametrize("command", ["serve", "dev"])
def test_a_taken_port(command: str) -> None:
    """A port in use is one sentence that names it and ``--port``."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        text = _sentence(_run(command, "--port", str(port)))
    assert f"127.0.0.1:{port}" in text
    assert "--port" in text


def test_dev_with_a_wrong_page() -> None:
    """``dev`` explains a wrong setting as ``serve`` does."""
    assert "make page" in _sentence(_run("dev", "--port", "0", "--page-dir", "/nowhere"))
    assert "RELAY_REDIS_URL" in _sentence(_run("dev", "--port", "0", "--redis-url", "nonsense"))


def test_unknown_variables_are_told(redis_server: RedisServer) -> None:
    """A RELAY_* variable that is no setting is a warning, no reason not to start."""
    words = [str(_BIN / "hint-relay"), "serve", "--port", "0"]
    environment = {"RELAY_HEARTBEATS": "7", "RELAY_REDIS_URL": redis_server.url}
    with Process(words, environment) as relay:
        relay.wait_for_output("RELAY_HEARTBEATS")
        relay.wait_for_output("link up")
        assert relay.stop() == 0


async def test_dev() -> None:
    """``dev`` shows a page's address and a command that sends a hint there; Ctrl-C stops it."""
    with Dev() as dev:
        await asyncio.to_thread(dev.wait_until_told)
        async with client(dev.ws_url, "demo", replay="0") as facilitator:
            sent = await asyncio.to_thread(
                subprocess.run, dev.told("send"), capture_output=True, text=True, timeout=30,
                check=True, env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
            hint = await facilitator.next_of("hint")
            assert hint["text"] == "Ask what the letter said."
            assert hint["position"] == sent.stdout.strip()
            dev.send(signal.SIGINT)
            await facilitator.closed()
        assert await asyncio.to_thread(dev.wait, 10) == 0
        assert "Stopped." in dev.output
        assert "Traceback" not in dev.output


async def test_dev_beside_a_redis() -> None:
    """When Redis' own port is taken, ``dev`` takes another and tells the command to use it."""
    # Taken by us, or by somebody else already; either will do.
    with EmbeddedBroker(), Dev() as dev:
        await asyncio.to_thread(dev.wait_until_told)
        assert "--redis-url" in dev.told("send")
        async with client(dev.ws_url, "demo", replay="0") as facilitator:
            await asyncio.to_thread(
                subprocess.run, dev.told("send"), capture_output=True, timeout=30, check=True
            )
            assert await facilitator.texts(1) == ["Ask what the letter said."]
        assert await asyncio.to_thread(dev.stop) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("to_group", [False, True], ids=["alone", "group"])
async def test_dev_with_the_sample(number: signal.Signals, to_group: bool) -> None:
    """The sample agent plays, and ends with ``dev``, however that is ended."""
    with Dev("--sample") as dev:
        await asyncio.to_thread(dev.wait_until_told)
        agents = _children(dev.pid)
        assert len(agents) == 1
        async with client(dev.ws_url, "demo") as facilitator:
            assert "kitchen" in (await facilitator.next_of("transcript"))["text"]
        if to_group:
            # What a terminal does on Ctrl-C.
            os.killpg(dev.pid, number)
        else:
            dev.send(number)
        assert await asyncio.to_thread(dev.wait, 10) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in agents)
        assert "Traceback" not in dev.output


async def test_dev_with_a_redis_of_ones_own(redis_server: RedisServer) -> None:
    """With ``--redis-url`` there is no embedded broker; what is in that Redis is shown."""
    with Dev("--redis-url", redis_server.url) as dev:
        await asyncio.to_thread(dev.wait_until_told)
        assert "Embedded" not in dev.output
        async with client(dev.ws_url, "demo", replay="0") as facilitator:
            await asyncio.to_thread(
                subprocess.run,
                [*dev.told("send"), "--redis-url", redis_server.url],
                capture_output=True, timeout=30, check=True,
            )  # fmt: skip
            assert await facilitator.texts(1) == ["Ask what the letter said."]
        assert await asyncio.to_thread(dev.stop) == 0


async def test_the_told_command_finds_ones_own_redis(redis_server: RedisServer) -> None:
    """With ``--redis-url`` the told command names that Redis: nobody looks for it there."""
    with Dev("--redis-url", redis_server.url) as dev:
        await asyncio.to_thread(dev.wait_until_told)
        assert redis_server.url in dev.told("send")


async def test_dev_without_a_page(tmp_path: Path) -> None:
    """Where no page was built, ``dev`` says so and offers ``hint tail``, which shows a hint."""
    for package in ("relay", "producers"):
        shutil.copytree(ROOT / package, tmp_path / package)
    words = [sys.executable, "-P", "-m", "relay.cli", "dev", "--port", str(stable_port())]
    with Process(words, {**_PLAIN, "PYTHONPATH": str(tmp_path)}) as dev:
        await asyncio.to_thread(dev.wait_for_output, "link up")
        assert "There is no built page here" in dev.output
        told = {}
        for command in ("tail", "send"):
            [line] = [line for line in dev.output.splitlines() if f"hint {command} " in line]
            told[command] = [str(_BIN / "hint"), *shlex.split(line)[1:]]
        with Process(told["tail"]) as tail:
            await asyncio.to_thread(tail.wait_for_output, "waiting for hints")
            await asyncio.to_thread(
                subprocess.run, told["send"], capture_output=True, timeout=30, check=True
            )
            await asyncio.to_thread(tail.wait_for_output, "Ask what the letter said.")
        dev.send(signal.SIGINT)
        assert await asyncio.to_thread(dev.wait, 10) == 0


@pytest.mark.alone
def test_dev_frees_its_ports() -> None:
    """After ``dev`` has ended, the relay's and the broker's port are free."""
    with Dev() as dev:
        dev.wait_until_told()
        broker = re.search(r"Embedded broker on redis://127\.0\.0\.1:(\d+)/0", dev.output)
        assert broker is not None
        ports = [int(broker[1]), int(dev.ws_url.split(":")[2].partition("/")[0])]
        dev.send(signal.SIGINT)
        assert dev.wait(10) == 0
    for port in ports:
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_dev_only_for_this_machine() -> None:
    """``dev`` listens on loopback, whatever RELAY_HOST says."""
    with Dev() as dev:
        dev.kill()
        dev._environment["RELAY_HOST"] = "0.0.0.0"
        dev.start()
        wait_until(lambda: dev.output.count("link up") >= 1, "up")
        assert "Open  http://127.0.0.1:" in dev.output
