"""Asking Redis again while it is away."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, TypeVar

from relay.backoff import full_jitter_s
from relay.errors import BrokerUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_T = TypeVar("_T")


async def patiently(ask: Callable[[], Awaitable[_T]], give_up_s: float) -> _T:
    """Ask until there is an answer; ``ask`` must be safe to repeat.

    Raises:
        BrokerUnavailable: Redis did not come back within ``give_up_s``.
    """
    loop = asyncio.get_running_loop()
    give_up_at_s = loop.time() + give_up_s
    failures = 0
    while True:
        try:
            return await ask()
        except BrokerUnavailable:
            pause_s = full_jitter_s(failures, random=random.random, base_s=0.1, cap_s=1.0)
            if loop.time() + pause_s >= give_up_at_s:
                raise
        failures += 1
        await asyncio.sleep(pause_s)
