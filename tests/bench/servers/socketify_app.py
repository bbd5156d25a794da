"""socketify (uWebSockets): its own publish/subscribe, fed by redis-py's asyncio client."""

from __future__ import annotations

import os
from typing import Any

from redis.asyncio import Redis
from socketify import (  # type: ignore[import-not-found, import-untyped, unused-ignore]
    App,
    AppListenOptions,
    OpCode,
)

_WELCOME = '{"type":"connection"}'


def main() -> None:
    """Serve until killed."""
    app = App()
    redis = Redis.from_url(os.environ["BENCH_REDIS_URL"])

    async def pump() -> None:
        async with redis.pubsub() as pubsub:
            await pubsub.psubscribe("hints:*")
            async for message in pubsub.listen():
                if message["type"] == "pmessage":
                    app.publish(message["channel"].decode(), message["data"], OpCode.TEXT)

    def upgrade(response: Any, request: Any, context: Any) -> None:
        response.upgrade(
            request.get_header("sec-websocket-key"),
            request.get_header("sec-websocket-protocol"),
            request.get_header("sec-websocket-extensions"),
            context,
            request.get_query("session"),
        )

    def opened(websocket: Any) -> None:
        websocket.subscribe(f"hints:{websocket.get_user_data()}")
        websocket.send(_WELCOME, OpCode.TEXT)

    app.ws(
        "/ws",
        {
            "compression": 0,
            "idle_timeout": 120,
            # Default 64 KiB: with less a client that is behind is cut off in saturated shapes.
            "max_backpressure": 256 * 1024 * 1024,
            "upgrade": upgrade,
            "open": opened,
        },
    )
    app.loop.create_background_task(pump)
    app.listen(AppListenOptions(port=int(os.environ["BENCH_PORT"]), host="127.0.0.1"))
    app.run()


if __name__ == "__main__":
    main()
