"""The parts of the fuzz: which relay gets what."""

from __future__ import annotations

from typing import Any, NamedTuple


class Part(NamedTuple):
    """One relay, and what is sent to it.

    Attributes:
        kind: frames, handshakes or requests.
        share: of all frames, or of all requests; handshakes are requests.
        flags: the relay's.
        options: what ``load.Load`` has to know of them.
    """

    kind: str
    share: float
    flags: tuple[str, ...] = ()
    options: dict[str, Any] = {}  # noqa: RUF012 - nobody writes into it

    @property
    def has_tokens(self) -> bool:
        """Whether the relay asks for tokens."""
        return bool(self.options.get("has_tokens"))


# Sessions that nobody wants any more go at once: then memory can be compared.
_BRIEF = ("--linger-s", "0.5", "--dedupe-s", "1")
# So that what comes reaches the code behind the limits. (Bytes a second are for a heartbeat.)
_WIDE = (
    *_BRIEF,
    "--log-level", "warning",
    "--inbound-bytes-per-s", "1e9", "--inbound-per-s", "1e6", "--inbound-burst", "1000000",
    "--publications-per-s", "1e6", "--publication-burst", "1000000",
    "--handshakes-per-s", "1e6", "--handshake-burst", "1000000",
    "--handshakes-per-address-per-s", "1e6", "--handshake-burst-per-address", "1000000",
)  # fmt: skip
_DEFLATE = ("--websocket-deflate",)

PARTS = {
    "frames": Part("frames", 0.55, _WIDE),
    "frames-deflate": Part("frames", 0.2, (*_WIDE, *_DEFLATE), {"is_deflated": True}),
    "frames-tokens": Part("frames", 0.15, _WIDE, {"has_tokens": True}),
    "frames-limits": Part("frames", 0.1, _BRIEF),
    "handshakes": Part("handshakes", 0.1, _WIDE),
    "handshakes-deflate": Part("handshakes", 0.1, (*_WIDE, *_DEFLATE), {"is_deflated": True}),
    "requests": Part("requests", 0.5, _WIDE),
    "requests-tokens": Part("requests", 0.3, _BRIEF, {"has_tokens": True}),
}
