"""``/openapi.json``, and whether the relay does what it says there."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import orjson
import pytest

from relay.messages import Command, Error, Feedback, Hint, Message, Seen, Transcript
from relay.publish_request import CONTRIBUTIONS, PUBLISHABLE
from relay.routes.openapi import describe
from relay.routes.openapi_schemas import problem_codes
from relay.settings import Settings
from tests.support.relay import RelayProcess, local_relay
from tests.support.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.redis import RedisServer

# So much that no request of these tests is refused for its rate.
_UNHURRIED = (
    "--publications-per-s", "100000", "--publication-burst", "100000", "--inbound-per-s", "100000",
    "--inbound-burst", "100000", "--handshakes-per-s", "100000", "--handshake-burst", "100000",
)  # fmt: skip


def test_the_same_each_time() -> None:
    """The document depends on nothing but the settings."""
    settings = Settings.load()
    assert orjson.dumps(describe(settings)) == orjson.dumps(describe(settings))
    assert describe(settings) != describe(Settings.load(max_history=10))


def test_every_type_is_described() -> None:
    """All types that can be sent have a schema, with their models' fields."""
    described = describe(Settings.load())["components"]["schemas"]
    models: dict[str, type[Message]] = {
        "hint": Hint,
        "transcript": Transcript,
        "error": Error,
        "feedback": Feedback,
    }
    models |= {"command": Command, "seen": Seen}
    assert models.keys() == {*CONTRIBUTIONS, *PUBLISHABLE}
    for kind, model in models.items():
        schema = described[model.__name__]
        assert schema["properties"]["type"]["const"] == kind
        assert schema["properties"].keys() >= model.model_fields.keys()
        assert "type" in schema["required"]


def test_its_own_examples() -> None:
    """Each example, of parameters, bodies and answers, is one that the document allows."""
    document = describe(Settings.load())
    found = list(_examples(document))
    assert len(found) > 12
    for schema, example in found:
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(
            example
        )


def _examples(part: Any) -> Iterator[tuple[dict[str, Any], Any]]:
    """Yield each schema in a part of the document with each example of what it describes."""
    if isinstance(part, list):
        for one in part:
            yield from _examples(one)
    if not isinstance(part, dict):
        return
    named = part.get("examples", {})
    if "schema" in part:
        if "example" in part:
            yield part["schema"], part["example"]
        yield from ((part["schema"], one["value"]) for one in named.values())
    elif isinstance(named, list):
        yield from ((part, one) for one in named)
    for one in part.values():
        yield from _examples(one)


def test_codes() -> None:
    """Every status that a problem can have says which codes come with it."""
    document = describe(Settings.load(jwt_secret=SECRET))
    used = {
        status
        for path in document["paths"].values()
        for method in ("get", "post")
        for status, answer in path.get(method, {}).get("responses", {}).items()
        if "$ref" in answer
    }
    assert used == {
        "400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "500", "503"
    }  # fmt: skip
    assert all(problem_codes(status) for status in used)


async def test_it_is_served(redis_server: RedisServer) -> None:
    """Anybody may read it, also where tokens are asked for; caches may keep it for a while."""
    async with (
        local_relay(redis_server.url, jwt_secret=SECRET, max_history=7) as relay,
        httpx.AsyncClient(base_url=relay.base_url, trust_env=False) as http,
    ):
        answers = [await http.get("/openapi.json") for _ in range(2)]
    first, second = answers
    assert (first.status_code, first.headers["content-type"]) == (200, "application/json")
    assert first.headers["cache-control"] == "public, max-age=300"
    assert first.content == second.content
    document = first.json()
    assert document["openapi"].startswith("3.1")
    read = document["paths"]["/sessions/{session}/messages"]["get"]
    assert read["security"] == [{"bearer": []}]
    assert read["parameters"][1]["schema"]["maximum"] == 7


def test_every_address_is_described(redis_server: RedisServer) -> None:
    """What the app routes to is in the document, but for the WebSocket, which has no place there."""
    from relay.app import create_app

    routes = {
        route.path  # type: ignore[attr-defined]
        for route in create_app(Settings.load(redis_url=redis_server.url)).routes
    }
    assert routes - {"/ws"} == describe(Settings.load())["paths"].keys()


@contextmanager
def _streams_ended(redis_server: RedisServer) -> Iterator[None]:
    """End every stream of events soon after it began: schemathesis waits for the end of answers."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.wait(0.005):
            answer = redis_server.command("PUBSUB", "CHANNELS", "hints:*")
            for channel in re.findall(rb"^(hints:.+?)\r$", answer, flags=re.MULTILINE):
                redis_server.command("PUBLISH", channel.decode(), '{"type":"kick"}')

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize(
    ("who", "options"),
    [
        # Streams take the longest, and are the same for all.
        ("agent", ["--phases", "examples,coverage,fuzzing", "--exclude-path", "/events"]),
        ("facilitator", ["--phases", "examples,fuzzing"]),
        ("nobody", ["--phases", "examples,fuzzing", "--exclude-path", "/events"]),
    ],
    ids=["agent", "facilitator", "open"],
)
def test_the_relay_does_what_it_says(
    redis_server: RedisServer, who: str, options: list[str], tmp_path: Path
) -> None:
    """Requests made from the document, right and wrong ones, get what it says, from each role.

    With all of schemathesis' checks: statuses, headers, types and schemas of answers; what breaks a
    rule is refused, what keeps them all is not; nobody gets in without a token; nothing fails.
    """
    is_open = who == "nobody"
    if not is_open:
        shown = token("*", role=who, sub="tester", exp=int(time.time()) + 600)
        options = [*options, "--header", f"Authorization: Bearer {shown}"]
    with (
        RelayProcess(
            redis_server.url,
            *_UNHURRIED,
            environment=None if is_open else {"RELAY_JWT_SECRET": SECRET},
        ) as relay,
        _streams_ended(redis_server),
    ):
        done = subprocess.run(
            [
                sys.executable, "-m", "schemathesis.cli", "run", f"{relay.base_url}/openapi.json",
                "--checks", "all", "--max-examples", "12",
                "--seed", "6", "--continue-on-failure", "--request-timeout", "5",
                *options,
            ],
            cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
        assert "Traceback" not in relay.output
        assert '"level":"error"' not in relay.output
    print(done.stdout)
