"""Starting and stopping: one process, or several that share a port."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from websockets.asyncio.client import connect

from producers import HintPublisher
from relay.close_codes import CloseCode
from relay.errors import SettingsError
from relay.server import bind, url_of
from relay.settings import Settings
from tests.support.client import client
from tests.support.process import stable_port, wait_until
from tests.support.relay import RelayProcess, local_relay
from tests.support.websocket import RawClient

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.redis import RedisServer


_COME_BACK = {int(code) for code in CloseCode if code.reconnect}


def _children(pid: int) -> dict[int, str]:
    """Return the processes that a process has started, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name, which comes before, can hold blanks and parentheses.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == pid and fields[0] != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            # It ended meanwhile.
            continue
    return found


def _workers(relay: RelayProcess) -> set[int]:
    return {pid for pid, words in _children(relay.pid).items() if "spawn_main" in words}


def _exists(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@contextmanager
def _stopped(pids: set[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            if _exists(pid):
                os.kill(pid, signal.SIGCONT)


@pytest.fixture
def two_workers(redis_server: RedisServer) -> Iterator[RelayProcess]:
    """A relay of two processes, both of them up."""
    with RelayProcess(redis_server.url, "--workers", "2", port=0) as relay:
        relay_is_up(relay)
        yield relay


def relay_is_up(relay: RelayProcess, started: int = 2) -> None:
    """Wait until this many workers have started in all."""
    wait_until(
        lambda: relay.output.count("worker started") >= started and len(_workers(relay)) == 2,
        "two workers",
        timeout_s=20,
    )


def test_binding_and_the_address() -> None:
    """Port 0 takes a free one; the address is one that a browser on this machine can open."""
    with bind(Settings.load(port=0)) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        assert url_of(listener) == f"http://127.0.0.1:{port}"
        assert os.get_inheritable(listener.fileno())


@pytest.mark.parametrize(
    ("host", "shown"), [("0.0.0.0", "localhost"), ("::1", "[::1]"), ("::", "localhost")]
)
def test_addresses_to_open(host: str, shown: str) -> None:
    """All addresses of the machine are shown as localhost, IPv6 in brackets."""
    with bind(Settings.load(host=host, port=0)) as listener:
        assert url_of(listener) == f"http://{shown}:{listener.getsockname()[1]}"


def test_no_waiting_for_acknowledgements() -> None:
    """What a loop of asyncio accepts is known as TCP, so that it turns Nagle's algorithm off."""
    with bind(Settings.load(port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("path", ["/events?session={}", "/sessions/{}/messages"])
async def test_peers_that_take_nothing(
    redis_server: RedisServer, session_id: str, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """Who takes nothing of what the kernel holds for it, or of a long answer, is dropped in the end."""
    monkeypatch.setattr("relay.server._UNTAKEN_TIMEOUT_MS", 1000)
    async with (
        local_relay(redis_server.url, linger_s=0.0) as relay,
        HintPublisher(redis_server.url) as publisher,
    ):
        # More than the client's side takes, and as much as the kernel, or our own buffer, holds for it.
        for _ in range(2 if "events" in path else 20):
            await publisher.hint(session_id, "x" * 50_000)
        with await RawClient.connect(relay.port, receive_buffer=4096) as deaf:
            target = path.format(session_id)
            await deaf.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await relay.until(lambda: len(relay.open_connections) > 0, "it is there")
            await relay.until_nothing_is_left(8.0)


def test_a_taken_port() -> None:
    """A port that somebody listens on is refused with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"{port}.*--port"):
            bind(Settings.load(port=port))


def test_a_port_that_another_relay_has_bound() -> None:
    """Of two relays that start at the same time on one port, the second is refused."""
    with (
        bind(Settings.load(port=0)) as first,
        pytest.raises(SettingsError, match="--port"),
        bind(Settings.load(port=first.getsockname()[1])),
    ):
        pass


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "nobody.invalid"])
def test_an_address_that_is_not_here(host: str) -> None:
    """An address that this machine does not have is refused by its name."""
    with pytest.raises(SettingsError, match=host):
        bind(Settings.load(host=host, port=0))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping(redis_server: RedisServer, session_id: str, number: signal.Signals) -> None:
    """A signal closes facilitators with a code that asks to come back, and ends with exit code 0."""
    with RelayProcess(redis_server.url) as relay:
        async with (
            client(relay.ws_url, session_id) as one,
            client(relay.ws_url, f"{session_id}-b") as two,
        ):
            relay.send(number)
            for facilitator in (one, two):
                code, _, _ = await facilitator.closed()
                assert code in _COME_BACK
        assert await asyncio.to_thread(relay.wait, 5) == 0
        assert "Traceback" not in relay.output
        wait_until(lambda: relay.output.count("disconnected") == 2, "a line for each")
        assert "worker stopped" in relay.output


async def test_stopping_with_a_reader_that_does_not_read(
    redis_server: RedisServer, session_id: str
) -> None:
    """A facilitator that reads nothing delays the end by no more than a few seconds."""
    # In a ring that holds everything nobody is too slow.
    with RelayProcess(redis_server.url, "--ring-bytes", "100000000") as relay:
        async with (
            HintPublisher(redis_server.url) as publisher,
            client(relay.ws_url, session_id) as other,
            connect(
                f"{relay.ws_url}?session={session_id}", proxy=None, max_queue=1, ping_interval=None
            ) as stalled,
        ):
            for n in range(200):
                await publisher.hint(session_id, f"{n} {'x' * 50_000}")
                assert await other.texts(1)
            relay.send(signal.SIGTERM)
            assert await asyncio.to_thread(relay.wait, 12) == 0
            stalled.transport.abort()
        assert "Traceback" not in relay.output


def test_stopping_without_redis() -> None:
    """A relay that waits for Redis ends as quickly as any other."""
    relay = RelayProcess(f"redis://127.0.0.1:{stable_port()}/0")
    relay.start()
    try:
        relay.wait_for_output("worker started")
        relay.send(signal.SIGTERM)
        assert relay.wait(5) == 0
        assert "Traceback" not in relay.output
    finally:
        relay.__exit__(None, None, None)


def test_stopping_frees_the_port(redis_server: RedisServer) -> None:
    """A relay can be started again at once on its port."""
    with RelayProcess(redis_server.url) as relay:
        port = relay.port
        assert relay.stop() == 0
        relay.start()
        wait_until(relay.is_ready, "ready again")
        assert relay.port == port


async def test_workers_share_the_port(
    two_workers: RelayProcess, redis_server: RedisServer, session_id: str
) -> None:
    """Each of two workers serves while the other stands still."""
    workers = _workers(two_workers)
    async with HintPublisher(redis_server.url) as publisher:
        for n, worker in enumerate(sorted(workers)):
            with _stopped(workers - {worker}):
                async with client(two_workers.ws_url, session_id, replay="0") as facilitator:
                    await publisher.hint(session_id, str(n))
                    assert await facilitator.texts(1) == [str(n)]


async def test_a_facilitator_on_each_worker(
    two_workers: RelayProcess, redis_server: RedisServer, session_id: str
) -> None:
    """Facilitators of one session get the same, whichever worker they came to."""
    one, two = sorted(_workers(two_workers))
    with _stopped({two}):
        first = client(two_workers.ws_url, session_id)
        here = await first.__aenter__()
    with _stopped({one}):
        second = client(two_workers.ws_url, session_id)
        there = await second.__aenter__()
    async with HintPublisher(redis_server.url) as publisher:
        for n in range(20):
            await publisher.hint(session_id, str(n))
    assert await here.texts(20) == await there.texts(20) == [str(n) for n in range(20)]
    await first.__aexit__(None, None, None)
    await second.__aexit__(None, None, None)


def test_a_killed_worker_is_replaced(two_workers: RelayProcess) -> None:
    """Another worker takes the place of one that was killed, and serves."""
    before = _workers(two_workers)
    killed, survivor = sorted(before)
    os.kill(killed, signal.SIGKILL)
    relay_is_up(two_workers, started=3)
    after = _workers(two_workers)
    assert survivor in after
    assert killed not in after
    with _stopped({survivor}):
        wait_until(two_workers.is_ready, "the new worker ready")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_stopping_workers(
    two_workers: RelayProcess, session_id: str, number: signal.Signals
) -> None:
    """A signal to the parent ends all: facilitators come back, exit code 0, no process is left."""
    started = set(_children(two_workers.pid))
    assert len(started) >= 2
    async with client(two_workers.ws_url, session_id) as facilitator:
        two_workers.send(number)
        code, _, _ = await facilitator.closed()
        assert code in _COME_BACK
    began_s = time.monotonic()
    assert await asyncio.to_thread(two_workers.wait, 10) == 0
    assert time.monotonic() - began_s < 8
    wait_until(lambda: not any(map(_exists, started)), "all processes gone", timeout_s=5)
    assert "Traceback" not in two_workers.output


def test_ctrl_c_in_a_terminal(two_workers: RelayProcess) -> None:
    """Ctrl-C, which a terminal sends to every process of the group, ends all without a traceback."""
    started = set(_children(two_workers.pid))
    os.killpg(two_workers.pid, signal.SIGINT)
    assert two_workers.wait(10) == 0
    wait_until(lambda: not any(map(_exists, started)), "all processes gone", timeout_s=5)
    assert "Traceback" not in two_workers.output


@pytest.mark.parametrize("delay_s", [0.0, 0.1, 0.3, 0.6])
def test_ctrl_c_while_workers_start(redis_server: RedisServer, delay_s: float) -> None:
    """Ctrl-C ends all without a traceback, however far workers have come."""
    with RelayProcess(redis_server.url, "--workers", "2", port=0).without_waiting() as relay:
        wait_until(lambda: len(_workers(relay)) == 2, "two workers begin", every_s=0.002)
        # They import their modules for about so long; no moment of it can be waited for.
        time.sleep(delay_s)
        os.killpg(relay.pid, signal.SIGINT)
        assert relay.wait(10) == 0
        assert "Traceback" not in relay.output


def test_workers_end_with_a_killed_parent(two_workers: RelayProcess) -> None:
    """Workers don't outlive a parent that was killed: they would hold the port for ever."""
    started = set(_children(two_workers.pid))
    two_workers.kill()
    wait_until(lambda: not any(map(_exists, started)), "all processes gone", timeout_s=10)
