"""Values that have broken something somewhere before."""

from __future__ import annotations

from typing import Any

from relay.messages import Command, Feedback

HINTS = tuple(f"h{number}" for number in range(8))
"""Hints that every session of the fuzz has."""

SESSIONS = tuple(f"fuzz-{number}" for number in range(48))

TEXTS: tuple[str, ...] = (
    "", " ", "\0", "\n", "\r\n", "\u2028", "\ufeff", "\u202e", "a\u0300" * 50, "é", "日本語", "😀" * 20,
    "👩\u200d👩\u200d👧", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", "null", "true", "0", "-1", "1e999",
    "NaN", "[]", "{}", '"', "\\", "'", "<script>", "%00", "%s%n", "../..", "{hints:x}", "*", "hints:x",
    "x" * 127, "x" * 128, "x" * 129, "é" * 128, "x" * 2000, "x" * 2001, "😀" * 1001, "x" * 9000,
    "guest-x", "__proto__", "constructor", "1763900000000-1", "9" * 40, "0-0",
    "18446744073709551615-18446744073709551615",
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 5e-324, 2**31, 2**53 + 1, 2**63 - 1, 2**64 - 1,
    -(2**63), [], {}, [[]], [None], [1, "a"], {"": ""}, {"a": {"b": {"c": []}}}, ["h0"] * 101,
    [{}] * 20, *TEXTS,
)  # fmt: skip

KEYS: tuple[str, ...] = (
    "type", "id", "text", "hint", "hints", "action", "name", "token", "by", "timestamp", "position",
    "session", "ref", "status", "final", "began", "meta", "at", "expires_at", "code", "retry_after_ms",
    "priority", "category", "source", "reply_to", "speaker", "who", "role", "you", "",
    "\0", "é", "__proto__", "a.b", "/", "~1", "'", "x" * 200,
)  # fmt: skip

TYPES: tuple[str, ...] = (
    "hint", "append", "transcript", "feedback", "command", "seen", "presence", "error", "connection",
    "heartbeat", "ack", "drain", "ping", "refresh", "refreshed", "report", "kick", "", "Ping", "x",
    "x" * 64, "x" * 65, "é",
)  # fmt: skip

ACTIONS: tuple[str, ...] = Feedback.model_fields["action"].annotation.__args__  # type: ignore[union-attr]
COMMANDS: tuple[str, ...] = Command.model_fields["name"].annotation.__args__  # type: ignore[union-attr]

# What parsers of JSON, UTF-8 and HTTP take for special.
TOKENS: tuple[bytes, ...] = (
    b"\0", b"\x7f", b"\x80", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xef\xbb\xbf",
    b"\xf0\x9f\x98", b'"', b"\\", b"\\u0000", b"\\ud800", b"\\udfff\\ud800", b"\\u", b"\\x41", b"{", b"}",
    b"[", b"]", b",", b":", b"/*", b"NaN", b"Infinity", b"1e999", b"-", b"1" * 400, b"0x1", b"01", b"1.",
    b"\r\n", b"\n", b"\r", b"\t", b" ", b"%", b"%zz", b"%00", b"?", b"#", b"&", b";", b"=", b"\x1f\x8b",
)  # fmt: skip

POSITIONS: tuple[str, ...] = (
    "", "0-0", "1-1", "1763900000000-1", "1763900000000-99999999", "9999999999999999-9999999999999999",
    "99999999999999999-1", "-1-1", "1763900000000", "1763900000000-", "-", "a-b", "1-1-1", " 1-1", "1-1\n",
    "\u0661-1", "1_0-1", "+1-1", "$", "*", "(1-1", "0", "x" * 300,
)  # fmt: skip

NUMBERS: tuple[str, ...] = (
    "", "0", "1", "5", "100", "1000", "1001", "999999999", "9999999999", "-1", "+1", "1.5", "1e3", "٣", "²",
    "0x10", "1_0", " 1", "NaN", "null", "00000001", "9" * 5000,
)  # fmt: skip

NAMES: tuple[str, ...] = (
    "a", "maria", "guest", "x" * 64, "x" * 65, "", "a b", "é", "a:b", "a\n", "..", "\u202e",
)  # fmt: skip
