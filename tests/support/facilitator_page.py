"""What tests do with the facilitator's page."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from playwright.async_api import expect

from producers.replay import SAMPLE, read_recording

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page

    from producers import HintPublisher


async def publish_sample(publisher: HintPublisher, session: str, part: slice = slice(None)) -> int:
    """Publish the sample, or a part of it, as if it had just been played; returns how many hints."""
    recording = read_recording(SAMPLE.read_text("utf-8").splitlines())
    began = time.time() - recording[-1].at_s
    for line in recording[part]:
        publish = publisher.hint if line.type == "hint" else publisher.transcript
        fields = line.model_dump(exclude={"at_s", "type", "text", "stream_s"})
        await publish(session, line.text, timestamp=began + line.at_s, **fields)
    return sum(line.type == "hint" for line in recording[part])


class FacilitatorPage:
    """The page in a tab, in the words of a person who looks at it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    async def open(self, base_url: str, session: str) -> None:
        """Open a session, and wait until it is connected."""
        await self.page.goto(f"{base_url}/session/facilitator?session={session}")
        await self.shows_status("connected")

    async def shows_status(self, status: str, timeout_s: float = 15.0) -> None:
        """Wait for a word beside the status dot."""
        await expect(self.page.get_by_test_id("status")).to_have_attribute(
            "data-status", status, timeout=timeout_s * 1000
        )

    @property
    def hints(self) -> Locator:
        """The texts of all hints."""
        return self.page.get_by_test_id("hint-text")

    async def shows_hint(self, text: str, timeout_s: float = 5.0) -> None:
        """Wait for a hint, which must be there exactly once."""
        await expect(self.hints.get_by_text(text, exact=True)).to_have_count(
            1, timeout=timeout_s * 1000
        )
