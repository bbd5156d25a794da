"""Log lines, from a process of their own: logging is set up once for all of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.process import ROOT

if TYPE_CHECKING:
    from tests.support.redis import RedisServer

Json = dict[str, Any]


def _stderr(level: str, log_format: str, code: str) -> str:
    begin = (
        "import logging, structlog\n"
        "from relay.logs import configure_logs\n"
        f"configure_logs({level!r}, {log_format!r})\n"
        "log = structlog.get_logger('relay.test')\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", begin + code],
        capture_output=True, text=True, cwd=ROOT, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == "", "log lines go to stderr"
    return done.stderr


def _lines(code: str, level: str = "info") -> list[Json]:
    return [json.loads(line) for line in _stderr(level, "json", code).splitlines()]


def test_a_line() -> None:
    """A line is one JSON object with event, level, logger, time and its fields."""
    [line] = _lines("log.info('link up', channels=3, session='demo')")
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "link up",
        "level": "info",
        "logger": "relay.test",
        "channels": 3,
        "session": "demo",
    }


def test_lines_of_others() -> None:
    """Lines of uvicorn and of other libraries come out in the same shape."""
    lines = _lines(
        "logging.getLogger('uvicorn.error').warning('Invalid HTTP request %d', 7)\n"
        "logging.getLogger('asyncio').warning('slow')\n"
    )
    assert [(line["event"], line["level"], line["logger"]) for line in lines] == [
        ("Invalid HTTP request 7", "warning", "uvicorn.error"),
        ("slow", "warning", "asyncio"),
    ]
    assert all("timestamp" in line for line in lines)


_FAILURE = """
def fail():
    text = 'what a person said'
    raise KeyError('no such thing')
try:
    fail()
except KeyError:
    {call}
"""


@pytest.mark.parametrize(
    "call",
    ["log.exception('failed', n=1)", "logging.getLogger('uvicorn.error').exception('failed')"],
)
def test_an_exception(call: str) -> None:
    """A line with an exception is still one line, and says what was raised and where."""
    [line] = _lines(_FAILURE.format(call=call))
    assert (line["event"], line["level"]) == ("failed", "error")
    shown = json.dumps(line["exception"])
    assert "KeyError" in shown
    assert "no such thing" in shown
    assert "fail" in shown


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_an_exception_shows_no_values(log_format: str) -> None:
    """What variables held, people's words and passwords among it, stays out of the logs."""
    text = _stderr("info", log_format, _FAILURE.format(call="log.exception('failed')"))
    assert "KeyError" in text
    # The source line has it too; what a frame's variables held would show it as a value.
    assert "locals" not in text
    assert "'what a person said'" not in text.replace("text = 'what a person said'", "")


@pytest.mark.parametrize(
    "value",
    [
        "b'\\xff'",
        "object()",
        "{1: 2}",
        "2**70",
        "'\\ud800'",
        "float('nan')",
        "{1, 2}",
        "ValueError()",
    ],
)
def test_any_value_can_be_logged(value: str) -> None:
    """A field that JSON does not know costs its form, never the line."""
    [line] = _lines(f"log.info('odd', field={value})")
    assert line["event"] == "odd"


def test_levels() -> None:
    """Lines below the level are not written, whoever writes them."""
    lines = _lines(
        "log.warning('a'); log.error('b'); log.debug('c')\n"
        "logging.getLogger('uvicorn.error').warning('d'); logging.getLogger('x').error('e')\n",
        level="error",
    )
    assert [line["event"] for line in lines] == ["b", "e"]


@pytest.mark.parametrize("level", ["debug", "info"])
def test_no_news_of_uvicorn(level: str) -> None:
    """What uvicorn says about its start and about each connection is dropped: our lines have more."""
    lines = _lines(
        "uvicorn = logging.getLogger('uvicorn.error')\n"
        "uvicorn.info('connection open'); uvicorn.info('Started'); uvicorn.debug('ping')\n"
        "log.info('a')\n",
        level=level,
    )
    assert [line["event"] for line in lines] == ["a"]


def test_auto() -> None:
    """Without a terminal "auto" means JSON; "console" never does."""
    assert _stderr("info", "auto", "log.info('a')").startswith("{")
    console = _stderr("info", "console", "log.info('link up', channels=3)")
    assert not console.startswith("{")
    assert "link up" in console
    assert "channels=3" in console


def test_setting_up_twice() -> None:
    """Setting logging up again does not double the lines."""
    assert len(_lines("configure_logs('info', 'json'); log.info('a')")) == 1


_AGENT = """
import asyncio, sys
from producers import HintPublisher

async def main():
    async with HintPublisher(sys.argv[1]) as publisher:
        async with publisher.stream_hint("s") as hint:
            await hint.append("text")
            await asyncio.sleep(0.2)
    async with HintPublisher("redis://127.0.0.1:1/0", give_up_s=0.3) as publisher:
        try:
            await publisher.hint("s", "text")
        except Exception as error:
            print(type(error).__name__)

asyncio.run(main())
"""


def test_an_agent_s_output_is_its_own(redis_server: RedisServer) -> None:
    """In a program that set up no logging, stdout stays the program's, and stderr has warnings only."""
    done = subprocess.run(
        [sys.executable, "-c", _AGENT, redis_server.url],
        capture_output=True, text=True, timeout=30, check=True, cwd=ROOT,
    )  # fmt: skip
    assert done.stdout == "BrokerUnavailable\n"
    (warning,) = done.stderr.splitlines()
    assert "redis away, messages wait" in warning


def test_what_people_send_is_not_logged() -> None:
    """At debug the WebSocket library would write every frame, with tokens and people's words."""
    code = (
        "from relay.socket.inbound import Inbound\n"
        "from tests.support.websocket import TEXT, frame\n"
        "log.debug('this is')\n"
        "assert list(Inbound(1000).receive(frame(TEXT, b'a secret'))) == ['a secret']\n"
    )
    assert [line["event"] for line in _lines(code, "debug")] == ["this is"]
