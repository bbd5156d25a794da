"""The page in Chromium after an absence: nothing is lost, nothing is shown twice, and it says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from producers import HintPublisher
from producers.replay import SAMPLE, read_recording
from tests.support.facilitator_page import FacilitatorPage, publish_sample
from tests.support.page_server import PAGE_DIR
from tests.support.redis import RedisServer
from tests.support.relay import RelayProcess
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Locator, Page

pytestmark = pytest.mark.e2e


class RecoveringPage(FacilitatorPage):
    """The page, and what it says of the reader's absence."""

    @property
    def away(self) -> Locator:
        """The divider among the hints."""
        return self.page.get_by_test_id("away")

    @property
    def notice(self) -> Locator:
        """Says that history is gone."""
        return self.page.get_by_test_id("notice").and_(
            self.page.locator('[data-kind="unrecovered"]')
        )

    async def shows_exactly(self, *texts: str) -> None:
        """Wait for these hints, the newest first, and no others."""
        await expect(self.hints).to_have_text(list(texts), timeout=10_000)

    async def shows_missed(self, *texts: str) -> None:
        """Wait for the divider, and for these hints as its group, the newest first."""
        await expect(self.away).to_have_attribute("data-count", str(len(texts)), timeout=10_000)
        await expect(self.away).to_contain_text(f"While you were away ({len(texts)})")
        missed = self.page.locator('[data-missed="true"]').get_by_test_id("hint-text")
        await expect(missed).to_have_text(list(texts))

    async def leave(self) -> None:
        """Go elsewhere in the same tab."""
        await self.page.goto("about:blank")

    async def come_back(self) -> None:
        """Go back to the session in the same tab."""
        await self.page.go_back()
        await self.shows_status("connected")


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


async def test_reload(
    page: Page, relay: RelayProcess, publisher: HintPublisher, session_id: str
) -> None:
    """A page that was away shows what it had shown and, set apart, what came meanwhile."""
    facilitator = RecoveringPage(page)
    await facilitator.open(relay.base_url, session_id)
    for text in ("one", "two"):
        await publisher.hint(session_id, text)
    await publisher.transcript(session_id, "I never opened it.", speaker="Actor")
    await facilitator.shows_exactly("two", "one")

    # Nothing came meanwhile: nothing to say.
    await page.reload()
    await facilitator.shows_status("connected")
    await facilitator.shows_exactly("two", "one")
    await expect(facilitator.away).to_have_count(0)

    await facilitator.leave()
    for text in ("three", "four"):
        await publisher.hint(session_id, text)
    await publisher.transcript(session_id, "Not once.", speaker="Actor")
    await facilitator.come_back()
    await facilitator.shows_exactly("four", "three", "two", "one")
    await facilitator.shows_missed("four", "three")
    await expect(page.get_by_test_id("away-lines")).to_have_attribute("data-count", "1")
    await expect(page.get_by_test_id("transcript-line")).to_have_count(2)

    # It stays over live hints and a reload that brings nothing, until it is waved away.
    await publisher.hint(session_id, "five")
    await facilitator.shows_exactly("five", "four", "three", "two", "one")
    await page.reload()
    await facilitator.shows_status("connected")
    await facilitator.shows_exactly("five", "four", "three", "two", "one")
    await facilitator.shows_missed("four", "three")
    await facilitator.away.get_by_role("button").click()
    await expect(facilitator.away).to_have_count(0)
    await expect(page.get_by_test_id("away-lines")).to_have_count(0)
    await facilitator.shows_exactly("five", "four", "three", "two", "one")


async def test_relay_killed_and_restarted(
    page: Page, relay: RelayProcess, publisher: HintPublisher, session_id: str
) -> None:
    """What is published while the relay is dead is shown once, set apart."""
    facilitator = RecoveringPage(page)
    await facilitator.open(relay.base_url, session_id)
    await publisher.hint(session_id, "before")
    await facilitator.shows_exactly("before")
    relay.kill()
    await facilitator.shows_status("reconnecting")
    for n in range(3):
        await publisher.hint(session_id, f"during {n}")
    relay.start()
    await facilitator.shows_status("connected", 30)
    await publisher.hint(session_id, "after")
    await facilitator.shows_exactly("after", "during 2", "during 1", "during 0", "before")
    await facilitator.shows_missed("during 2", "during 1", "during 0")
    await expect(facilitator.notice).to_have_count(0)


@pytest.mark.parametrize("way", ["reconnect", "reload"])
async def test_history_gone(page: Page, session_id: str, way: str) -> None:
    """A log that was lost is said to be; what was shown stays, and what is new is shown once."""
    facilitator = RecoveringPage(page)
    with (
        RedisServer() as redis,
        RelayProcess(redis.url, "--page-dir", str(PAGE_DIR), "--heartbeat-s", "1") as relay,
    ):
        async with TcpProxy(relay.port) as network, HintPublisher(redis.url) as publisher:
            await facilitator.open(f"http://127.0.0.1:{network.port}", session_id)
            await publisher.hint(session_id, "kept by the page", id="same")
            await facilitator.shows_exactly("kept by the page")
            if way == "reload":
                await facilitator.leave()
            else:
                network.refuse()
                network.cut()
                await facilitator.shows_status("reconnecting")
            redis.command("FLUSHALL")
            # One that was shown before is published again, as a producer does that comes back.
            await publisher.hint(session_id, "kept by the page", id="same")
            await publisher.hint(session_id, "new")
            if way == "reload":
                await facilitator.come_back()
            else:
                network.refuse(refuses=False)
                await facilitator.shows_status("connected")
            await expect(facilitator.notice).to_contain_text("could not be recovered")
            await facilitator.shows_exactly("new", "kept by the page")
            await facilitator.shows_missed("new")
            await publisher.hint(session_id, "live")
            await facilitator.shows_exactly("live", "new", "kept by the page")


async def test_two_tabs(
    browser: Browser, relay: RelayProcess, publisher: HintPublisher, session_id: str
) -> None:
    """Two tabs of one browser each keep their own place."""
    context = await browser.new_context()
    away, here = RecoveringPage(await context.new_page()), RecoveringPage(await context.new_page())
    for tab in (away, here):
        await tab.open(relay.base_url, session_id)
    await publisher.hint(session_id, "both")
    for tab in (away, here):
        await tab.shows_exactly("both")
    await away.leave()
    await publisher.hint(session_id, "one of them")
    await here.shows_exactly("one of them", "both")
    await here.page.reload()
    await here.shows_status("connected")
    await here.shows_exactly("one of them", "both")
    await expect(here.away).to_have_count(0)
    await away.come_back()
    await away.shows_exactly("one of them", "both")
    await away.shows_missed("one of them")
    await context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("device", "width", "height"), [("laptop", 1280, 800), ("phone", 390, 844)]
)
async def test_screenshots(
    browser: Browser, screenshots: Path, scheme: str, device: str, width: int, height: int
) -> None:  # fmt: skip
    """The sample rehearsal with an absence in the middle, and with its history gone."""
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        device_scale_factor=1.5,
    )
    facilitator = RecoveringPage(page)
    recording = read_recording(SAMPLE.read_text("utf-8").splitlines())
    hints = [index for index, line in enumerate(recording) if line.type == "hint"]
    left, back = hints[-4], hints[-1]
    with (
        RedisServer() as redis,
        RelayProcess(redis.url, "--page-dir", str(PAGE_DIR)) as relay,
    ):
        async with HintPublisher(redis.url) as publisher:
            await facilitator.open(relay.base_url, "act-two")
            await publish_sample(publisher, "act-two", slice(0, left))
            await expect(facilitator.hints).to_have_count(len(hints) - 4)
            await facilitator.leave()
            await publish_sample(publisher, "act-two", slice(left, back))
            await facilitator.come_back()
            await expect(facilitator.away).to_have_attribute("data-count", "3")
            await page.screenshot(
                path=screenshots / f"away-{device}-{scheme}.png", animations="disabled"
            )
            # One more, live: the group steps below it.
            await publish_sample(publisher, "act-two", slice(back, None))
            await expect(facilitator.hints).to_have_count(len(hints))
            await page.screenshot(
                path=screenshots / f"away-live-{device}-{scheme}.png", animations="disabled"
            )
            await facilitator.leave()
            redis.command("FLUSHALL")
            await publisher.hint("act-two", "Let the silence stand. She is about to go on.")
            await facilitator.come_back()
            await expect(facilitator.notice).to_be_visible()
            await expect(facilitator.hints).to_have_count(len(hints) + 1)
            # Nothing may stick out sideways, on the narrowest screen least of all.
            assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
            await page.screenshot(
                path=screenshots / f"notice-{device}-{scheme}.png", animations="disabled"
            )
    await page.close()
