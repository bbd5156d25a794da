"""The list of revoked tokens in Redis, which all relays follow."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, cast

from relay.auth.revocations import Revocation
from relay.broker import keys
from relay.broker.broker import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.auth.revocations import Kind
    from relay.broker.broker import Broker

# Newest entries that are kept, approximately: some 20 MB. With more than these, change the key.
_MAX_ENTRIES = 100_000
# With the one that was read last.
_PAGE = 1000
_KINDS = ("jti", "sub")


class RevocationLog:
    """A stream with one entry for each revocation.

    Entries are fields in text: ``kind``, ``name``, ``at`` and ``until``, in seconds since the epoch.
    The stream goes when its newest entry concerns nothing any more, and never sooner.

    Args:
        broker: reaches Redis.
        clock_s: seconds since the epoch.
    """

    def __init__(self, broker: Broker, *, clock_s: Callable[[], float] = time.time) -> None:
        self._broker = broker
        self._clock_s = clock_s

    async def add(self, kind: Kind, name: str, *, for_s: float) -> Revocation:
        """Revoke; relays that reach Redis know it within two seconds.

        Args:
            kind: see ``Revocation``.
            name: the claim's value.
            for_s: how long tokens that it concerns may still live, in seconds.

        Raises:
            BrokerError: Redis could not.
        """
        now_s = self._clock_s()
        one = Revocation(kind, name, now_s, now_s + for_s)
        fields = {"kind": kind, "name": name, "at": repr(now_s), "until": repr(one.until_s)}
        async with self._broker.bounded():
            pipe = self._broker.redis.pipeline(transaction=True)
            pipe.xadd(keys.REVOCATIONS, fields, maxlen=_MAX_ENTRIES, approximate=True)  # type: ignore[arg-type]
            # Two calls because GT alone does nothing to a key that has no expiry yet.
            expires_at_s = math.ceil(one.until_s) + 1
            pipe.expireat(keys.REVOCATIONS, expires_at_s, nx=True)
            pipe.expireat(keys.REVOCATIONS, expires_at_s, gt=True)
            await pipe.execute()
        return one

    async def read(self, after: str | None) -> tuple[str | None, list[Revocation]]:
        """Return what was added after an entry, and the id of the last one now.

        Args:
            after: what this returned last; None for all there is. An entry that is gone is taken for
                None: the list was lost, and what is in it since may have lower ids.

        Raises:
            BrokerError: Redis could not.
        """
        found: list[Revocation] = []
        last = after
        while True:
            async with self._broker.bounded():
                page: Any = await self._broker.redis.xrange(
                    keys.REVOCATIONS, min="-" if last is None else last, count=_PAGE
                )
            if last is not None:
                if not page or text(page[0][0]) != last:
                    # A replica took over whose clock is behind, and that lacked the newest entries.
                    last = None
                    continue
                del page[0]
            for entry_id, fields in page:
                last = text(entry_id)
                one = _parse(fields)
                if one is not None:
                    found.append(one)
            if len(page) < _PAGE - 1:
                return last, found


def _parse(entry: dict[bytes, bytes]) -> Revocation | None:
    """Return an entry; None for one that somebody has written wrongly."""
    try:
        # Here, because what is no UTF-8 must not keep all later entries from being read either.
        fields = {text(name): text(value) for name, value in entry.items()}
        at_s, until_s = float(fields["at"]), float(fields["until"])
        kind, name = fields["kind"], fields["name"]
    except (KeyError, ValueError):
        return None
    if kind not in _KINDS or not math.isfinite(at_s) or not math.isfinite(until_s):
        return None
    return Revocation(cast("Kind", kind), name, at_s, until_s)
