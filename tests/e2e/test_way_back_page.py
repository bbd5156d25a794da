"""The page in Chromium as somebody who answers: marks, stops, tells, and sees who else is there."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import expect

from producers import HintPublisher
from relay.messages import Command, Feedback
from tests.support.facilitator_page import FacilitatorPage
from tests.support.page_server import PAGE_DIR
from tests.support.process import Process
from tests.support.relay import RelayProcess
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from playwright.async_api import Browser, Locator

    from relay.messages import Message
    from tests.support.redis import RedisServer

pytestmark = pytest.mark.e2e


class AnsweringPage(FacilitatorPage):
    """The page, and what can be done on it."""

    def hint(self, hint_id: str) -> Locator:
        """One hint's card."""
        return self.page.locator(f'[data-testid="hint"][data-id="{hint_id}"]')

    async def press(self, hint_id: str, button: str) -> None:
        """Press a button of a hint."""
        card = self.hint(hint_id)
        await card.hover()
        await card.get_by_role("button", name=button, exact=True).click()

    async def shows(self, hint_id: str, words: str, timeout_s: float = 10.0) -> None:
        """Wait for words beside a hint."""
        await expect(self.hint(hint_id)).to_contain_text(words, timeout=timeout_s * 1000)

    async def stands(self, hint_id: str, status: str, timeout_s: float = 10.0) -> None:
        """Wait until a hint has this status."""
        await expect(self.hint(hint_id)).to_have_attribute(
            "data-status", status, timeout=timeout_s * 1000
        )


@pytest.fixture
def relays(redis_server: RedisServer) -> Iterator[list[RelayProcess]]:
    """Two relays that serve the built page."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(
                RelayProcess(redis_server.url, "--page-dir", str(PAGE_DIR), "--heartbeat-s", "1")
            )
            for _ in range(2)
        ]


@pytest.fixture
async def pages(
    browser: Browser, relays: list[RelayProcess], session_id: str
) -> AsyncIterator[list[AnsweringPage]]:
    """Two people at their screens, each on a relay of their own."""
    pages = []
    for relay in relays:
        context = await browser.new_context(viewport={"width": 1280, "height": 800})
        page = AnsweringPage(await context.new_page())
        await page.open(relay.base_url, session_id)
        pages.append(page)
    yield pages
    for page in pages:
        await page.page.context.close()


@pytest.fixture
async def publisher(redis_server: RedisServer) -> AsyncIterator[HintPublisher]:
    """An agent."""
    async with HintPublisher(redis_server.url) as publisher:
        yield publisher


class Heard:
    """What an agent has heard from facilitators."""

    def __init__(self, publisher: HintPublisher, session: str) -> None:
        self.messages: list[Message] = []
        self._listening = asyncio.create_task(self._listen(publisher, session))

    async def _listen(self, publisher: HintPublisher, session: str) -> None:
        async for message in publisher.listen(session, since="1-1"):
            if isinstance(message, Feedback | Command):
                self.messages.append(message)

    async def until(self, count: int) -> list[Message]:
        """Wait for so many, and a moment longer: for one too many."""
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)
        return self.messages

    async def close(self) -> None:
        """Stop listening."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


@pytest.fixture
async def heard(publisher: HintPublisher, session_id: str) -> AsyncIterator[Heard]:
    """The agent listens."""
    heard = Heard(publisher, session_id)
    yield heard
    await heard.close()


async def test_both_see_what_one_does(
    pages: list[AnsweringPage], publisher: HintPublisher, heard: Heard, session_id: str
) -> None:
    """What one facilitator does with hints, the other sees, and both still do after a reload."""
    used = (await publisher.hint(session_id, "Ask what the letter smelled like.")).id
    rated = (await publisher.hint(session_id, "Slow down.")).id
    pinned = (await publisher.hint(session_id, "Breathe.")).id
    one, other = pages
    await one.shows_hint("Breathe.")
    await one.press(used, "Used")
    await one.press(rated, "Helpful")
    await other.press(pinned, "Pin")

    async def both_show_it() -> None:
        for page in pages:
            await page.shows(used, "Used")
            await page.shows(rated, "Helpful")
            await page.shows(pinned, "Pinned")

    await both_show_it()
    for page in pages:
        await page.page.reload()
        await page.shows_status("connected")
    await both_show_it()
    messages = await heard.until(3)
    said = {(m.hint, m.action) for m in messages if isinstance(m, Feedback)}
    assert said == {(used, "used"), (rated, "helpful"), (pinned, "pinned")}
    assert len(messages) == 3


async def test_undo(
    pages: list[AnsweringPage], publisher: HintPublisher, heard: Heard, session_id: str
) -> None:
    """What was done is taken back in the same place, for both."""
    hint = (await publisher.hint(session_id, "Slow down.")).id
    one, other = pages
    await one.press(hint, "Dismiss")
    await other.shows(hint, "Dismissed")
    await one.press(hint, "Undo: dismissed")
    await expect(other.hint(hint)).not_to_contain_text("Dismissed")
    actions = [m.action for m in await heard.until(2) if isinstance(m, Feedback)]
    assert actions == ["dismissed", "restored"]


async def test_stop(
    pages: list[AnsweringPage],
    publisher: HintPublisher,
    session_id: str,
    figure: Callable[[str], None],
) -> None:
    """Stop ends the agent's loop where it waits, before the first word and after, on any relay."""
    for one, words in zip(pages, ("", "Let her finish, and then "), strict=True):
        pressing: asyncio.Task[float] | None = None
        async with publisher.stream_hint(session_id) as hint:
            await hint.append(words)
            await one.stands(hint.id, "streaming")
            stop = one.hint(hint.id).get_by_role("button", name="Stop", exact=True)
            # By the page's own clock: finding and reaching a button takes the test's mouse long.
            pressing = asyncio.create_task(stop.evaluate("b => { b.click(); return Date.now() }"))
            await asyncio.Event().wait()
        left_ms = time.time() * 1000
        assert pressing is not None
        took_ms = left_ms - await pressing
        assert hint.cancelled.is_set()
        for page in pages:
            await page.stands(hint.id, "cancelled")
            await page.shows(hint.id, "Stopped")
        figure(f"from the press to the end of the agent's block: {took_ms:.0f} ms")


async def test_what_is_done_offline_arrives_once(
    browser: Browser,
    relays: list[RelayProcess],
    publisher: HintPublisher,
    heard: Heard,
    session_id: str,
) -> None:
    """What is pressed while nothing gets through is kept, over a reload too, and sent once."""
    hint = (await publisher.hint(session_id, "Slow down.")).id
    context = await browser.new_context()
    async with TcpProxy(relays[0].port) as network:
        page = AnsweringPage(await context.new_page())
        await page.open(f"http://127.0.0.1:{network.port}", session_id)
        # Nothing comes back, while what is sent may or may not have arrived.
        network.freeze()
        await page.press(hint, "Used")
        await page.shows(hint, "Used")
        await page.shows_status("reconnecting")
        network.cut()
        network.thaw()
        await page.shows_status("connected")
        assert [m.type for m in await heard.until(1)] == ["feedback"]
        await page.page.reload()
        await page.shows_status("connected")
        await page.shows(hint, "Used")
        assert len(await heard.until(1)) == 1
    await context.close()


async def test_a_relay_dies_under_an_answer(
    pages: list[AnsweringPage],
    relays: list[RelayProcess],
    publisher: HintPublisher,
    heard: Heard,
    session_id: str,
) -> None:
    """What is pressed while the relay is killed arrives exactly once."""
    hint = (await publisher.hint(session_id, "Slow down.")).id
    one, other = pages
    await one.shows_hint("Slow down.")
    pressing = asyncio.create_task(one.press(hint, "Helpful"))
    await asyncio.sleep(0.05)
    relays[0].kill()
    await pressing
    relays[0].start()
    await one.shows_status("connected")
    await other.shows(hint, "Helpful")
    assert len(await heard.until(1)) == 1


async def test_steering(pages: list[AnsweringPage], heard: Heard, screenshots: Path) -> None:
    """What a facilitator tells the coach, the agent hears, and the other facilitator reads."""
    one, other = pages
    box = one.page.get_by_role("textbox", name="Tell the coach")
    await box.fill("More about the second act, please.")
    await box.press("Enter")
    (command,) = await heard.until(1)
    assert isinstance(command, Command)
    assert (command.name, command.text) == ("steer", "More about the second act, please.")
    assert (command.by or "").startswith("guest-")
    for page in pages:
        await expect(page.page.get_by_test_id("steer")).to_contain_text("More about the second act")
    await other.page.screenshot(path=screenshots / "steered.png", animations="disabled")


async def test_who_is_watching(
    pages: list[AnsweringPage], publisher: HintPublisher, session_id: str
) -> None:
    """Both read that two are watching; when one leaves, the other is alone, and the agent knows."""
    one, other = pages
    for page in pages:
        await expect(page.page.get_by_test_id("watching")).to_have_accessible_name(
            "2 watching", timeout=10_000
        )
    assert await publisher.watching(session_id) == 2
    await other.page.close()
    await expect(one.page.get_by_test_id("watching")).to_have_accessible_name(
        "Only you are watching", timeout=10_000
    )
    assert await publisher.watching(session_id) == 1


async def test_receipts(
    pages: list[AnsweringPage], publisher: HintPublisher, session_id: str
) -> None:
    """The agent learns who got a hint, who has seen it, and who acted on it."""
    hint = (await publisher.hint(session_id, "Slow down.")).id
    await pages[0].press(hint, "Used")
    async with asyncio.timeout(15):
        while True:
            receipt = await publisher.receipt(session_id, hint)
            if len(receipt.seen) == 2 and receipt.acted:
                break
            await asyncio.sleep(0.2)
    assert receipt.delivered == 2
    (actions,) = receipt.acted.values()
    assert actions == {"used"}
    assert set(receipt.acted) < receipt.seen


async def test_a_long_hint(
    pages: list[AnsweringPage], publisher: HintPublisher, session_id: str, screenshots: Path
) -> None:
    """A thousand tokens, a reload and a late page in the middle: all show the same text in the end."""
    words = [f"{('wörd', 'and', 'the', 'light,', '🎭')[n % 5]} " for n in range(1000)]
    one, other = pages
    async with publisher.stream_hint(session_id, priority="high") as hint:
        for n, word in enumerate(words):
            await hint.append(word)
            await asyncio.sleep(0.003)
            if n == 300:
                await one.page.screenshot(path=screenshots / "streaming.png")
                await one.page.reload()
            if n == 600:
                await other.page.goto("about:blank")
                await other.page.go_back()
    for page in pages:
        await page.stands(hint.id, "complete")
        text = await page.hint(hint.id).get_by_test_id("hint-text").text_content()
        assert text == "".join(words)


_ENDLESS = """
import asyncio, sys
from producers import HintPublisher

async def main():
    async with HintPublisher(sys.argv[1]) as publisher:
        async with publisher.stream_hint(sys.argv[2], id="endless") as hint:
            while True:
                await hint.append("word ")
                await asyncio.sleep(0.05)

asyncio.run(main())
"""


async def test_a_killed_agent(
    pages: list[AnsweringPage],
    redis_server: RedisServer,
    publisher: HintPublisher,
    session_id: str,
    screenshots: Path,
    figure: Callable[[str], None],
) -> None:
    """SIGKILL of the agent in the middle of a hint shows on every page, once."""
    with Process([sys.executable, "-c", _ENDLESS, redis_server.url, session_id]) as agent:
        for page in pages:
            await page.stands("endless", "streaming", timeout_s=15)
        await asyncio.sleep(1.0)
        agent.kill()
        killed_s = time.monotonic()
    for page in pages:
        await page.stands("endless", "interrupted", timeout_s=15)
    took_s = time.monotonic() - killed_s
    await pages[0].page.screenshot(path=screenshots / "interrupted.png", animations="disabled")
    # Both relays look after leases: a second end would be there by now.
    await asyncio.sleep(3.0)
    ended = []
    async with asyncio.timeout(5):
        last = (await publisher.hint(session_id, "last")).id
        async for message in publisher.listen(session_id, since="1-1"):
            if getattr(message, "status", None) == "interrupted":
                ended.append(message)
            if getattr(message, "id", None) == last:
                break
    assert len(ended) == 1
    figure(f"from SIGKILL to the pages: {took_s:.1f} s")
