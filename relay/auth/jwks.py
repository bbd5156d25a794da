"""The keys that an issuer publishes, kept at hand (RFC 7517 section 5)."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import TYPE_CHECKING

import orjson

from relay.auth.keyring import UnusableKey, keys_of_set
from relay.backoff import full_jitter_s
from relay.logs import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPMessage
    from typing import IO

    from relay.auth.keyring import Key

_MAX_BYTES = 256 * 1024
# How long keys are good before they are looked at again; a withdrawn one is taken for so long.
_MAX_AGE_S = 300.0
# Tokens with made-up key ids must not make us ask the issuer again and again.
_COOLDOWN_S = 10.0
# The same after an answer that was none.
_RETRY_S = 2.0
_TIMEOUT_S = 5.0
_RETRY_MAX_S = 60.0


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Keys come from the address that the operator has given, and from no other."""

    def redirect_request(
        self, req: object, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nothing: the answer stays a redirection, which is an error."""


def fetch_url(url: str, timeout_s: float = _TIMEOUT_S) -> bytes:
    """Return what an address answers with 200; blocks, so run it in a thread.

    Raises:
        OSError: when it can't be had; the text says why.
        ValueError: when it is too large.
    """
    deadline_s = time.monotonic() + timeout_s
    opener = urllib.request.build_opener(_NoRedirects)
    body = b""
    try:
        # What has its own limit of time is a single read: an answer may come byte by byte.
        with opener.open(url, timeout=timeout_s) as answer:
            while chunk := answer.read1(_MAX_BYTES):
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError(f"more than {_MAX_BYTES:,} bytes")
                if time.monotonic() > deadline_s:
                    raise TimeoutError("timed out")
    except urllib.error.HTTPError as error:
        # It is the answer, too, with its socket.
        error.close()
        raise
    except HTTPException as error:
        # Its text can hold the address.
        raise OSError(f"the answer is not HTTP: {type(error).__name__}") from None
    return body


class Jwks:
    """Keeps an issuer's keys; those that it has are good until newer ones have come.

    All methods belong to one event loop, which nothing here holds up.

    Args:
        url: of the JSON Web Key Set.
        fetch: asks an address; runs in a thread.
        clock_s: a clock that does not step back.
    """

    def __init__(
        self,
        url: str,
        *,
        fetch: Callable[[str], bytes] = fetch_url,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._fetch = fetch
        self._clock_s = clock_s
        self._keys: tuple[Key, ...] = ()
        self._fetching: asyncio.Task[bool] | None = None
        self._asked_at_s: float | None = None
        self._is_fresh = False
        self._log = get_logger("relay.auth")

    @property
    def keys(self) -> tuple[Key, ...]:
        """The issuer's keys as they were last seen."""
        return self._keys

    async def look_again(self) -> bool:
        """Ask for new keys, unless that was done just now; many who ask at once share one answer.

        Returns whether there was one. Until it can be asked again nobody knows whether the issuer has
        not just begun to sign with another key.
        """
        if self._fetching is None:
            pause_s = _COOLDOWN_S if self._is_fresh else _RETRY_S
            if self._asked_at_s is not None and self._clock_s() - self._asked_at_s < pause_s:
                return False
            self._fetching = asyncio.create_task(self._refresh(), name="jwks")
        # Shielded: who waits may go, and the others still want the answer.
        return await asyncio.shield(self._fetching)

    async def run(self) -> None:
        """Keep the keys fresh until cancelled."""
        failures = 0
        try:
            while True:
                await self.look_again()
                if self._is_fresh:
                    failures = 0
                    await asyncio.sleep(_MAX_AGE_S)
                else:
                    jitter_s = full_jitter_s(
                        failures, random=random.random, base_s=_RETRY_S, cap_s=_RETRY_MAX_S
                    )
                    failures += 1
                    await asyncio.sleep(_RETRY_S + jitter_s)
        finally:
            if self._fetching is not None:
                self._fetching.cancel()

    async def _refresh(self) -> bool:
        self._asked_at_s = self._clock_s()
        try:
            # Longer than the thread takes, unless the head of the answer comes byte by byte.
            async with asyncio.timeout(2 * _TIMEOUT_S):
                body = await _in_thread(self._fetch, self._url)
            keys, problems = keys_of_set(orjson.loads(body))
        except (OSError, ValueError) as error:
            # Without the address: it may hold a secret.
            self._log.warning("keys not fetched", error=_words(error), kept=len(self._keys))
            self._is_fresh = False
        else:
            if problems:
                self._log.warning("keys passed over", problems=problems)
            self._log.info("keys fetched", count=len(keys))
            self._keys = tuple(keys)
            self._is_fresh = True
        finally:
            self._fetching = None
        return self._is_fresh


async def _in_thread(fetch: Callable[[str], bytes], url: str) -> bytes:
    """Fetch in a thread that ends with the process: an executor's would keep it from stopping."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def settle(body: bytes, error: Exception | None) -> None:
        if answer.done():
            # Nobody waits any more.
            return
        if error is None:
            answer.set_result(body)
        else:
            answer.set_exception(error)

    def run() -> None:
        body, failure = b"", None
        try:
            body = fetch(url)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to who waits
            failure = error
        try:
            loop.call_soon_threadsafe(settle, body, failure)
        except RuntimeError:
            # The loop has ended.
            pass

    threading.Thread(target=run, name="jwks", daemon=True).start()
    return await answer


def _words(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"it answers {error.code}"
    if isinstance(error, UnusableKey):
        return f"the answer {error}"
    if isinstance(error, orjson.JSONDecodeError):
        return "the answer is not JSON"
    return str(getattr(error, "reason", error)) or "timed out"
