"""What has been taken back before it expired."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from relay.auth.grant import Grant

Kind = Literal["jti", "sub"]


class Revocation(NamedTuple):
    """One token, or all that somebody was given up to now.

    Attributes:
        kind: ``jti``: the token with this id. ``sub``: each token of this subject that was issued
            until ``revoked_at_s``, or does not say when.
        name: the claim's value.
        revoked_at_s: seconds since the epoch.
        until_s: when the last token that it concerns has expired, likewise.
    """

    kind: Kind
    name: str
    revoked_at_s: float
    until_s: float


class Revocations:
    """Knows what has been revoked and could still be shown; pure."""

    def __init__(self) -> None:
        self._newest: dict[tuple[Kind, str], Revocation] = {}
        self._by_end: list[tuple[float, Kind, str]] = []

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._newest)

    def add(self, revocations: Iterable[Revocation]) -> None:
        """Take what has been read; one that is known already may come again."""
        for one in revocations:
            key = (one.kind, one.name)
            known = self._newest.get(key)
            if known is None:
                merged = one
            else:
                # A later one for a shorter time takes nothing back of what the first one said.
                revoked_at_s = max(known.revoked_at_s, one.revoked_at_s)
                merged = one._replace(
                    revoked_at_s=revoked_at_s, until_s=max(known.until_s, one.until_s)
                )
            if merged != known:
                self._newest[key] = merged
                heapq.heappush(self._by_end, (merged.until_s, *key))

    def forget_until(self, now_s: float) -> None:
        """Drop what concerns only tokens that have expired."""
        while self._by_end and self._by_end[0][0] <= now_s:
            _, kind, name = heapq.heappop(self._by_end)
            known = self._newest.get((kind, name))
            if known is not None and known.until_s <= now_s:
                del self._newest[kind, name]

    def covers(self, grant: Grant) -> bool:
        """Tell whether a grant has been revoked."""
        if not self._newest:
            return False
        if grant.token_id is not None and ("jti", grant.token_id) in self._newest:
            return True
        if grant.subject is None:
            return False
        found = self._newest.get(("sub", grant.subject))
        return found is not None and (
            grant.issued_at_s is None or grant.issued_at_s <= found.revoked_at_s
        )
