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

import jwt
import pytest
from typer.testing import CliRunner

from relay.cli import app
from relay.embedded import EmbeddedBroker
from relay.settings import Settings
from tests.support.client import client
from tests.support.process import ROOT, Process, stable_port, wait_until
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess
from tests.support.tokens import OTHER_SECRET, SECRET

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


def _invoke(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Do what ``_run`` does in this process: for what fails before it does anything."""
    done = CliRunner().invoke(app, words, env={**_PLAIN, **environment})
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


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
    for command in ("serve", "dev", "token", "revoke"):
        assert f" {command} " in done.stdout


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(default) or "none"
    return "none" if default is None else str(default)


@pytest.mark.parametrize("columns", ["80", "120"])
def test_help_of_serve(columns: str) -> None:
    """``serve --help`` lists every setting with its flag, its variable and its default, uncut."""
    text = _run("serve", "--help", COLUMNS=columns).stdout
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert f"RELAY_{name.upper()};" in text
        assert f"{_shown(field.default)}]" in text
    assert "…" not in text.replace("example.com,…", "")


def test_help_of_token() -> None:
    """``token --help`` shows how to use it, in two lines to be copied."""
    lines = [line.strip() for line in _run("token", "--help", COLUMNS="80").stdout.splitlines()]
    begin = lines.index("export RELAY_JWT_SECRET=$(openssl rand -hex 32)")
    assert lines[begin - 1] == ""
    assert lines[begin + 1].startswith("hint-relay token --session ")


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
        (["--insecure", "--host", "192.0.2.1", "--port", "0"], "Can't listen on 192.0.2.1:0"),
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


_TOKEN = ["token", "--session", "demo"]
_SECRET = {"RELAY_JWT_SECRET": SECRET}


def test_a_token() -> None:
    """``token`` prints a token and nothing else on stdout; it is what was asked for."""
    words = [*_TOKEN, "--session", "team-*", "--sub", "ada", "--role", "observer", "--for", "15m"]
    done = _run(*words, RELAY_JWT_AUDIENCE="relay", RELAY_JWT_ISSUER="us", **_SECRET)
    assert done.returncode == 0, done.stderr
    made = done.stdout.removesuffix("\n")
    claims = jwt.decode(made, SECRET, ["HS256"], audience="relay", issuer="us")
    assert claims["sessions"] == ["demo", "team-*"]
    assert (claims["sub"], claims["role"]) == ("ada", "observer")
    assert claims["exp"] - claims["iat"] == 900
    assert made not in done.stderr
    assert SECRET not in done.stdout + done.stderr


def test_a_token_while_a_secret_is_replaced() -> None:
    """Of several secrets the first one signs."""
    done = _run(*_TOKEN, RELAY_JWT_SECRET=f"{SECRET} {OTHER_SECRET}")
    assert jwt.decode(done.stdout.strip(), SECRET, ["HS256"])["role"] == "facilitator"


@pytest.mark.parametrize(
    ("words", "environment", "told"),
    [
        (_TOKEN, {}, "openssl rand -hex 32"),
        (_TOKEN, {"RELAY_JWT_SECRET": "short"}, "32 are the least"),
        (_TOKEN, {"RELAY_JWT_SECRET": "  "}, "32 are the least"),
        (["token"], _SECRET, "--session"),
        (["token", "--session", "a b"], _SECRET, "'sessions'"),
        (["token", "--session", "a*b"], _SECRET, "'sessions'"),
        (["token", "--session", ""], _SECRET, "'sessions'"),
        ([*_TOKEN, "--for", "0h"], _SECRET, "12h or 7d"),
        ([*_TOKEN, "--for", "forever"], _SECRET, "12h or 7d"),
        ([*_TOKEN, "--role", "admin"], _SECRET, "observer"),
        ([*_TOKEN, "--sub", ""], _SECRET, "--sub"),
        ([*_TOKEN, "--sub", "x" * 129], _SECRET, "--sub"),
        (["revoke"], {}, "either --jti <id> or --sub <person>"),
        (["revoke", "--jti", "1", "--sub", "ada"], {}, "either"),
        (["revoke", "--jti", ""], {}, "--jti"),
        (["revoke", "--sub", "a\nb"], {}, "--sub"),
        (["revoke", "--jti", "1", "--for", "x"], {}, "12h or 7d"),
        (["revoke", "--jti", "1", "--redis-url", "nonsense"], {}, "RELAY_REDIS_URL"),
    ],
)
def test_wrong_words_about_tokens(words: list[str], environment: dict[str, str], told: str) -> None:
    """What can't be done is one sentence, without the secret."""
    text = _sentence(_invoke(*words, **environment))
    assert told in text
    assert SECRET not in text


def test_revoking_without_redis() -> None:
    """A revocation that reached nobody does not look like one."""
    text = _sentence(
        _invoke("revoke", "--jti", "1", "--redis-url", f"redis://127.0.0.1:{stable_port()}")
    )
    assert "Revoked" not in text


@pytest.mark.alone
async def test_revoking(redis_server: RedisServer, session_id: str) -> None:
    """``token``'s token opens a session of ``serve``'s, until ``revoke`` takes it back."""
    with RelayProcess(redis_server.url, environment=_SECRET) as relay:
        done = await asyncio.to_thread(
            _run, "token", "--session", session_id, "--sub", session_id, **_SECRET
        )
        made = done.stdout.strip()
        async with client(relay.ws_url, session_id, token=made) as facilitator:
            revoked = await asyncio.to_thread(
                _run, "revoke", "--sub", session_id, "--redis-url", redis_server.url
            )
            assert revoked.returncode == 0, revoked.stderr
            assert "Revoked" in revoked.stderr
            code, reason, _ = await facilitator.closed(2.0)
            assert (code, reason) == (1008, "Unauthorized")
        # What has been revoked stays revoked when the relay is another one.
        relay.kill()
        relay.start()
        await asyncio.to_thread(relay.wait_until_ready)
        async with client(relay.ws_url, session_id, welcome=False, token=made) as facilitator:
            assert (await facilitator.closed())[0] == 1008


@pytest.mark.parametrize(
    "words",
    [
        ["--host", "0.0.0.0"],
        ["--host", "::"],
        ["--host", "192.0.2.1"],
        ["--public-host", "0.0.0.0"],
        ["--host", "127.0.0.1", "--public-host", "relay.example.com"],
        ["--host", "0.0.0.0", "--public-host", "localhost.example.com"],
    ],
)
def test_open_relays(words: list[str]) -> None:
    """Without tokens ``serve`` refuses to be reached by strangers, and says what to do."""
    text = _sentence(_invoke("serve", "--port", "0", *words))
    for advice in ("RELAY_JWT_SECRET", "RELAY_JWT_KEY_FILE", "RELAY_JWKS_URL", "--insecure"):
        assert advice in text


@pytest.mark.parametrize(
    ("words", "environment"),
    [
        (["--insecure"], {}),
        (["--public-host", "127.0.0.1"], {}),
        (["--public-host", "localhost"], {}),
        ([], _SECRET),
    ],
)
def test_relays_that_may_be_reached(
    redis_server: RedisServer, words: list[str], environment: dict[str, str]
) -> None:
    """With tokens, or a word that something else keeps strangers out, it listens everywhere."""
    with Process(
        [str(_BIN / "hint-relay"), "serve", "--host", "0.0.0.0", "--port", "0", *words],
        {"RELAY_REDIS_URL": redis_server.url, **environment},
    ) as relay:
        relay.wait_for_output("link up")
        assert "Hint Relay on http://localhost:" in relay.output
        assert SECRET not in relay.output
        assert relay.stop() == 0


async def test_dev_with_tokens() -> None:
    """``dev`` under a secret asks for tokens as ``serve`` does, and shows an address that has one."""
    with Dev() as dev:
        dev.kill()
        dev._environment.update(_SECRET)
        dev.start()
        await asyncio.to_thread(dev.wait_until_told)
        said = re.search(r"session=demo#token=(\S+)", dev.output)
        assert said is not None
        async with client(dev.ws_url, "demo", token=said[1]) as facilitator:
            assert facilitator.first["you"] == "you"
        async with client(dev.ws_url, "demo", welcome=False) as stranger:
            assert (await stranger.closed())[0] == 1008


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


async def test_an_impatient_end() -> None:
    """Ctrl-C twice ends everything as well, and tells of no failure."""
    with Dev() as dev:
        await asyncio.to_thread(dev.wait_until_told)
        async with client(dev.ws_url, "demo"):
            dev.send(signal.SIGINT)
            # Any later, and there is nobody to be impatient with; any sooner, and the two are one.
            await asyncio.sleep(0.03)
            dev.send(signal.SIGINT)
            assert await asyncio.to_thread(dev.wait, 10) == 0
        assert "Stopped." in dev.output
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


async def test_dev_with_a_password(session_id: str) -> None:
    """A password of one's Redis is for the relay and the sample agent, and is neither shown nor listed."""
    with RedisServer("--requirepass", session_id) as server:
        url = f"redis://:{session_id}@127.0.0.1:{server.port}/0"
        with Dev("--redis-url", url, "--sample") as dev:
            await asyncio.to_thread(dev.wait_until_told)
            assert f"redis://:…@127.0.0.1:{server.port}/0" in dev.told("send")
            async with client(dev.ws_url, "demo") as facilitator:
                await facilitator.next_of("transcript", 20)
            assert session_id not in dev.output
            for child in _children(dev.pid):
                assert session_id not in Path(f"/proc/{child}/cmdline").read_text()
            assert await asyncio.to_thread(dev.stop) == 0


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
