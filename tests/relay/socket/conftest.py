"""Tests on real sockets can run on both event loops that the relay runs on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Let tests choose: uvloop, which uvicorn takes where it is installed, and asyncio's own."""
    factories = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    chosen = any("loop_factories" in mark.kwargs for mark in item.iter_markers("asyncio"))
    return factories if chosen else {"asyncio": asyncio.new_event_loop}
