"""The built page under its own content security policy, in Chromium."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.page_server import PAGE_DIR, PageServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.async_api import ConsoleMessage, Page

pytestmark = pytest.mark.e2e

_PAGES = ["/", "/404", "/session/facilitator", "/session/facilitator?session=demo"]
_INJECT = """() => {
  const script = document.createElement("script");
  script.textContent = "window.injected = true";
  document.head.append(script);
  return window.injected ?? false;
}"""
_INJECT_STYLE = """() => {
  const style = document.createElement("style");
  style.textContent = "body { opacity: 0.5 }";
  document.head.append(style);
  return getComputedStyle(document.body).opacity;
}"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The page, from a web server that sends no policy of its own."""
    with PageServer() as server:
        server.wait_until_ready()
        yield f"http://127.0.0.1:{server.port}"


def _violations(page: Page) -> list[str]:
    """Collect what the browser says about the policy from now on."""
    said: list[str] = []

    def on_console(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            said.append(message.text)

    page.on("console", on_console)
    return said


@pytest.mark.parametrize("path", _PAGES)
async def test_own_page(page: Page, base_url: str, path: str) -> None:
    """Nothing of the page's own is against its policy."""
    said = _violations(page)
    await page.goto(base_url + path)
    await page.wait_for_load_state("networkidle")
    assert said == []
    assert await page.locator("h1").count() == 1


async def test_injected(page: Page, base_url: str) -> None:
    """A script or a style that somebody slips into the page does nothing."""
    await page.goto(base_url)
    said = _violations(page)
    assert await page.evaluate(_INJECT) is False
    assert await page.evaluate(_INJECT_STYLE) == "1"
    assert len(said) == 2


def test_every_page() -> None:
    """Each page of the export has a policy, without exceptions that would make it worth nothing."""
    pages = list(PAGE_DIR.rglob("*.html"))
    assert pages
    for page in pages:
        html = page.read_text("utf-8")
        assert html.count('http-equiv="Content-Security-Policy"') == 1, page
        assert "unsafe" not in html.split('Content-Security-Policy"')[1].split(">")[0], page
