"""Requests whose answer got lost: repeated under their key, they end as if they had come once."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from tests.support.relay import RelayProcess, local_relay
from tests.support.tcp_proxy import TcpProxy
from tests.support.tokens import SECRET, token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.support.redis import RedisServer

_KEY = {"idempotency-key": "3f0d9f64-3c5e-4e0b-8f5c-1f2d7b3a9c11"}
_BODY = [{"type": "hint", "text": str(number)} for number in range(100)]


@asynccontextmanager
async def _http(base_url: str, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=base_url, headers=headers, trust_env=False, timeout=15
    ) as http:
        yield http


def _places(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.status_code == 200, answer.text
    return [(one["id"], one["position"]) for one in answer.json()["messages"]]


async def _texts(http: httpx.AsyncClient, path: str) -> list[str]:
    page = (await http.get(path, params={"limit": "1000"})).json()
    return [one["text"] for one in page["messages"]]


async def test_over_a_restart(redis_server: RedisServer, session_id: str) -> None:
    """A relay that was killed and came back, and another one, know what was published before."""
    path = f"/sessions/{session_id}/messages"
    with RelayProcess(redis_server.url) as relay:
        async with _http(relay.base_url) as http:
            first = _places(await http.post(path, json=_BODY[:3], headers=_KEY))
        relay.kill()
        relay.start()
        relay.wait_until_ready()
        async with (
            local_relay(redis_server.url) as other,
            _http(relay.base_url) as http,
            _http(other.base_url) as there,
        ):
            again = await http.post(path, json=_BODY[:3], headers=_KEY)
            assert _places(again) == _places(await there.post(path, json=_BODY[:3], headers=_KEY))
            assert _places(again) == first
            assert all(one["duplicate"] for one in again.json()["messages"])
            assert (await there.post(path, json=_BODY[:2], headers=_KEY)).status_code == 409
            assert await _texts(http, path) == ["0", "1", "2"]


async def test_while_the_first_is_on_its_way(redis_server: RedisServer, session_id: str) -> None:
    """Many who send the same at once, to two relays, all get the same answer, and it is there once."""
    path = f"/sessions/{session_id}/messages"
    async with (
        local_relay(redis_server.url) as one,
        local_relay(redis_server.url) as two,
        _http(one.base_url) as here,
        _http(two.base_url) as there,
    ):
        answers = await asyncio.gather(
            *(http.post(path, json=_BODY[:20], headers=_KEY) for http in (here, there) * 4)
        )
        assert len({tuple(_places(answer)) for answer in answers}) == 1
        fresh = [[not one["duplicate"] for one in a.json()["messages"]] for a in answers]
        # Each was new to exactly one of them.
        assert [sum(column) for column in zip(*fresh, strict=True)] == [1] * 20
        assert sorted(await _texts(here, path), key=int) == [str(n) for n in range(20)]


class _BreakingProxy(TcpProxy):
    """Cuts or freezes everything as soon as a word is on its way to Redis."""

    def __init__(self, target_port: int, word: bytes, *, freezes: bool) -> None:
        super().__init__(target_port)
        self._word: bytes | None = word
        self._freezes = freezes

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, **options: Any
    ) -> None:
        await super()._pump(cast("asyncio.StreamReader", _Watched(reader, self)), writer, **options)

    def look(self, data: bytes) -> None:
        if self._word is not None and self._word in data:
            self._word = None
            if self._freezes:
                self.freeze()
            else:
                self.refuse()
                self.cut()

    def mend(self) -> None:
        self.refuse(refuses=False)
        self.thaw()


class _Watched:
    def __init__(self, reader: asyncio.StreamReader, proxy: _BreakingProxy) -> None:
        self._reader = reader
        self._proxy = proxy

    async def read(self, size: int) -> bytes:
        data = await self._reader.read(size)
        self._proxy.look(data)
        return data


@pytest.mark.parametrize("freezes", [False, True], ids=["cut", "frozen"])
async def test_broken_off_in_the_middle(
    redis_server: RedisServer, session_id: str, freezes: bool
) -> None:
    """When Redis goes in the middle the answer says what was done; the rest follows, nothing twice."""
    path = f"/sessions/{session_id}/messages"
    async with (
        _BreakingProxy(redis_server.port, b'"text":"60"', freezes=freezes) as proxy,
        local_relay(f"redis://127.0.0.1:{proxy.port}/0", redis_timeout_s=0.5) as relay,
        local_relay(redis_server.url) as near,
        _http(relay.base_url) as http,
        _http(near.base_url) as there,
    ):
        broken = await http.post(path, json=_BODY, headers=_KEY)
        assert (broken.status_code, broken.json()["code"]) == (503, "unavailable")
        assert broken.headers["retry-after"] == "2"
        done = [(one["id"], one["position"]) for one in broken.json()["messages"]]
        assert len(done) == 60
        assert await _texts(there, path) == [str(number) for number in range(60)]
        proxy.mend()
        async with asyncio.timeout(10):
            while (answer := await http.post(path, json=_BODY, headers=_KEY)).status_code == 503:
                await asyncio.sleep(0.05)
        assert _places(answer)[:60] == done
        assert len(set(_places(answer))) == len(_BODY)
        assert _places(await there.post(path, json=_BODY, headers=_KEY)) == _places(answer)
        assert await _texts(http, path) == [str(number) for number in range(100)]


async def test_whose_key_it_is(redis_server: RedisServer, session_id: str) -> None:
    """A key is its holder's, also with the next token, and its session's; two holders never meet."""
    path = f"/sessions/{session_id}/messages"
    expires = int(time.time()) + 60

    def shown(**claims: Any) -> str:
        return f"Bearer {token('*', role='agent', exp=expires, **claims)}"

    async with (
        local_relay(redis_server.url, jwt_secret=SECRET) as relay,
        _http(relay.base_url) as http,
    ):
        holders = [
            shown(sub="ada"), shown(sub="bea"), shown(jti="ada"), shown(jti="bea"), shown(),
        ]  # fmt: skip
        found = []
        for holder in holders:
            headers = {**_KEY, "authorization": holder}
            found.append(_places(await http.post(path, json=_BODY[0], headers=headers))[0])
        assert len(set(found)) == len(holders)
        newer = {**_KEY, "authorization": shown(sub="ada", jti="newer")}
        assert _places(await http.post(path, json=_BODY[0], headers=newer)) == [found[0]]
        elsewhere = await http.post(f"{path[:-9]}-b/messages", json=_BODY[1], headers=newer)
        assert elsewhere.json()["messages"][0]["duplicate"] is False
