"""Standard input as text."""

from __future__ import annotations

import asyncio
import os
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.input_text import InputText, read_chunks
from relay.errors import InvalidMessage


@given(st.text(st.characters(codec="utf-8")), st.integers(1, 7))
def test_any_cut(text: str, size: int) -> None:
    """However the input is cut, the pieces make up its text without the blanks around it."""
    data, words = text.encode(), InputText()
    pieces = [words.feed(data[start : start + size]) for start in range(0, len(data), size)]
    words.end()
    assert "".join(pieces) == text.strip()


@pytest.mark.parametrize("data", [b"\xff", "ä".encode()[:1]])
def test_what_is_not_utf8(data: bytes) -> None:
    """Bytes that are no UTF-8, or end within a character, are refused."""
    words = InputText()
    with pytest.raises(InvalidMessage, match="UTF-8"):  # noqa: PT012 - either may find it
        words.feed(data)
        words.end()


async def test_chunks_come_as_they_are_written() -> None:
    """What is written to a pipe comes at once, and its end is the end."""
    reading, writing = os.pipe()
    try:
        async with asyncio.timeout(5), aclosing(read_chunks(reading)) as chunks:
            for data in (b"a", b"b\n"):
                os.write(writing, data)
                assert await anext(chunks) == data
            os.close(writing)
            assert await anext(chunks, None) is None
    finally:
        os.close(reading)


async def test_a_descriptor_that_fails() -> None:
    """An error of reading is raised."""
    reading, writing = os.pipe()
    os.close(writing)
    os.close(reading)
    with pytest.raises(OSError, match="descriptor"):
        await anext(read_chunks(reading))
