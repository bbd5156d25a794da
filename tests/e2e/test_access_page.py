"""The page in Chromium: with tokens, without them, and where no WebSocket gets through."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from producers import HintPublisher
from relay.messages import Feedback
from tests.support.facilitator_page import FacilitatorPage
from tests.support.no_upgrades import NoUpgrades
from tests.support.page_server import PAGE_DIR
from tests.support.process import Process
from tests.support.relay import RelayProcess
from tests.support.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Page

    from tests.support.redis import RedisServer

pytestmark = pytest.mark.e2e


@pytest.fixture
def guarded(redis_server: RedisServer) -> Iterator[RelayProcess]:
    """A relay that asks for tokens."""
    flags = ("--page-dir", str(PAGE_DIR), "--jwt-secret", SECRET, "--jwt-leeway-s", "0")
    with RelayProcess(redis_server.url, *flags, "--heartbeat-s", "1") as relay:
        yield relay


@pytest.fixture
def relay(redis_server: RedisServer) -> Iterator[RelayProcess]:
    """A relay for this machine."""
    flags = ("--page-dir", str(PAGE_DIR), "--heartbeat-s", "1")
    with RelayProcess(redis_server.url, *flags) as relay:
        yield relay


@pytest.fixture
async def publisher(redis_server: RedisServer) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_server.url) as publisher:
        yield publisher


def _link(base_url: str, session: str, shown: str | None = None) -> str:
    fragment = "" if shown is None else f"#token={shown}"
    return f"{base_url}/session/facilitator?session={session}{fragment}"


def _connects(relay: RelayProcess) -> int:
    return relay.output.count('"connected"') + relay.output.count('"refused"')


async def test_a_good_token(
    guarded: RelayProcess, publisher: HintPublisher, page: Page, session_id: str
) -> None:
    """A link with a token opens the session, leaves the address bar, and says who acts."""
    await publisher.hint(session_id, "Slow down.", id="h1")
    shown = token(session_id, sub="ada")
    await page.goto(_link(guarded.base_url, session_id, shown))
    opened = FacilitatorPage(page)
    await opened.shows_status("connected")
    await opened.shows_hint("Slow down.")
    assert "token" not in page.url
    since = (await publisher.hint(session_id, "And breathe.", id="h2")).position
    await opened.shows_hint("And breathe.")
    await page.keyboard.press("u")
    async for message in publisher.listen(session_id, since):
        assert isinstance(message, Feedback)
        assert message.by == "ada"
        break
    assert shown not in guarded.output


async def test_no_token(
    guarded: RelayProcess, page: Page, session_id: str, screenshots: Path
) -> None:
    """Without a token the page says so and stops; a good link pasted later opens it."""
    await page.goto(_link(guarded.base_url, session_id))
    opened = FacilitatorPage(page)
    await opened.shows_status("refused")
    await expect(page.get_by_text("Your link is not valid")).to_be_visible()
    tries = _connects(guarded)
    await page.screenshot(path=screenshots / "unauthorized.png")
    await page.wait_for_timeout(3000)
    assert _connects(guarded) == tries
    await page.goto(_link(guarded.base_url, session_id, token("another", sub="ada")))
    await expect(page.get_by_text("No access to this session")).to_be_visible()
    await page.goto(_link(guarded.base_url, session_id, token(session_id, sub="ada")))
    await opened.shows_status("connected")


async def test_a_newer_token(
    guarded: RelayProcess, publisher: HintPublisher, page: Page, session_id: str
) -> None:
    """A newer link keeps the connection past the old one's end; without it the page says why."""
    expires_at = time.time() + 4
    await page.goto(
        _link(guarded.base_url, session_id, token(session_id, sub="ada", exp=expires_at))
    )
    opened = FacilitatorPage(page)
    await opened.shows_status("connected")
    newer = token(session_id, sub="ada", exp=time.time() + 9)
    await page.evaluate(f"location.hash = 'token={newer}'")
    await page.wait_for_timeout(5500)
    await publisher.hint(session_id, "Still here.")
    await opened.shows_hint("Still here.")
    assert guarded.output.count('"connected"') == 1
    await opened.shows_status("refused")
    await expect(page.get_by_text("Your link is not valid any more")).to_be_visible()


async def test_another_persons_link(
    guarded: RelayProcess, publisher: HintPublisher, page: Page, session_id: str
) -> None:
    """Whoever looks on and is then given a link of their own can answer with it at once."""
    since = (await publisher.hint(session_id, "Slow down.")).position
    await page.goto(_link(guarded.base_url, session_id, token(session_id, role="observer")))
    opened = FacilitatorPage(page)
    await opened.shows_hint("Slow down.")
    await expect(page.get_by_test_id("read-only")).to_be_visible()
    await page.goto(_link(guarded.base_url, session_id, token(session_id, sub="ada")))
    await expect(page.get_by_test_id("read-only")).to_have_count(0)
    await expect(page.get_by_test_id("token-notice")).to_have_count(0)
    await page.get_by_role("button", name="Used", exact=True).click()
    async for message in publisher.listen(session_id, since):
        assert isinstance(message, Feedback)
        assert message.by == "ada"
        break
    await opened.shows_hint("Slow down.")


async def test_an_observer(
    guarded: RelayProcess,
    publisher: HintPublisher,
    page: Page,
    session_id: str,
    screenshots: Path,
) -> None:
    """An observer's page shows everything, offers nothing to press, and counts for nobody."""
    await publisher.hint(session_id, "Slow down.")
    await page.goto(_link(guarded.base_url, session_id, token(session_id, role="observer")))
    opened = FacilitatorPage(page)
    await opened.shows_hint("Slow down.")
    await expect(page.get_by_test_id("read-only")).to_be_visible()
    await expect(page.get_by_role("button", name="Used", exact=True)).to_have_count(0)
    await page.screenshot(path=screenshots / "observer.png")
    assert await publisher.watching(session_id) == 0


async def test_a_revoked_token(
    guarded: RelayProcess, redis_server: RedisServer, page: Page, session_id: str
) -> None:
    """A token that is revoked ends the page's connection, which says so and stays away."""
    shown = token(session_id, sub="ada", jti=f"of-{session_id}")
    await page.goto(_link(guarded.base_url, session_id, shown))
    opened = FacilitatorPage(page)
    await opened.shows_status("connected")
    words = ["revoke", "--jti", f"of-{session_id}", "--redis-url", redis_server.url]
    with Process([guarded.arguments[0], "-m", "relay.cli", *words]) as command:
        assert command.wait(20.0) == 0, command.output
    await opened.shows_status("refused", timeout_s=3.0)
    await expect(page.get_by_text("has been revoked")).to_be_visible()


async def test_where_websockets_are_blocked(
    relay: RelayProcess,
    publisher: HintPublisher,
    page: Page,
    session_id: str,
    screenshots: Path,
) -> None:
    """Without WebSockets everything works over HTTP, says so, and comes back after a relay's end."""
    await publisher.hint(session_id, "Before.", id="h0")
    async with NoUpgrades(relay.port) as proxy:
        await page.goto(_link(proxy.base_url, session_id))
        opened = FacilitatorPage(page)
        await opened.shows_status("connected", timeout_s=30.0)
        assert proxy.refused >= 2
        await opened.shows_hint("Before.")
        since = (await publisher.hint(session_id, "Live.", id="h1")).position
        await opened.shows_hint("Live.")
        await expect(page.get_by_test_id("fallback")).to_be_visible(timeout=15_000)
        await page.screenshot(path=screenshots / "fallback.png")
        await page.locator('[data-testid="hint"][data-id="h1"]').hover()
        await page.keyboard.press("u")
        async for message in publisher.listen(session_id, since):
            assert isinstance(message, Feedback)
            assert (message.hint, message.action) == ("h1", "used")
            break
        async with publisher.stream_hint(session_id) as growing:
            for word in ["one", "two", "three", "four", "five"]:
                await growing.append(f"{word} ")
        await opened.shows_hint("one two three four five")
        relay.kill()
        relay.start()
        relay.wait_until_ready()
        await publisher.hint(session_id, "While it was away.")
        await opened.shows_hint("While it was away.", timeout_s=40.0)
        for text in ("Before.", "Live.", "one two three four five"):
            await opened.shows_hint(text)
        proxy.lets_through = True
        await page.get_by_test_id("fallback").click()
        await page.get_by_role("button", name="Try now").click()
        await expect(page.get_by_test_id("fallback")).to_have_count(0, timeout=15_000)
        await publisher.hint(session_id, "By socket.")
        await opened.shows_hint("By socket.")


async def test_turned_away_where_websockets_are_blocked(
    redis_server: RedisServer, browser: Browser, page: Page, session_id: str
) -> None:
    """Who finds no place over HTTP reads why, and is let in once there is one."""
    flags = ("--page-dir", str(PAGE_DIR), "--max-connections-per-session", "1")
    with RelayProcess(redis_server.url, *flags) as relay:
        async with NoUpgrades(relay.port) as proxy, await browser.new_page() as first:
            await FacilitatorPage(first).open(relay.base_url, session_id)
            await page.goto(_link(proxy.base_url, session_id))
            await expect(page.get_by_text("Not connected yet")).to_be_visible(timeout=15_000)
            await expect(page.get_by_text("that it may have")).to_be_visible()
            await first.close()
            await page.get_by_role("button", name="Try now").click()
            await FacilitatorPage(page).shows_status("connected", timeout_s=30.0)


async def test_a_narrow_screen(
    guarded: RelayProcess, page: Page, session_id: str, screenshots: Path
) -> None:
    """On a phone, what stands beside the heading leaves it whole, however much that is."""
    await page.set_viewport_size({"width": 390, "height": 844})
    async with NoUpgrades(guarded.port) as proxy:
        await page.goto(_link(proxy.base_url, session_id, token(session_id, role="observer")))
        await expect(page.get_by_test_id("fallback")).to_be_visible(timeout=30_000)
        await expect(page.get_by_test_id("read-only")).to_be_visible()
        heading = await page.get_by_role("heading", name="Coach Hints").bounding_box()
        fallback = await page.get_by_test_id("fallback").bounding_box()
        await page.screenshot(path=screenshots / "observer-fallback-phone.png")
    assert heading is not None
    assert fallback is not None
    assert heading["height"] < 32, "the heading has more than one line"
    assert fallback["x"] + fallback["width"] <= 390


async def test_no_foreign_script(relay: RelayProcess, page: Page, session_id: str) -> None:
    """A script that got into the page is not run, and nothing of the page's own is held back."""
    violations: list[str] = []
    page.on(
        "console",
        lambda said: violations.append(said.text) if "Content Security" in said.text else None,
    )
    opened = FacilitatorPage(page)
    await opened.open(relay.base_url, session_id)
    assert violations == []
    await page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1';"
        " document.body.append(s); }"
    )
    assert await page.evaluate("window.broken") is None
    assert violations
    response = await page.request.get(_link(relay.base_url, session_id))
    assert response.headers["content-security-policy"] == "frame-ancestors 'none'"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["x-content-type-options"] == "nosniff"
