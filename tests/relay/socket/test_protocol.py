"""The shortcut inside uvicorn: what it relies on there, and uvicorn's options under it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import ssl
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar, cast, get_type_hints

import httptools
import pytest
import structlog
import uvicorn
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server, ServerState
from websockets.asyncio.client import connect, unix_connect

from producers import HintPublisher
from relay.close_codes import CloseCode
from relay.socket.connection import Connection
from relay.socket.protocol import RelayProtocol
from relay.socket.upgrade import HAND_OVER
from tests.support.client import Client, client
from tests.support.process import find_program
from tests.support.relay import LocalRelay, PromptServer, local_relay
from tests.support.websocket import TEXT, Answer, RawClient, close_frame, frame, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.redis import RedisServer

ON_BOTH_LOOPS = pytest.mark.asyncio(loop_factories=["asyncio", "uvloop"])

Scope = dict[str, Any]


# What is relied on in uvicorn

_CHANGED = (
    "uvicorn {} has changed: look at relay/socket/protocol.py before taking the new version: "
)


def _contract(holds: object, what: str) -> None:
    assert holds, _CHANGED.format(uvicorn.__version__) + what


class Spy(HttpToolsProtocol):
    """Looks around in the moment of an upgrade."""

    seen: dict[str, Any]

    def handle_websocket_upgrade(self) -> None:
        error = _exception_under_way()
        type(self).seen = {
            "scope": dict(self.scope),
            "url": self.url,
            "headers": list(self.headers),
            "connections": self.connections,
            "tasks": self.tasks,
            "server_state": self.server_state,
            "config": self.config,
            "root_path": self.root_path,
            "app_state": self.app_state,
            "asgi_version": self.asgi_version,
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "is_counted": self in self.connections,
            "parser": self.parser,
            "cycle": self.cycle,
            "transport": self.transport,
            "error": error,
            "callers": [one.function for one in inspect.stack()[1:3]],
        }
        self.send_400_response("seen")


def _exception_under_way() -> BaseException | None:
    import sys

    return sys.exc_info()[1]


async def test_contract_of_an_upgrade() -> None:
    """At the upgrade, uvicorn's HTTP protocol holds what the shortcut takes from it."""
    config = Config(
        _not_found, http=Spy, ws="websockets-sansio", lifespan="off", root_path="/root",
        log_config=None, port=0,
    )  # fmt: skip
    behind = frame(TEXT, b"behind")
    path = "/ws%20x?session=a%20b"
    async with _running(config) as server:
        port = server.servers[0].sockets[0].getsockname()[1]
        with await RawClient.connect(port) as raw:
            await raw.send(request(path) + behind)
            assert (await raw.read_answer()).body == b"seen"
            _contract(await raw.read_to_end() == b"", "send_400_response does not close")
            name = raw.name
    seen = Spy.seen
    scope = seen["scope"]
    _contract(scope["method"] == "GET", "scope['method']")
    _contract(scope["http_version"] == "1.1", "scope['http_version']")
    _contract(scope["headers"] == seen["headers"], "headers is scope['headers']")
    _contract(
        (b"upgrade", b"websocket") in scope["headers"], "header names are bytes in lower case"
    )
    _contract(seen["url"] == path.encode(), "url is the request's target as it came")
    _contract(seen["config"] is config, "config")
    _contract(seen["server_state"] is server.server_state, "server_state")
    _contract(seen["connections"] is server.server_state.connections, "connections is shared")
    _contract(seen["tasks"] is server.server_state.tasks, "tasks is shared")
    _contract(seen["is_counted"], "a protocol is in connections from connection_made on")
    _contract(seen["root_path"] == "/root", "root_path")
    _contract(isinstance(seen["app_state"], dict), "app_state is the lifespan's state")
    _contract(seen["asgi_version"] == "3.0", "asgi_version")
    _contract(seen["scheme"] == "http", "scheme is http or https")
    _contract(seen["server"] == ("127.0.0.1", port), "server")
    _contract(seen["client"] == name, "client")
    _contract(isinstance(seen["transport"], asyncio.Transport), "transport")
    _contract(seen["cycle"] is None, "cycle is None before the first request")
    _contract(isinstance(seen["parser"], httptools.HttpRequestParser), "parser")
    _contract(
        seen["callers"][0] == "data_received", "handle_websocket_upgrade is called by data_received"
    )
    error = seen["error"]
    _contract(
        isinstance(error, httptools.HttpParserUpgrade),
        "handle_websocket_upgrade is called while HttpParserUpgrade is handled",
    )
    assert error is not None
    _contract(
        (request(path, key="x" * 24) + behind)[error.args[0] :] == behind,
        "the exception tells where the request ends",
    )


class Base(HttpToolsProtocol):
    """Notes what the base makes of a new connection."""

    made: ClassVar[list[dict[str, object]]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.made.append(_state(self))
        transport.close()


class Own(RelayProtocol):
    """Notes what ours makes of one."""

    made: ClassVar[list[dict[str, object]]] = []

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.made.append(_state(self))
        transport.close()


def _state(protocol: HttpToolsProtocol) -> dict[str, object]:
    assert protocol in protocol.connections
    assert protocol.flow._transport is protocol.transport
    plain = (str, int, tuple, type(None), bool)
    # Where it waits for its request is ours alone.
    state = {name: value for name, value in vars(protocol).items() if name != "_lobby"}
    return {name: value for name, value in state.items() if isinstance(value, plain)} | {
        "attributes": sorted(state)
    }


@ON_BOTH_LOOPS
@pytest.mark.parametrize("where", ["127.0.0.1", "::1", "uds", "tls"])
async def test_contract_of_a_new_connection(
    where: str, tmp_path: Path, certificate: tuple[Path, Path]
) -> None:
    """Our ``connection_made`` leaves the same behind as the base's."""
    found = []
    for kind in (Base, Own):
        kind.made.clear()
        path = str(tmp_path / kind.__name__)
        options: dict[str, Any] = {"host": "127.0.0.1" if where == "tls" else where, "port": 0}
        if where == "uds":
            options = {"uds": path}
        if where == "tls":
            options |= _tls(certificate)
        config = Config(_not_found, http=kind, lifespan="off", log_config=None, **options)
        async with _running(config) as server, asyncio.timeout(10):
            expected: tuple[object, object]
            if where == "uds":
                _, writer = await asyncio.open_unix_connection(path)
                expected = ((path, None), None)
            else:
                address = server.servers[0].sockets[0].getsockname()[:2]
                trust = ssl.create_default_context(cafile=str(certificate[0]))
                _, writer = await asyncio.open_connection(
                    *address, ssl=trust if where == "tls" else None
                )
                expected = (address, tuple(writer.get_extra_info("sockname")[:2]))
            while not kind.made:
                await asyncio.sleep(0.005)
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)
        (state,) = kind.made
        assert (state.pop("server"), state.pop("client")) == expected
        found.append(state)
    _contract(found[0] == found[1], "connection_made does more, or something else")


async def test_contract_of_a_request() -> None:
    """``cycle`` tells whether the last request has been answered."""
    hurry = asyncio.Event()
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        begun.set()
        await hurry.wait()
        await _not_found(scope, receive, send)

    config = Config(app, http=HttpToolsProtocol, lifespan="off", log_config=None, port=0)
    async with _running(config) as server:
        port = server.servers[0].sockets[0].getsockname()[1]
        with await RawClient.connect(port) as raw:
            await raw.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await begun.wait()
            (protocol,) = server.server_state.connections
            assert isinstance(protocol, HttpToolsProtocol)
            _contract(protocol.cycle.response_complete is False, "cycle.response_complete")
            hurry.set()
            assert (await raw.read_answer()).status == 404
            _contract(protocol.cycle.response_complete is True, "cycle.response_complete")


def test_contract_of_the_config() -> None:
    """A config has the attributes that the shortcut reads, and takes our class for ``http``."""
    config = Config(_not_found, http=RelayProtocol, headers=[("x", "y")], log_config=None)
    config.load()
    _contract(config.http_protocol_class is RelayProtocol, "http takes a class")
    _contract(callable(config.loaded_app), "loaded_app is the app with its middleware")
    _contract(config.reset_contextvars is False, "reset_contextvars, off unless asked for")
    _contract(config.ws_per_message_deflate is True, "ws_per_message_deflate, on unless set")
    _contract((b"x", b"y") in config.encoded_headers, "encoded_headers")


def test_contract_of_the_server() -> None:
    """A server's state is what open connections and tasks are kept in."""
    state = ServerState()
    _contract(state.connections == set(), "connections is a set")
    _contract(state.tasks == set(), "tasks is a set")
    _contract(state.default_headers == [], "default_headers is a list of pairs")
    _contract(
        get_type_hints(HttpToolsProtocol.__init__).keys()
        >= {"config", "server_state", "app_state", "_loop"},
        "a protocol is made of config, server_state, app_state and _loop",
    )


async def test_contract_of_shutting_down() -> None:
    """A server that stops calls ``shutdown`` of everything in ``connections``, and waits for them."""
    server = Server(Config(_not_found, lifespan="off", log_config=None, port=0))
    calls = []

    class Open:
        def shutdown(self) -> None:
            calls.append(self)
            asyncio.get_running_loop().call_later(0.05, connections.discard, self)

    connections: set[Any] = server.server_state.connections
    async with _running(server.config, server):
        connections |= {Open(), Open()}
    _contract(len(calls) == 2, "shutdown() is called once for each connection")
    _contract(not connections, "the server waits until connections is empty")


async def _not_found(scope: Scope, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})


@asynccontextmanager
async def _running(config: Config, server: Server | None = None) -> AsyncIterator[Server]:
    server = server or PromptServer(config)
    serving = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.005)
        yield server
    finally:
        server.should_exit = True
        await serving


# Any app under the shortcut


class Echo(asyncio.Protocol):
    """The least that can be handed a transport: sends back what it gets, as it came."""

    def __init__(self, response: bytes, open_connections: set[Any]) -> None:
        self._response = response
        self._open_connections = open_connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._open_connections.add(self)
        self.transport.write(self._response)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_connections.discard(self)

    def shutdown(self) -> None:
        self.transport.close()


@asynccontextmanager
async def _serving(app: Any, **options: Any) -> AsyncIterator[int]:
    """Run an app under the shortcut; yields its port."""
    given: dict[str, Any] = {
        "http": RelayProtocol, "ws": "websockets-sansio", "ws_per_message_deflate": False,
        "lifespan": "off", "log_config": None, "port": 0, **options,
    }  # fmt: skip
    async with _running(Config(app, **given)) as server:
        yield server.servers[0].sockets[0].getsockname()[1]


async def _ask(port: int, path: str = "/ws", **options: Any) -> Answer:
    with await RawClient.connect(port) as raw:
        answer = await raw.ask(request(path, **options))
        assert await raw.read_to_end() == b"", "closed after a refusal, and nothing more"
        return answer


async def _echo(scope: Scope, receive: Any, send: Any) -> None:
    assert scope["extensions"][HAND_OVER](Echo, None) is not None


@ON_BOTH_LOOPS
async def test_handing_over() -> None:
    """An endpoint that hands over is done, and the protocol has the transport."""
    async with _serving(_echo) as port:
        with await RawClient.connect(port) as raw:
            await raw.open("/ws")
            await raw.send(b"anything")
            assert await raw.read_exactly(8) == b"anything"


@ON_BOTH_LOOPS
@pytest.mark.parametrize("pieces", [["one"], ["one", "two"], ["x" * 100_000, "y" * 100_000]])
async def test_an_endpoint_that_takes_its_time(pieces: list[str]) -> None:
    """What a client sends before the hand-over comes whole and in order, and is bounded."""
    arrived = asyncio.Event()

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await arrived.wait()
        await _echo(scope, receive, send)

    async with _serving(app) as port:
        with await RawClient.connect(port) as raw:
            await raw.send(request("/ws"))
            sending = asyncio.create_task(_send_all(raw, pieces))
            for _ in range(20):
                await asyncio.sleep(0)
            arrived.set()
            assert (await raw.read_answer()).status == 101
            expected = "".join(pieces).encode()
            assert await raw.read_exactly(len(expected)) == expected
            await sending


async def _send_all(raw: RawClient, pieces: list[str]) -> None:
    for piece in pieces:
        await raw.send(piece.encode())
        await asyncio.sleep(0)


@ON_BOTH_LOOPS
@pytest.mark.parametrize("way", ["reset", "half-close"])
async def test_a_client_that_leaves_before_the_hand_over(way: str) -> None:
    """An endpoint gets None instead of a protocol when the client has gone."""
    gone = asyncio.Event()
    results = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        assert await receive() == {"type": "websocket.disconnect", "code": 1006}
        results.append(scope["extensions"][HAND_OVER](Echo, None))
        gone.set()

    async with _serving(app) as port, asyncio.timeout(10):
        with await RawClient.connect(port) as raw:
            await raw.send(request("/ws"))
            for _ in range(10):
                await asyncio.sleep(0)
            if way == "reset":
                raw.reset()
        await gone.wait()
    assert results == [None]


async def _raise(scope: Scope, receive: Any, send: Any) -> None:
    raise LookupError("on purpose")


async def _return(scope: Scope, receive: Any, send: Any) -> None:
    return


async def _close(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "websocket.close", "code": 1000})


async def _respond(scope: Scope, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"x-why", b"teapot")]
    await send({"type": "websocket.http.response.start", "status": 418, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"short ", "more_body": True})
    await send({"type": "websocket.http.response.body", "body": b"and stout"})


async def _accept(scope: Scope, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize(
    ("app", "status", "body"),
    [
        (_raise, 500, None),
        (_return, 500, None),
        (_close, 403, b""),
        (_respond, 418, b"short and stout"),
        # The one thing that uvicorn's own protocol can and this can't: see test_who_accepts.
        (_accept, 500, None),
    ],
)
async def test_apps_that_refuse(app: Any, status: int, body: bytes | None) -> None:
    """An app that fails, closes or responds gives the status that it gives under uvicorn's own."""
    async with _serving(app) as port, _serving(app, http="httptools") as plain:
        answer = await _ask(port)
        assert answer.status == status
        assert body is None or answer.body == body
        assert "content-length" in answer.headers
        assert "close" in answer.headers["connection"]
        assert "date" in answer.headers
        if app is _respond:
            assert (answer.headers["x-why"], answer.headers["content-type"]) == (
                "teapot",
                "text/plain",
            )
        if app is not _accept:
            assert (await _ask(plain)).status == status


async def test_who_accepts() -> None:
    """An app that accepts as under any server is refused with a reason in the log, not left hanging."""
    with structlog.testing.capture_logs() as lines:
        async with _serving(_accept) as port:
            assert (await _ask(port)).status == 500
    assert [line["event"] for line in lines] == ["the app failed"]


async def test_handing_over_twice() -> None:
    """A transport can be handed over once."""
    errors = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        hand_over = scope["extensions"][HAND_OVER]
        hand_over(Echo, None)
        try:
            hand_over(Echo, None)
        except RuntimeError as error:
            errors.append(str(error))

    async with _serving(app) as port:
        with await RawClient.connect(port) as raw:
            await raw.open("/ws")
    assert errors == ["this WebSocket has been answered already"]


async def test_the_scope_is_uvicorns() -> None:
    """The scope says the same as that of uvicorn's own protocol, but for the extension."""
    scopes: list[Scope] = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        scopes.append(scope)
        await _close(scope, receive, send)

    path = "/a%20b/%C3%A9?session=x%20y&since=1-2"
    headers = [("Sec-WebSocket-Protocol", "hints.v1, b"), ("Origin", "https://x.test"), ("X", "é")]
    for options in ({}, {"root_path": "/root"}):
        scopes.clear()
        async with (
            _serving(app, **options) as port,
            _serving(app, http="httptools", **options) as plain,
        ):
            for each in (port, plain):
                await _ask(each, path, headers=headers)
        ours, theirs = scopes
        assert set(ours.pop("extensions")) - set(theirs.pop("extensions")) == {HAND_OVER}
        for scope in (ours, theirs):
            # Ports and keys differ between any two connections.
            scope["headers"] = [h for h in scope["headers"] if h[0] != b"sec-websocket-key"]
            scope["server"] = scope["server"][0]
            scope["client"] = scope["client"][0]
        assert ours == theirs


@pytest.mark.parametrize("reset", [True, False])
async def test_reset_contextvars(reset: bool) -> None:
    """The app's task begins with an empty context when uvicorn is told so."""
    import contextvars

    variable = contextvars.ContextVar("variable", default="default")
    seen = []

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        await _close(scope, receive, send)

    variable.set("from outside")
    async with _serving(app, reset_contextvars=reset) as port:
        await _ask(port)
    assert seen == ["default" if reset else "from outside"]


async def test_stopping_before_the_hand_over() -> None:
    """A server that stops refuses who has not been answered yet, and does not wait for ever."""
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        begun.set()
        await receive()
        await receive()
        assert scope["extensions"][HAND_OVER](Echo, None) is None

    config = Config(
        app, http=RelayProtocol, ws="websockets-sansio", ws_per_message_deflate=False,
        lifespan="off", log_config=None, port=0,
    )  # fmt: skip
    async with asyncio.timeout(10), _running(config) as server:
        with await RawClient.connect(server.servers[0].sockets[0].getsockname()[1]) as raw:
            await raw.send(request("/ws"))
            await begun.wait()
            server.should_exit = True
            assert (await raw.read_answer()).status == 503
            assert await raw.read_to_end() == b""
    assert not server.server_state.tasks


async def test_limit_concurrency() -> None:
    """Open WebSockets count for the limit, which refuses plain requests and, as before, no WebSocket."""

    async def app(scope: Scope, receive: Any, send: Any) -> None:
        await (_echo if scope["type"] == "websocket" else _not_found)(scope, receive, send)

    async with _serving(app, limit_concurrency=2) as port:
        with await RawClient.connect(port) as one, await RawClient.connect(port) as two:
            await one.open("/ws")
            with await RawClient.connect(port) as third:
                assert (await third.ask(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")).status == 503
            await two.open("/ws")


# The relay under uvicorn's options


async def _says_hello(websocket: Any, publisher: HintPublisher, session: str) -> None:
    reader = Client(websocket)
    assert (await reader.next())["type"] == "connection"
    await publisher.hint(session, "hello")
    assert await reader.texts(1) == ["hello"]
    await reader.send({"type": "ping"})
    assert (await reader.next_of("heartbeat"))["position"]


def _own(relay: LocalRelay) -> int:
    return sum(isinstance(one, Connection) for one in relay.open_connections)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
            "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", str(key), "-out", str(certificate),
        ],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return certificate, key


@pytest.fixture
async def publisher(redis_server: RedisServer) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_server.url) as publisher:
        yield publisher


def _tls(certificate: tuple[Path, Path]) -> dict[str, Any]:
    return {"ssl_certfile": str(certificate[0]), "ssl_keyfile": str(certificate[1])}


@ON_BOTH_LOOPS
async def test_tls(
    redis_server: RedisServer,
    publisher: HintPublisher,
    certificate: tuple[Path, Path],
    session_id: str,
) -> None:
    """Under TLS a facilitator has a transport of its own too; hints, pings and closes go both ways."""
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with local_relay(redis_server.url, options=_tls(certificate), linger_s=0.0) as relay:
        url = f"wss://localhost:{relay.port}/ws?session={session_id}"
        async with connect(url, ssl=trust, proxy=None) as websocket:
            await _says_hello(websocket, publisher, session_id)
            assert _own(relay) == 1
            await asyncio.wait_for(await websocket.ping(), 10)
            relay.hub._give_up()
            await websocket.wait_closed()
            assert websocket.close_code == CloseCode.BROKER_LOST
        async with connect(url, ssl=trust, proxy=None) as websocket:
            assert (await Client(websocket).next())["type"] == "connection"
        assert websocket.close_code == 1000
        await relay.until_nothing_is_left()


@ON_BOTH_LOOPS
async def test_a_slow_reader_under_tls(
    redis_server: RedisServer,
    publisher: HintPublisher,
    certificate: tuple[Path, Path],
    session_id: str,
) -> None:
    """Under TLS, too, a slow reader's buffer is bounded, and it gets everything when it reads on."""
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    async with local_relay(
        redis_server.url, options=_tls(certificate), ring_bytes=20_000_000, heartbeat_s=60.0
    ) as relay:
        url = f"wss://localhost:{relay.port}/ws?session={session_id}"
        async with connect(
            url, ssl=trust, proxy=None, max_queue=1, ping_interval=None, compression=None
        ) as websocket:
            (connection,) = (one for one in relay.open_connections if isinstance(one, Connection))
            count = 0
            while not connection._is_paused:
                assert count < 1000, "it never has to wait"
                await publisher.hint(session_id, f"{count} {'x' * 20_000}")
                count += 1
            for _ in range(50):
                await publisher.hint(session_id, f"{count} {'x' * 20_000}")
                count += 1
                # TLS' own buffer and the socket's below it.
                assert connection._transport.get_write_buffer_size() <= 128 * 1024 + 21_000
            reader = Client(websocket)
            texts = await reader.texts(count)
            assert [text.split()[0] for text in texts] == [str(n) for n in range(count)]


async def test_root_path(
    redis_server: RedisServer, publisher: HintPublisher, session_id: str
) -> None:
    """A root path that a proxy cuts off does not disturb the routes."""
    async with (
        local_relay(redis_server.url, options={"root_path": "/relay"}) as relay,
        connect(f"{relay.ws_url}?session={session_id}", proxy=None) as websocket,
    ):
        await _says_hello(websocket, publisher, session_id)
        assert _own(relay) == 1


@pytest.mark.parametrize("date_header", [True, False])
async def test_headers(redis_server: RedisServer, session_id: str, date_header: bool) -> None:
    """Uvicorn's own headers and its date stand in the answer to a handshake."""
    options = {"headers": [("X-Relay", "é")], "date_header": date_header}
    async with local_relay(redis_server.url, options=options) as relay:
        with await RawClient.connect(relay.port) as raw:
            answer = await raw.open(f"/ws?session={session_id}")
            assert answer.headers["x-relay"] == "é"
            assert ("date" in answer.headers) is date_header
            assert "sec-websocket-extensions" not in answer.headers


@pytest.mark.parametrize(
    ("trusted", "address"),
    [
        ("127.0.0.0/8", "203.0.113.9"),
        ("192.0.2.1", "127.0.0.1"),
        (",", "127.0.0.1"),
    ],
)
async def test_proxy_headers(
    redis_server: RedisServer, session_id: str, trusted: str, address: str
) -> None:
    """The log has the facilitator's address as trusted proxies tell it, and only as they do."""
    with structlog.testing.capture_logs() as lines:
        async with local_relay(redis_server.url, trusted_proxies=trusted) as relay:
            with await RawClient.connect(relay.port) as raw:
                headers = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")]
                await raw.open(f"/ws?session={session_id}", headers=headers)
                await raw.welcome()
                await raw.send(close_frame())
                assert await raw.closed() == 1000
    clients = {line["event"]: line["client"] for line in lines if "client" in line}
    assert clients == {"connected": address, "disconnected": address}


async def test_compression(
    redis_server: RedisServer, publisher: HintPublisher, session_id: str
) -> None:
    """With compression asked for, uvicorn's own protocol serves, and compresses."""
    async with (
        local_relay(redis_server.url, options={"ws_per_message_deflate": True}) as relay,
        connect(f"{relay.ws_url}?session={session_id}", proxy=None) as websocket,
    ):
        await _says_hello(websocket, publisher, session_id)
        assert _own(relay) == 0
        assert [type(one).__name__ for one in websocket.protocol.extensions] == [
            "PerMessageDeflate"
        ]


async def test_a_client_that_would_compress(relay: LocalRelay, session_id: str) -> None:
    """A client's offer to compress is declined, and it is served on a transport of its own."""
    async with connect(
        f"{relay.ws_url}?session={session_id}", proxy=None, compression="deflate"
    ) as websocket:
        assert (await Client(websocket).next())["type"] == "connection"
        assert websocket.protocol.extensions == []
        assert _own(relay) == 1


@pytest.fixture
async def relay(redis_server: RedisServer) -> AsyncIterator[LocalRelay]:
    """A relay as it comes."""
    async with local_relay(redis_server.url, linger_s=0.0) as relay:
        yield relay


@ON_BOTH_LOOPS
async def test_unix_domain_socket(
    redis_server: RedisServer, publisher: HintPublisher, tmp_path: Path, session_id: str
) -> None:
    """Behind a Unix domain socket facilitators are served; they have no address."""
    from relay.app import create_app
    from relay.server import uvicorn_config
    from relay.settings import Settings

    path = str(tmp_path / "relay.sock")
    settings = Settings.load(redis_url=redis_server.url)
    config = uvicorn_config(settings, create_app(settings))
    config.uds = path
    with structlog.testing.capture_logs() as lines:
        async with _running(config) as server:
            uri = f"ws://localhost/ws?session={session_id}"
            async with unix_connect(path, uri=uri) as websocket:
                await _says_hello(websocket, publisher, session_id)
                assert any(isinstance(one, Connection) for one in server.server_state.connections)
    (connected,) = (line for line in lines if line["event"] == "connected")
    assert connected["client"] is None


@ON_BOTH_LOOPS
async def test_plain_requests_on_the_same_port(relay: LocalRelay, session_id: str) -> None:
    """Requests, kept alive and pipelined, work on the port, and a WebSocket can follow on the same."""
    live = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with await RawClient.connect(relay.port) as raw:
        for _ in range(3):
            answer = await raw.ask(live)
            assert (answer.status, answer.body) == (200, b'{"status":"live"}')
        await raw.send(live * 3)
        assert [(await raw.read_answer()).status for _ in range(3)] == [200] * 3
        await raw.open(f"/ws?session={session_id}")
        await raw.welcome()
        assert _own(relay) == 1


async def test_an_upgrade_behind_an_unanswered_request(relay: LocalRelay, session_id: str) -> None:
    """A WebSocket that is pipelined behind a request is refused: its answer would come among frames."""
    ready = b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n"
    with await RawClient.connect(relay.port) as raw:
        await raw.send(ready + request(f"/ws?session={session_id}"))
        assert (await raw.read_answer()).status == 400
        assert await raw.read_to_end() == b""
    await relay.until_nothing_is_left()


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@ON_BOTH_LOOPS
async def test_leaving_with_requests_behind_an_endless_answer(
    relay: LocalRelay, session_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who leaves an answer that others stand behind is gone at once, and nothing is written to it."""
    with await RawClient.connect(relay.port) as raw:
        await raw.send(_get(f"/events?session={session_id}") + _get("/health/live") * 2)
        await relay.until(lambda: relay.hub.readers == 1, "a reader")
        raw.reset()
    await relay.until_nothing_is_left(timeout_s=3)
    assert not caplog.records


@pytest.mark.parametrize("how", ["reset", "end", "garbage"])
@ON_BOTH_LOOPS
async def test_leaving_with_requests_unanswered(
    relay: LocalRelay, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has sent several requests and leaves, or ends with garbage, leaves no traceback behind."""
    behind = b"\x00garbage\r\n\r\n" if how == "garbage" else b""
    for number in range(20):
        with await RawClient.connect(relay.port) as raw:
            await raw.send(_get("/health/ready") * 5 + behind)
            # A little later each time: mostly in the middle of the first ones.
            await asyncio.sleep(number * 0.00015)
            if how == "reset":
                raw.reset()
            else:
                if how == "end":
                    raw.socket.shutdown(socket.SHUT_WR)
                await raw.read_to_end()
    await relay.until_nothing_is_left()
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == []


@ON_BOTH_LOOPS
async def test_thousands_of_requests_at_once(relay: LocalRelay) -> None:
    """Who sends thousands of requests in one go, and reads no answer, is not listened to any more."""
    with await RawClient.connect(relay.port) as raw:
        await raw.send(_get("/health/live") * 5000)
        with contextlib.suppress(ConnectionError):
            await raw.read_to_end()
    await relay.until_nothing_is_left()
    assert relay.count_of("limits_reached", limit="pipelined_requests") == 1


@pytest.mark.parametrize(
    "after",
    [b"no request\r\n\r\n", _get("/health/live") + _get("/" + "x" * 20_000)],
    ids=["garbage", "too large behind another one"],
)
async def test_no_refusal_in_the_middle_of_an_answer(
    relay: LocalRelay, session_id: str, after: bytes
) -> None:
    """What is no request ends the connection, and puts nothing into the answer that is on its way."""
    with await RawClient.connect(relay.port) as raw:
        assert (await raw.ask(_get(f"/events?session={session_id}"))).status == 200
        await raw.send(after)
        assert b"HTTP/1.1" not in await raw.read_to_end()
    await relay.until_nothing_is_left()


async def test_stopping_ends_an_answer_with_requests_behind_it(
    relay: LocalRelay, session_id: str
) -> None:
    """A server that stops says so in an endless answer, also when other requests stand behind it."""
    with await RawClient.connect(relay.port) as raw:
        assert (await raw.ask(_get(f"/events?session={session_id}"))).status == 200
        await raw.send(_get("/health/live"))
        await relay.until(lambda: _has_waiting_request(relay), "a request that waits")
        assert relay.server is not None
        relay.server.should_exit = True
        assert b'event: close\ndata: {"code":1012' in await raw.read_to_end()


def _has_waiting_request(relay: LocalRelay) -> bool:
    return any(isinstance(one, RelayProtocol) and one.pipeline for one in relay.open_connections)


@pytest.mark.parametrize("path", ["/nowhere", "/health/live", "/ws/", "/"])
async def test_an_unknown_path(relay: LocalRelay, path: str) -> None:
    """A WebSocket for a path that has none is refused with 403, as it always was."""
    assert (await _ask(relay.port, path)).status in (403, 404, 307)
    await relay.until_nothing_is_left()


async def test_graceful_shutdown_has_an_end(redis_server: RedisServer, session_id: str) -> None:
    """A client that does not read its close frame does not hold a server up for longer than it is told."""
    async with asyncio.timeout(10):
        async with local_relay(
            redis_server.url, options={"timeout_graceful_shutdown": 1}, ring_bytes=20_000_000
        ) as relay:
            raw = await RawClient.connect(relay.port, receive_buffer=4096)
            await raw.open(f"/ws?session={session_id}")
            (connection,) = (one for one in relay.open_connections if isinstance(one, Connection))
            async with HintPublisher(redis_server.url) as publisher:
                while not connection._is_paused:
                    await publisher.hint(session_id, "x" * 20_000)
        raw.reset()


async def test_stopping_closes_everybody(relay: LocalRelay, session_id: str) -> None:
    """A server that stops closes all with 1012."""
    async with (
        client(relay.ws_url, session_id) as one,
        client(relay.ws_url, f"{session_id}-b") as two,
    ):
        assert relay.server is not None
        relay.server.should_exit = True
        assert [(await each.closed())[0] for each in (one, two)] == [CloseCode.RESTART] * 2
    await relay.until_nothing_is_left()
