"""How the packages hang together: imports point one way, and importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.support.process import ROOT

if TYPE_CHECKING:
    from pathlib import Path

# Each line may import from the lines above it and, without a cycle, from its own.
_LAYERS = [
    {"relay", "relay.errors", "relay.frames", "relay.token_bucket"},
    {"relay.position", "relay.identity", "relay.duration", "relay.rates"},
    {
        "relay.session", "relay.messages", "relay.close_codes", "relay.publication",
        "relay.log_slice", "relay.backoff", "relay.logs", "relay.metrics", "relay.redis_url",
        "relay.orphans",
    },
    {
        "relay.auth", "relay.auth.grant", "relay.auth.keyring", "relay.auth.origins",
        "relay.auth.addresses", "relay.auth.credentials", "relay.auth.revocations",
        "relay.auth.minting", "relay.auth.tokens", "relay.auth.jwks",
    },
    {"relay.settings", "relay.contribution"},
    {"relay.admission"},
    {
        "relay.broker", "relay.broker.keys", "relay.broker.wire", "relay.broker.broker",
        "relay.broker.link", "relay.broker.streaming", "relay.broker.presence",
        "relay.broker.receipts", "relay.broker.revocations", "relay.embedded",
    },
    {"relay.gate", "relay.token_watch", "relay.publish_request"},
    {"relay.feed", "relay.snapshot"},
    {"relay.hint_index"},
    {"relay.reader"},
    {"relay.room"},
    {"relay.roll", "relay.receipts", "relay.lease_watch"},
    {"relay.attendance", "relay.inbox"},
    {"relay.audience", "relay.hub"},
    {
        "relay.socket", "relay.socket.lobby", "relay.socket.handshake", "relay.socket.inbound", "relay.socket.heartbeat",
        "relay.socket.upgrade", "relay.socket.protocol", "relay.socket.asgi_protocol",
        "relay.socket.records",
    },
    {"relay.socket.reader"},
    {"relay.socket.serving"},
    {"relay.socket.woken_reader"},
    {"relay.socket.connection", "relay.socket.asgi_connection", "relay.socket.event_stream"},
    {
        "relay.routes", "relay.routes.problem", "relay.routes.feed_request", "relay.routes.ws",
        "relay.routes.health", "relay.routes.page", "relay.routes.messages", "relay.routes.events",
        "relay.routes.errors", "relay.routes.openapi_schemas", "relay.routes.openapi",
    },
    {"relay.app"},
    {"relay.server"},
    {"relay.cli"},
]  # fmt: skip

_PRODUCER_LAYERS = [
    {"producers.outbox", "producers.pacing", "producers.patience", "producers.tap"},
    {"producers.growth", "producers.listener", "producers.news", "producers.watching"},
    {"producers.receipts", "producers.streaming"},
    {"producers.publisher"},
    {"producers.loop_thread", "producers.replay"},
    {"producers.sync"},
    {"producers"},
    {"producers.input_text", "producers.rendering"},
    {"producers.cli"},
    {"producers.__main__"},
]

# Modules without a test file of their name, and the one that covers them.
_COVERED_BY = {
    "relay.errors": "tests/relay/test_messages.py",
    "relay.publication": "tests/relay/test_feed.py",
    "relay.log_slice": "tests/relay/test_feed.py",
    "relay.orphans": "tests/relay/test_server.py",
    "relay.redis_url": "tests/relay/test_settings.py",
    "relay.metrics": "tests/relay/routes/test_health.py",
    "relay.broker.keys": "tests/relay/broker/test_broker.py",
    "relay.broker.wire": "tests/relay/broker/test_link.py",
    "relay.reader": "tests/relay/socket/test_reader.py",
    "relay.room": "tests/relay/routes/test_ws.py",
    "relay.hub": "tests/relay/routes/test_ws.py",
    "relay.socket.upgrade": "tests/relay/socket/test_protocol.py",
    "relay.routes.errors": "tests/relay/routes/test_messages.py",
    "relay.routes.openapi_schemas": "tests/relay/routes/test_openapi.py",
    "relay.audience": "tests/relay/test_attendance.py",
    "relay.app": "tests/relay/test_server.py",
    "producers.__main__": "tests/producers/test_cli.py",
    "producers.tap": "tests/producers/test_watching.py",
    "producers.patience": "tests/producers/test_watching.py",
    "producers.loop_thread": "tests/producers/test_sync.py",
}


class Import(NamedTuple):
    """One import: who, what, and whether only a type checker sees it."""

    importer: str
    imported: str
    for_types: bool


def _name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def _modules() -> dict[str, Path]:
    return {
        _name_of(path): path
        for package in ("relay", "producers")
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def _imported(node: ast.stmt) -> list[str]:
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=str(module), level=0, names=names):
            # ``from relay.broker import keys`` names a module, ``from relay.hub import Hub`` a class.
            inside = [f"{module}.{alias.name}" for alias in names]
            modules = [name for name in inside if name in _modules()]
            return modules if len(modules) == len(inside) else [module, *modules]
        case ast.ImportFrom():
            raise AssertionError("imports are absolute")
    return []


def _imports_in(importer: str, tree: ast.AST, *, for_types: bool) -> list[Import]:
    found = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.stmt):
            found += [Import(importer, name, for_types) for name in _imported(node)]
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            for inner in node.body:
                found += [Import(importer, name, True) for name in _imported(inner)]
        else:
            found += _imports_in(importer, node, for_types=for_types)
    return found


@cache
def _imports() -> list[Import]:
    return [
        one
        for name, path in _modules().items()
        for one in _imports_in(name, ast.parse(path.read_text("utf-8")), for_types=False)
    ]


def _rank(layers: list[set[str]], module: str) -> int | None:
    return next((rank for rank, names in enumerate(layers) if module in names), None)


def _of(package: str) -> set[str]:
    return {name for name in _modules() if name.partition(".")[0] == package}


def test_every_module_has_a_layer() -> None:
    """Each module stands in exactly one layer."""
    for package, layers in (("relay", _LAYERS), ("producers", _PRODUCER_LAYERS)):
        listed = [name for layer in layers for name in layer]
        assert len(listed) == len(set(listed))
        assert set(listed) - _of(package) == set(), "a listed module is gone"
        assert _of(package) - set(listed) == set(), "say which layer a new module belongs to"


@pytest.mark.parametrize("layers", [_LAYERS, _PRODUCER_LAYERS], ids=["relay", "producers"])
def test_imports_point_one_way(layers: list[set[str]]) -> None:
    """A module imports, for types too, only from its own layer and from lower ones."""
    wrong = []
    for one in _imports():
        importer, imported = _rank(layers, one.importer), _rank(layers, one.imported)
        if importer is not None and imported is not None and imported > importer:
            wrong.append(f"{one.importer} imports {one.imported}")
    assert wrong == []


def test_no_cycle() -> None:
    """No module needs itself, also not by a detour or for types."""
    graph: dict[str, set[str]] = {name: set() for name in _modules()}
    for one in _imports():
        if one.imported in graph and one.imported != one.importer:
            graph[one.importer].add(one.imported)
    TopologicalSorter(graph).prepare()


def test_the_feed_is_pure() -> None:
    """The feed, and what it imports, knows neither asyncio nor Redis, nor anything that does I/O."""
    pure = {"relay.feed"}
    allowed = {"__future__", "collections", "collections.abc", "dataclasses", "enum", "itertools"}
    todo = ["relay.feed"]
    while todo:
        module = todo.pop()
        for one in _imports():
            if one.importer != module:
                continue
            if one.imported in _modules():
                if one.imported not in pure:
                    pure.add(one.imported)
                    todo.append(one.imported)
            else:
                assert one.imported in {*allowed, "bisect", "re", "struct", "typing"}, one
    assert pure == {
        "relay.feed", "relay.log_slice", "relay.position", "relay.publication", "relay.errors",
        "relay.frames",
    }  # fmt: skip


def test_redis_stays_in_its_folder() -> None:
    """Only relay/broker speaks to Redis, and only relay/embedded.py stands in for it."""
    speakers = {
        one.importer
        for one in _imports()
        if one.imported.partition(".")[0] in ("redis", "hiredis", "fakeredis")
    }
    assert speakers == {"relay.broker.broker", "relay.broker.wire", "relay.embedded"}


def test_the_relay_knows_no_producer() -> None:
    """The relay imports nothing of the producers."""
    assert [
        one
        for one in _imports()
        if one.importer in _of("relay") and one.imported.partition(".")[0] == "producers"
    ] == []


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True, text=True, cwd=ROOT, timeout=60, check=False,
    )  # fmt: skip


_SERVERS = ("starlette", "uvicorn", "fastapi", "websockets", "relay.app", "relay.server")


def test_producers_need_no_server() -> None:
    """Importing all of the producers loads neither Starlette nor uvicorn, nor the relay's app."""
    done = _run(
        "import sys, importlib\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        "print(*sorted(sys.modules), sep='\\n')",
        *(_of("producers") - {"producers.__main__"}),
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "producers.cli" in loaded
    assert [name for name in loaded if name.startswith(_SERVERS)] == []


_IMPORT_EACH = """
import importlib, sys, threading

names = sys.argv[1:]
sys.dont_write_bytecode = True
# What other packages do when they are first imported is their business.
for name in names:
    importlib.import_module(name)

def forget():
    for name in list(sys.modules):
        if name.partition(".")[0] in ("relay", "producers"):
            del sys.modules[name]

current = ""

def watch(event, arguments):
    if event == "open" and str(arguments[0]).endswith((".py", ".pyc")):
        return
    if event == "open" or event.startswith((
        "socket.", "subprocess.", "os.fork", "os.exec", "os.mkdir", "os.remove", "os.rename",
        "os.system", "os.putenv", "os.posix_spawn", "signal.", "_thread.start_new_thread",
    )):
        print(f"{current}: {event} {arguments}")

forget()
sys.addaudithook(watch)
for current in names:
    forget()
    importlib.import_module(current)
assert threading.active_count() == 1
"""


def test_importing_does_nothing() -> None:
    """Each module can be the first that is imported, and no import opens a file or a socket."""
    done = _run(_IMPORT_EACH, *(name for name in _modules() if name != "producers.__main__"))
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr == ""


def _own_test(module: str) -> str:
    package, _, name = module.rpartition(".")
    return f"tests/{package.replace('.', '/')}/test_{name}.py"


def test_every_module_is_tested() -> None:
    """Each module that holds code has a test file of its name, or is listed with one that is there."""
    assert _COVERED_BY.keys() <= _modules().keys(), "a listed module is gone"
    missing = []
    for name, path in _modules().items():
        if path.name == "__init__.py":
            continue
        candidates = {_own_test(name), _COVERED_BY.get(name, _own_test(name))}
        if not any((ROOT / candidate).is_file() for candidate in candidates):
            missing.append(name)
    assert missing == []


def test_packages_hold_no_code() -> None:
    """A package's ``__init__`` has a docstring and at most names what is public."""
    for name, path in _modules().items():
        if path.name == "__init__.py":
            for node in ast.parse(path.read_text("utf-8")).body:
                assert isinstance(node, ast.Expr | ast.ImportFrom | ast.Assign), name
