"""The page in Chromium against a real relay: how it looks, and how it bears a bad network."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from producers import HintPublisher
from tests.support.facilitator_page import FacilitatorPage, publish_sample
from tests.support.page_server import PAGE_DIR
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

pytestmark = pytest.mark.e2e


@pytest.fixture
def relay(redis_server: RedisServer) -> Iterator[RelayProcess]:
    """A relay that serves the built page."""
    with RelayProcess(redis_server.url, "--page-dir", str(PAGE_DIR), "--heartbeat-s", "1") as relay:
        yield relay


@pytest.fixture
async def publisher(redis_server: RedisServer) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_server.url) as publisher:
        yield publisher


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("device", "width", "height"), [("laptop", 1280, 800), ("phone", 390, 844)]
)
async def test_screenshots(
    browser: Browser, screenshots: Path, scheme: str, device: str, width: int, height: int
) -> None:  # fmt: skip
    """The sample rehearsal shows all its hints and lines, in light and dark, laptop and phone."""
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=1.5,
    )
    facilitator = FacilitatorPage(page)
    # A Redis of its own: the README shows these pictures, so the session has a name for people.
    with (
        RedisServer() as redis,
        RelayProcess(redis.url, "--page-dir", str(PAGE_DIR)) as relay,
    ):
        await facilitator.open(relay.base_url, "act-two")
        await page.screenshot(
            path=screenshots / f"empty-{device}-{scheme}.png", animations="disabled"
        )
        async with HintPublisher(redis.url) as publisher:
            hints = await publish_sample(publisher, "act-two")
        await expect(facilitator.hints).to_have_count(hints)
        await expect(page.get_by_role("heading", name="Transcript")).to_be_visible()
        await expect(page.get_by_text("Then read me the letter")).to_be_attached()
        # Nothing may stick out sideways, on the narrowest screen least of all.
        assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        await page.screenshot(
            path=screenshots / f"session-{device}-{scheme}.png", animations="disabled"
        )
    await page.close()


async def test_reload(
    page: Page, relay: RelayProcess, publisher: HintPublisher, session_id: str
) -> None:
    """After a reload the page has everything that is kept, once."""
    facilitator = FacilitatorPage(page)
    await facilitator.open(relay.base_url, session_id)
    for n in range(3):
        await publisher.hint(session_id, f"Hint {n}")
    await expect(facilitator.hints).to_have_count(3)
    await page.reload()
    await facilitator.shows_status("connected")
    await expect(facilitator.hints).to_have_count(3)


async def test_network_interruption(
    page: Page, relay: RelayProcess, publisher: HintPublisher, session_id: str
) -> None:
    """A network that swallows everything is noticed and said; afterwards nothing is missing."""
    facilitator = FacilitatorPage(page)
    async with TcpProxy(relay.port) as network:
        await facilitator.open(f"http://127.0.0.1:{network.port}", session_id)
        await publisher.hint(session_id, "before")
        await facilitator.shows_hint("before")
        network.freeze()
        await publisher.hint(session_id, "during")
        await facilitator.shows_status("reconnecting")
        network.cut()
        network.thaw()
        await facilitator.shows_status("connected")
        await facilitator.shows_hint("during")
        await publisher.hint(session_id, "after")
        await facilitator.shows_hint("after")
        await expect(facilitator.hints).to_have_count(3)


async def test_browser_offline(
    page: Page, relay: RelayProcess, publisher: HintPublisher, session_id: str
) -> None:
    """A browser that goes offline says so, and catches up when it is back."""
    facilitator = FacilitatorPage(page)
    async with TcpProxy(relay.port) as network:
        await facilitator.open(f"http://127.0.0.1:{network.port}", session_id)
        await page.context.set_offline(True)
        network.refuse()
        network.cut()
        await facilitator.shows_status("offline")
        await publisher.hint(session_id, "during")
        network.refuse(refuses=False)
        await page.context.set_offline(False)
        await facilitator.shows_status("connected")
        await facilitator.shows_hint("during")


async def test_thirty_reconnects_leave_nothing(
    page: Page,
    relay: RelayProcess,
    redis_server: RedisServer,
    session_id: str,
    figure: Callable[[str], None],
) -> None:
    """Neither memory nor listeners grow over reconnects, and there is one socket at the end."""
    facilitator = FacilitatorPage(page)
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable")

    async def measure() -> dict[str, float]:
        await devtools.send("HeapProfiler.collectGarbage")
        answer = await devtools.send("Performance.getMetrics")
        return {metric["name"]: metric["value"] for metric in answer["metrics"]}

    async with TcpProxy(relay.port) as network:
        await facilitator.open(f"http://127.0.0.1:{network.port}", session_id)
        measured = []
        for n in range(30):
            network.cut()
            await facilitator.shows_status("reconnecting")
            await facilitator.shows_status("connected")
            # The new connection carries; one card all the time, so that what grows is a leak.
            hint = {"type": "hint", "id": "the-same-card", "text": f"Hint {n}"}
            redis_server.command("PUBLISH", f"hints:{session_id}", json.dumps(hint))
            await facilitator.shows_hint(f"Hint {n}")
            if n in (9, 29):
                measured.append(await measure())
        # The page's own requests, then one socket for each cut.
        assert network.accepted >= 31
        assert network.open_connections < 10
    early, late = measured
    figure(
        f"20 more reconnects: heap {early['JSHeapUsedSize'] / 1e6:.2f} → "
        f"{late['JSHeapUsedSize'] / 1e6:.2f} MB, listeners {early['JSEventListeners']:.0f} → "
        f"{late['JSEventListeners']:.0f}, nodes {early['Nodes']:.0f} → {late['Nodes']:.0f}"
    )
    assert late["JSEventListeners"] <= early["JSEventListeners"] + 5
    assert late["Nodes"] <= early["Nodes"] + 200
    assert late["JSHeapUsedSize"] < early["JSHeapUsedSize"] + 500_000


async def test_malformed_publications(
    page: Page, relay: RelayProcess, redis_server: RedisServer, session_id: str
) -> None:
    """Whatever a careless producer publishes, the page goes on."""
    facilitator = FacilitatorPage(page)
    await facilitator.open(relay.base_url, session_id)
    for payload in (
        '{"type":"hint"}', '{"type":"hint","text":7}', '{"type":"poll","q":1}', '{"a":1}',
        '{"type":"hint","text":"<img src=x onerror=alert(1)>"}', "nonsense",
        '{"type":"hint","text":"fine","id":"f"}',
    ):  # fmt: skip
        redis_server.command("PUBLISH", f"hints:{session_id}", payload)
    await facilitator.shows_hint("fine")
    await facilitator.shows_hint("<img src=x onerror=alert(1)>")
    await expect(facilitator.hints).to_have_count(2)
    await facilitator.shows_status("connected")


async def test_bad_session(page: Page, relay: RelayProcess) -> None:
    """A link with a wrong session says so, and offers to enter another."""
    await page.goto(f"{relay.base_url}/session/facilitator?session=a%20b")
    await expect(page.get_by_role("textbox")).to_be_visible()
    await page.get_by_role("textbox").fill("demo")
    await page.get_by_role("textbox").press("Enter")
    await FacilitatorPage(page).shows_status("connected")


async def test_one_socket(page: Page, relay: RelayProcess, session_id: str) -> None:
    """A visit opens one socket, with the subprotocol and status 101, and leaving closes it."""
    sockets: list[str] = []
    page.on("websocket", lambda websocket: sockets.append(websocket.url))
    devtools = await page.context.new_cdp_session(page)
    statuses: list[int] = []
    await devtools.send("Network.enable")
    devtools.on(
        "Network.webSocketHandshakeResponseReceived",
        lambda event: statuses.append(event["response"]["status"]),
    )
    await FacilitatorPage(page).open(relay.base_url, session_id)
    assert len(sockets) == 1
    assert "token" not in sockets[0]
    assert statuses == [101]
    await page.goto("about:blank")
    relay.wait_for_output('"event":"disconnected"')
