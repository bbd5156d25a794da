"""encode/broadcaster with Starlette, as in its README: one subscription for each WebSocket."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from broadcaster import Broadcast  # type: ignore[import-not-found, unused-ignore]
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


def create_app() -> Starlette:
    """Build an app that fans ``hints:<session>`` out to everybody on ``/ws?session=<session>``."""
    broadcast = Broadcast(os.environ["BENCH_REDIS_URL"])

    async def send(websocket: WebSocket, session: str) -> None:
        async with broadcast.subscribe(channel=f"hints:{session}") as subscriber:
            await websocket.send_text('{"type":"connection"}')
            async for event in subscriber:
                await websocket.send_text(event.message)

    async def serve(websocket: WebSocket) -> None:
        await websocket.accept()
        sending = asyncio.create_task(send(websocket, websocket.query_params["session"]))
        try:
            async for _ in websocket.iter_text():
                pass
        except WebSocketDisconnect:
            pass
        finally:
            sending.cancel()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await broadcast.connect()
        # Its listener (0.3.1) starts with the first subscription, finds none yet, and stops until there
        # is a second one: an app with one channel alone would hear nothing.
        async with broadcast.subscribe("one"), broadcast.subscribe("two"):
            yield
        await broadcast.disconnect()

    return Starlette(routes=[WebSocketRoute("/ws", serve)], lifespan=lifespan)
