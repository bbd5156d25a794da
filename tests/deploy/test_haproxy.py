"""The real HAProxy runs the real configuration file; the relays behind it are stand-ins."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.deploy.haproxy import (
    CONFIG,
    HAProxyProcess,
    eventually,
    haproxy_binary,
    listening_sockets,
)
from tests.deploy.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

pytestmark = pytest.mark.e2e

RELAYS = ("127.0.0.2", "127.0.0.3")
THIRD = "127.0.0.4"


@contextmanager
def stand_ins(relays: Sequence[str]) -> Iterator[dict[str, StandIn]]:
    """Relays that share a port, and the page; the key is the relay's address, or "page"."""
    with ExitStack() as stack:
        servers = {
            address: stack.enter_context(StandIn(address, listener))
            for address, listener in zip(relays, listening_sockets(relays), strict=True)
        }
        [listener] = listening_sockets(["127.0.0.1"])
        yield {**servers, "page": stack.enter_context(StandIn("page", listener))}


def in_front_of(
    servers: dict[str, StandIn],
    *,
    tls_pem: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> HAProxyProcess:
    """Return HAProxy for the first two relays and the page."""
    page = servers["page"]
    return HAProxyProcess(
        relays=RELAYS,
        relay_port=servers[RELAYS[0]].port,
        page=(page.host, page.port),
        tls_pem=tls_pem,
        environment=environment,
    )


@pytest.fixture(scope="module")
def shared() -> Iterator[dict[str, StandIn]]:
    """Servers for tests that leave them as they were."""
    with stand_ins(RELAYS) as servers:
        yield servers


@pytest.fixture
def servers() -> Iterator[dict[str, StandIn]]:
    """Servers that a test may drain or kill; one relay more than HAProxy knows at first."""
    with stand_ins([*RELAYS, THIRD]) as servers:
        yield servers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_haproxy(shared: dict[str, StandIn]) -> AsyncIterator[HAProxyProcess]:
    """HAProxy before the shared servers; neither it nor they keep anything from a test."""
    async with in_front_of(shared) as process:
        yield process


@pytest.fixture
async def own_haproxy(servers: dict[str, StandIn]) -> AsyncIterator[HAProxyProcess]:
    """HAProxy before the first two of a test's own servers."""
    async with in_front_of(servers) as process:
        yield process


@pytest.fixture
def haproxy(request: pytest.FixtureRequest) -> Iterator[HAProxyProcess]:
    """HAProxy before ``servers`` if the test has its own, else before the shared ones."""
    name = "own_haproxy" if "servers" in request.fixturenames else "shared_haproxy"
    process: HAProxyProcess = request.getfixturevalue(name)
    logged_before = len(process.log_text())
    yield process
    sys.stderr.write(f"--- haproxy's log of this test ---\n{process.log_text()[logged_before:]}")


@pytest.fixture
async def client(haproxy: HAProxyProcess) -> AsyncIterator[httpx.AsyncClient]:
    """A client that opens a new connection for each request."""
    async with httpx.AsyncClient(
        base_url=haproxy.base_url,
        trust_env=False,
        limits=httpx.Limits(max_keepalive_connections=0),
    ) as http:
        yield http


async def names_that_answer(client: httpx.AsyncClient, requests: int = 10) -> set[str]:
    """Return who answers a run of requests to the relays; each must succeed."""
    return {
        (await client.get("/sessions/demo/messages")).raise_for_status().json()["name"]
        for _ in range(requests)
    }


async def raw_exchange(haproxy: HAProxyProcess, request: bytes) -> bytes:
    """Send bytes as they are, which no client library would, and return the answer's head."""
    reader, writer = await asyncio.open_connection(*haproxy.address)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    finally:
        writer.close()
        await writer.wait_closed()


def headers_of(seen: dict[str, Any], name: str) -> list[str]:
    """Return all values of one header that a stand-in has seen."""
    return [value for key, value in seen["headers"] if key == name]


def test_the_configuration_has_no_warning() -> None:
    """HAProxy accepts the file as it is, with every default, and has nothing to remark."""
    checked = subprocess.run(
        [haproxy_binary(), "-c", "-f", str(CONFIG)],
        env={}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stdout + checked.stderr


def test_a_missing_haproxy_fails_with_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the binary a test fails, and says what to install."""
    monkeypatch.setattr("tests.deploy.haproxy.shutil.which", lambda *_args, **_options: None)
    with pytest.raises(FileNotFoundError, match="apt-get install haproxy"):
        haproxy_binary()


@pytest.mark.parametrize(
    "path",
    [
        "/sessions/demo/messages",
        "/sessions/demo/presence",
        "/sessions",
        "/health/live",
        "/health/ready",
        "/health",
        "/openapi.json",
    ],
)
async def test_the_relays_api_goes_to_a_relay(client: httpx.AsyncClient, path: str) -> None:
    """The relay's paths reach a relay."""
    answer = await client.get(path)
    assert any(relay in answer.text for relay in RELAYS)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/session/facilitator",
        "/session/facilitator?session=demo&token=secret",
        "/sessionsx",
        "/wsx",
        "/healthy",
        "/_next/static/chunks/main.js",
    ],
)
async def test_everything_else_goes_to_the_page(client: httpx.AsyncClient, path: str) -> None:
    """A path that only looks like one of the relay's reaches the page."""
    assert (await client.get(path)).json()["name"] == "page"


async def test_a_path_and_its_query_arrive_unchanged(client: httpx.AsyncClient) -> None:
    """HAProxy rewrites neither the path nor the query string."""
    seen = (await client.get("/sessions/a.b~c-d/messages?since=17-4&limit=2")).json()
    assert (seen["path"], seen["query"]) == ("/sessions/a.b~c-d/messages", "since=17-4&limit=2")


async def test_a_websocket_stays_open_both_ways(haproxy: HAProxyProcess) -> None:
    """A browser's WebSocket is upgraded and carries messages both ways."""
    async with connect(f"{haproxy.ws_url}/ws?session=demo", proxy=None) as ws:
        assert ws.response is not None
        assert ws.response.status_code == 101
        assert json.loads(await ws.recv())["query"] == "session=demo"
        await ws.send("hello")
        assert await ws.recv() == "hello"


async def test_server_sent_events_are_not_held_back(client: httpx.AsyncClient) -> None:
    """An event arrives while the response is still open."""
    async with client.stream("GET", "/events?session=demo") as answer:
        first = await asyncio.wait_for(anext(answer.aiter_lines()), 5)
    assert first.removeprefix("data: ") in RELAYS


async def test_sockets_are_spread_by_their_number(haproxy: HAProxyProcess) -> None:
    """The relay with the fewest open sockets gets the next one."""
    async with asyncio.TaskGroup() as group:
        opened = [
            group.create_task(connect(f"{haproxy.ws_url}/ws", proxy=None).__aenter__())
            for _ in range(8)
        ]
    sockets = [task.result() for task in opened]
    names = [json.loads(await ws.recv())["name"] for ws in sockets]
    assert {name: names.count(name) for name in RELAYS} == dict.fromkeys(RELAYS, 4)
    for ws in sockets:
        await ws.close()


async def test_a_draining_relay_keeps_its_sockets_and_gets_no_new_one(
    haproxy: HAProxyProcess, servers: dict[str, StandIn], client: httpx.AsyncClient
) -> None:
    """404 on /health/ready means: nobody new, and those who are here stay."""
    async with connect(f"{haproxy.ws_url}/ws", proxy=None) as ws:
        draining = json.loads(await ws.recv())["name"]
        (other,) = set(RELAYS) - {draining}
        await servers[draining].set_ready(404)
        await haproxy.wait_for_relays([other])
        assert (await haproxy.relay_states())[draining].startswith("NOLB")

        assert await names_that_answer(client) == {other}
        await ws.send("still here")
        assert await asyncio.wait_for(ws.recv(), 5) == "still here"


async def test_relays_without_redis_keep_their_sockets(
    haproxy: HAProxyProcess, servers: dict[str, StandIn], client: httpx.AsyncClient
) -> None:
    """Relays that are all not ready get nobody new, and cut nobody off."""
    async with connect(f"{haproxy.ws_url}/ws", proxy=None) as ws:
        await ws.recv()
        for relay in RELAYS:
            await servers[relay].set_ready(503)
        await haproxy.wait_for_relays([])
        assert (await client.get("/health/ready")).status_code == 503
        await ws.send("still here")
        assert await asyncio.wait_for(ws.recv(), 5) == "still here"

        for relay in RELAYS:
            await servers[relay].set_ready(200)
        await haproxy.wait_for_relays(RELAYS)
    assert await names_that_answer(client) == set(RELAYS)


async def test_a_killed_relay_is_not_noticed_by_new_facilitators(
    haproxy: HAProxyProcess, servers: dict[str, StandIn], client: httpx.AsyncClient
) -> None:
    """From the moment of a SIGKILL on every request succeeds; its sockets break at once."""
    async with connect(f"{haproxy.ws_url}/ws", proxy=None) as ws:
        killed = json.loads(await ws.recv())["name"]
        (other,) = set(RELAYS) - {killed}
        servers[killed].kill()

        assert await names_that_answer(client, requests=20) == {other}
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(ws.recv(), 5)
        await haproxy.wait_for_relays([other], within_s=5)


@pytest.mark.usefixtures("servers")
async def test_a_publish_is_never_sent_twice(
    haproxy: HAProxyProcess, client: httpx.AsyncClient
) -> None:
    """A POST whose relay died without an answer is not repeated on the other relay."""
    answer = await client.post("/sessions/demo/crash", json={})
    assert answer.status_code == 502
    await eventually(
        lambda: _number_up(haproxy, 1), "one relay is left, the other was never asked", within_s=5
    )
    assert len(await names_that_answer(client)) == 1


async def _number_up(haproxy: HAProxyProcess, number: int) -> bool:
    states = (await haproxy.relay_states()).values()
    return sum(state == "UP" for state in states) == number


@pytest.mark.usefixtures("servers")
async def test_a_new_relay_gets_traffic(haproxy: HAProxyProcess, client: httpx.AsyncClient) -> None:
    """`--scale relay=3` is noticed through DNS; nothing is restarted."""
    haproxy.set_relays([*RELAYS, THIRD])
    await haproxy.wait_for_relays([*RELAYS, THIRD])
    assert await names_that_answer(client) == {*RELAYS, THIRD}


async def test_a_removed_relay_gets_no_traffic(
    haproxy: HAProxyProcess, client: httpx.AsyncClient
) -> None:
    """`--scale relay=1` is noticed through DNS, and a socket that is still open stays so."""
    async with connect(f"{haproxy.ws_url}/ws", proxy=None) as ws:
        removed = json.loads(await ws.recv())["name"]
        (other,) = set(RELAYS) - {removed}
        haproxy.set_relays([other])
        await haproxy.wait_for_relays([other])
        assert await names_that_answer(client) == {other}
        await ws.send("still here")
        assert await asyncio.wait_for(ws.recv(), 5) == "still here"


async def test_no_more_relays_than_places(servers: dict[str, StandIn]) -> None:
    """LB_MAX_RELAYS bounds the number of relays that get traffic."""
    async with HAProxyProcess(
        relays=RELAYS[:1],
        relay_port=servers[RELAYS[0]].port,
        environment={"LB_MAX_RELAYS": "2"},
    ) as process:
        process.set_relays([*RELAYS, THIRD])
        await eventually(lambda: _number_up(process, 2), "two of three relays are up")


@pytest.mark.parametrize(
    "path",
    ["/metrics", "/metrics/", "/metrics?token=x", "/sessions/../metrics", "/ws/%2e%2e/metrics"],
)
async def test_metrics_are_refused(haproxy: HAProxyProcess, path: str) -> None:
    """No spelling of /metrics gets past HAProxy."""
    answer = await raw_exchange(
        haproxy, f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()
    )
    # The stand-ins answer everything with 200.
    assert answer.split(b" ")[1] in {b"400", b"404"}


async def test_forwarded_headers_are_haproxys_own(client: httpx.AsyncClient) -> None:
    """What a client claims about itself is replaced by what HAProxy has seen."""
    claims = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "X-Real-IP": "203.0.113.9",
        "Forwarded": "for=203.0.113.9;proto=https",
    }
    for path in ["/sessions/demo/messages", "/"]:
        seen = (await client.get(path, headers=claims)).json()
        assert headers_of(seen, "x-forwarded-for") == ["127.0.0.1"]
        assert headers_of(seen, "x-forwarded-proto") == ["http"]
        for name in ["x-forwarded-host", "x-forwarded-prefix", "x-real-ip", "forwarded"]:
            assert headers_of(seen, name) == []


async def test_forwarded_headers_of_a_handshake_are_haproxys_own(haproxy: HAProxyProcess) -> None:
    """The same holds for a WebSocket's handshake, whose Origin arrives untouched."""
    async with connect(
        f"{haproxy.ws_url}/ws",
        proxy=None,
        origin="https://app.example",  # type: ignore[arg-type]
        additional_headers={"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"},
    ) as ws:
        seen = json.loads(await ws.recv())
    assert headers_of(seen, "x-forwarded-for") == ["127.0.0.1"]
    assert headers_of(seen, "x-forwarded-proto") == ["http"]
    assert headers_of(seen, "origin") == ["https://app.example"]


async def test_a_token_is_never_logged(haproxy: HAProxyProcess, client: httpx.AsyncClient) -> None:
    """Neither a good request, nor a refused, nor a malformed one leaves its query in the log."""
    async with connect(f"{haproxy.ws_url}/ws?session=demo&token=S3CRET", proxy=None) as ws:
        await ws.recv()
    await client.get("/sessions/logged/messages?token=S3CRET")
    await client.get("/session/facilitator?token=S3CRET", headers={"Referer": "/?token=S3CRET"})
    await client.get("/metrics?token=S3CRET")
    for request in [
        b"GET http://host/sessions/absolute?token=S3CRET HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n",
        b"GET /sessions/last?token=S3CRET HTTP/1.1\r\nHost: a\r\nBad Header\r\n\r\n",
        b"GET /ws?token=S3CRET junk HTTP/1.1\r\n\r\n",
    ]:
        await raw_exchange(haproxy, request)

    async def all_logged() -> bool:
        log = haproxy.log_text()
        return all(
            part in log
            for part in ["GET /ws HTTP", "/sessions/logged/messages", "/metrics", "<BADREQ>"]
        )

    await eventually(all_logged, "the requests are in the log")
    assert "S3CRET" not in haproxy.log_text()


async def test_slow_senders_are_cut_off(shared: dict[str, StandIn]) -> None:
    """Neither a request's headers nor its body may trickle in for longer than LB_REQUEST_TIME."""
    async with in_front_of(shared, environment={"LB_REQUEST_TIME": "200ms"}) as haproxy:
        start = b"POST /sessions/demo/messages HTTP/1.1\r\nHost: a\r\n"
        for request in [start, start + b"Content-Length: 100\r\n\r\n[{"]:
            answer = await raw_exchange(haproxy, request)
            assert answer.startswith(b"HTTP/1.1 408 ")


async def test_wss_ends_at_the_load_balancer(shared: dict[str, StandIn], tmp_path: Path) -> None:
    """With the #tls lines in force wss works, http is sent to https, and browsers remember it."""
    pem = self_signed_pem(tmp_path)
    trust = ssl.create_default_context(cafile=pem)
    async with in_front_of(shared, tls_pem=pem) as haproxy:
        async with connect(f"{haproxy.wss_url}/ws?session=demo", proxy=None, ssl=trust) as ws:
            seen = json.loads(await ws.recv())
            await ws.send("hello")
            assert await ws.recv() == "hello"
        assert headers_of(seen, "x-forwarded-proto") == ["https"]

        async with httpx.AsyncClient(trust_env=False, verify=trust) as http:
            secure = await http.get(f"{haproxy.wss_url.replace('wss', 'https')}/health/ready")
            assert secure.headers["strict-transport-security"] == "max-age=31536000"
            plain = await http.get(f"{haproxy.base_url}/session/facilitator?session=demo")
        assert plain.status_code == 308
        assert plain.headers["location"].startswith("https://")
        assert plain.headers["location"].endswith("/session/facilitator?session=demo")


def self_signed_pem(folder: Path) -> Path:
    """Make a certificate for 127.0.0.1 and put its key into the same file."""
    certificate, key, both = (folder / name for name in ["cert.pem", "key.pem", "both.pem"])
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-out", certificate, "-keyout", key),
        ],
        check=True,
        capture_output=True,
    )
    both.write_text(certificate.read_text() + key.read_text())
    return both


async def test_the_statistics_are_private(
    haproxy: HAProxyProcess, client: httpx.AsyncClient
) -> None:
    """Status page and HAProxy's metrics answer on their own address and nowhere else."""
    async with httpx.AsyncClient(base_url=haproxy.stats_url, trust_env=False) as private:
        assert (await private.get("/health")).status_code == 200
        assert "haproxy_backend_active_servers" in (await private.get("/metrics")).text
        assert "Statistics Report" in (await private.get("/")).text
    for path in ["/;csv", "/haproxy?stats", "/stats"]:
        assert (await client.get(path)).json()["name"] == "page"
