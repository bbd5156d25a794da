"""Standard input as text, in the pieces in which it comes."""

from __future__ import annotations

import asyncio
import codecs
import os
import threading
from typing import TYPE_CHECKING

from relay.errors import InvalidMessage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

_CHUNK_BYTES = 4096

_STDIN = 0


class InputText:
    """Turns chunks of UTF-8 into text, without the blanks at its beginning and end.

    A character that is cut by a chunk's end comes with the next chunk, and so do blanks: whether they
    stand at the end only the next chunk can tell. Pure.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._blanks = ""
        self._has_begun = False

    def feed(self, chunk: bytes) -> str:
        """Return what is text for sure with this chunk; may be empty.

        Raises:
            InvalidMessage: for what is not UTF-8.
        """
        text = self._blanks + self._decode(chunk)
        if not self._has_begun:
            text = text.lstrip()
        words = text.rstrip()
        self._blanks = text[len(words) :]
        self._has_begun = self._has_begun or bool(words)
        return words

    def end(self) -> None:
        """Check that the input did not end within a character; raises as ``feed`` does."""
        self._decode(b"", final=True)

    def _decode(self, chunk: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(chunk, final)
        except UnicodeDecodeError:
            raise InvalidMessage("Standard input is not UTF-8 text.") from None


async def read_chunks(descriptor: int = _STDIN) -> AsyncGenerator[bytes]:
    """Yield a file's, pipe's or terminal's bytes as they come, until its end.

    The thread that reads is not waited for, and what it reads after the generator was closed is
    lost: only the process' end interrupts it, and tells the writer by SIGPIPE.
    """
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    # One chunk at a time: a fast writer waits in the pipe, not here.
    wanted = threading.Semaphore(0)
    is_closed = False

    def read() -> None:
        while True:
            wanted.acquire()
            if is_closed:
                return
            chunk: bytes | OSError
            try:
                chunk = os.read(descriptor, _CHUNK_BYTES)
            except OSError as error:
                chunk = error
            try:
                loop.call_soon_threadsafe(arrived.put_nowait, chunk)
            except RuntimeError:
                # The loop has ended, and this with it.
                return
            if not chunk or isinstance(chunk, OSError):
                return

    # Neither a pipe reader of the loop, which takes no files, nor its executor, which is waited for.
    threading.Thread(target=read, name="standard input", daemon=True).start()
    try:
        while True:
            wanted.release()
            chunk = await arrived.get()
            if isinstance(chunk, OSError):
                raise chunk
            if not chunk:
                return
            yield chunk
    finally:
        is_closed = True
        wanted.release()
