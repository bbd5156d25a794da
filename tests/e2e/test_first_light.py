"""From an agent to the page: redis-server, two relays, HAProxy, Chromium, all real."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import httpx
import pytest
from playwright.async_api import expect

from tests.deploy.haproxy import HAProxyProcess
from tests.support.client import client
from tests.support.facilitator_page import FacilitatorPage
from tests.support.page_server import PageServer
from tests.support.process import find_program, stable_port
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.async_api import Page

pytestmark = pytest.mark.e2e

_RELAYS = ("127.0.0.2", "127.0.0.3")


async def _run(*arguments: str) -> str:
    """Run a command as a person would; returns what it printed."""
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


async def _connections(relay: RelayProcess) -> int:
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{relay.base_url}/metrics")).text
    line = next(line for line in metrics.splitlines() if line.startswith("hint_relay_connections "))
    return int(float(line.split()[1]))


@pytest.mark.alone
async def test_agent_to_page(page: Page, session_id: str, figure: Callable[[str], None]) -> None:
    """A hint sent by hand is on the page within a second, also after its relay was killed."""
    async with AsyncExitStack() as stack:
        redis = stack.enter_context(RedisServer(append_only=True))
        port = stable_port(*_RELAYS)
        relays = [
            stack.enter_context(RelayProcess(redis.url, host=host, port=port)) for host in _RELAYS
        ]
        static = stack.enter_context(PageServer())
        static.wait_until_ready()
        balancer = await stack.enter_async_context(
            HAProxyProcess(relays=_RELAYS, relay_port=port, page=("127.0.0.1", static.port))
        )
        hint = [sys.executable, "-m", "producers", "send", "--redis-url", redis.url,
                "--session", session_id]  # fmt: skip
        facilitator = FacilitatorPage(page)

        # The page, before anything was said.
        await facilitator.open(balancer.base_url, session_id)
        await expect(page.get_by_role("heading", name="Coach Hints")).to_be_visible()
        await expect(page.get_by_test_id("hints-empty")).to_be_visible()

        # `hint send` from a shell.
        await _run(*hint, "Ask what the letter smelled like.")
        returned_s = time.monotonic()
        await facilitator.shows_hint("Ask what the letter smelled like.", 1.0)
        first_s = time.monotonic() - returned_s

        # Any Redis client, with neither id nor timestamp.
        await _run(
            find_program("redis-cli"), "-p", str(redis.port),
            "PUBLISH", f"hints:{session_id}", json.dumps({"type": "hint", "text": "hi by hand"}),
        )  # fmt: skip
        returned_s = time.monotonic()
        await facilitator.shows_hint("hi by hand", 1.0)
        plain_s = time.monotonic() - returned_s

        # The same hint on both relays.
        serving = relays[0] if await _connections(relays[0]) == 1 else relays[1]
        other = relays[1] if serving is relays[0] else relays[0]
        assert (await _connections(serving), await _connections(other)) == (1, 0)
        async with (
            client(relays[0].ws_url, session_id, replay="0") as left,
            client(relays[1].ws_url, session_id, replay="0") as right,
        ):
            await _run(*hint, "Slow down.")
            got = [await left.next_of("hint"), await right.next_of("hint")]
            assert got[0] == got[1]
            assert got[0]["text"] == "Slow down."
        await facilitator.shows_hint("Slow down.", 1.0)

        # The relay that serves the page is killed.
        serving.kill()
        killed_s = time.monotonic()
        await facilitator.shows_status("reconnecting", 5)
        # Published while nobody serves the page.
        await _run(*hint, "While you were away.")
        await facilitator.shows_status("connected", 15)
        back_s = time.monotonic() - killed_s
        assert await _connections(other) == 1
        await facilitator.shows_hint("While you were away.", 1.0)
        await _run(*hint, "And on it goes.")
        await facilitator.shows_hint("And on it goes.", 1.0)
        # All of them, once each.
        await expect(facilitator.hints).to_have_count(5)

    figure(
        f"hint send → page {first_s * 1000:.0f} ms, redis-cli PUBLISH → page "
        f"{plain_s * 1000:.0f} ms after the command's return; "
        f"relay killed → connected to the other in {back_s:.1f} s"
    )
