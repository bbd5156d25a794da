"""``hint``: send and read hints from a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import aclosing
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.text import Text

from producers.input_text import InputText, read_chunks
from producers.listener import listening
from producers.publisher import DEFAULT_REDIS_URL, HintPublisher, Sent
from producers.rendering import Rendering, first_appeared
from producers.replay import SAMPLE, read_recording, replay
from producers.streaming import DEFAULT_WINDOW_MS
from relay.broker.broker import Broker
from relay.errors import HintRelayError, InvalidMessage
from relay.logs import configure_logs
from relay.messages import Command, Connection, Feedback, Presence
from relay.position import Position
from relay.session import check_session
from relay.settings import Settings
from relay.snapshot import fold

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from producers.streaming import StreamingHint

app = typer.Typer(
    name="hint",
    help="Send hints and transcript lines to a session, and read along.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


class _Output(Console):
    """Standard output, whose reader may go away first: `hint tail … | head` is no error."""

    def on_broken_pipe(self) -> None:
        """End quietly; Python's own flush at exit must not find the pipe either."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0)


# The exit code of `hint stream` when a facilitator has cancelled the hint.
_CANCELLED = 3

_out = _Output(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

_Session = Annotated[str, typer.Option("--session", "-s", help="Which session.")]
_AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]
_RedisUrl = Annotated[
    str,
    typer.Option(
        "--redis-url", envvar="RELAY_REDIS_URL", help="redis://, rediss:// (TLS) or unix://."
    ),
]


@app.callback()
def main() -> None:
    """Send hints and transcript lines to a session, and read along."""
    # What goes wrong is said by the command itself, in one sentence.
    configure_logs("error", "console")


@app.command()
def send(
    text: Annotated[str, typer.Argument(help="The hint; '-' reads it from standard input.")],
    session: _Session,
    redis_url: _RedisUrl = DEFAULT_REDIS_URL,
    priority: Annotated[str | None, typer.Option(help="low, normal or high.")] = None,
    category: Annotated[str | None, typer.Option(help="For example: pacing.")] = None,
    source: Annotated[str | None, typer.Option(help="Who says so.")] = None,
    message_id: Annotated[
        str | None, typer.Option("--id", help="Sending an id again sends nothing twice.")
    ] = None,
) -> None:
    """Send one hint, and print its position once Redis has it."""
    fields = _given(priority=priority, category=category, source=source, id=message_id)
    # Before anything runs: Ctrl-C while it waits for standard input ends at once.
    words = _text(text)

    async def run() -> Sent:
        async with _publisher(redis_url) as publisher:
            return await publisher.hint(session, words, **fields)

    _out.print(str(_run(run()).position))


@app.command(
    epilog="Ends with 0 when all of it was sent, 3 when a facilitator cancelled it, 130 on Ctrl-C."
)
def stream(
    session: _Session,
    redis_url: _RedisUrl = DEFAULT_REDIS_URL,
    priority: Annotated[str | None, typer.Option(help="low, normal or high.")] = None,
    category: Annotated[str | None, typer.Option(help="For example: pacing.")] = None,
    source: Annotated[str | None, typer.Option(help="Who says so.")] = None,
    message_id: Annotated[str | None, typer.Option("--id", help="The hint's id.")] = None,
    window_ms: Annotated[
        int, typer.Option(min=0, max=500, help="At most one message in this time; 0: no bound.")
    ] = DEFAULT_WINDOW_MS,
) -> None:
    """Send standard input as one hint that grows as it comes.

    For example: some-command | hint stream -s demo. Prints the hint's position at the end. A
    facilitator can cancel it: then it ends, and with it the command that writes.
    """
    fields = _given(priority=priority, category=category, source=source, id=message_id)

    async def run() -> StreamingHint | None:
        words = InputText()
        async with _publisher(redis_url) as publisher, aclosing(read_chunks()) as chunks:
            # Made before the first word, so that what is wrong is said at once; begun with it, so that
            # an empty input leaves no empty hint.
            hint = publisher.stream_hint(session, window_ms=window_ms, **fields)
            text = ""
            while not text:
                chunk = await anext(chunks, None)
                if chunk is None:
                    words.end()
                    return None
                text = words.feed(chunk)
            try:
                async with hint:
                    await hint.append(text)
                    async for chunk in chunks:
                        await hint.append(words.feed(chunk))
                    words.end()
            except asyncio.CancelledError:
                _err.print("Interrupted: facilitators keep what was sent, marked as interrupted.")
                raise
            return hint

    hint = _run(run())
    if hint is None:
        _fail("Standard input was empty: nothing to send.")
    _out.print(str(hint.position))
    if hint.status == "cancelled":
        _err.print("A facilitator cancelled the hint; what was sent stays, marked as cancelled.")
        raise typer.Exit(_CANCELLED)


@app.command()
def transcript(
    text: Annotated[str, typer.Argument(help="What was said; '-' reads standard input.")],
    session: _Session,
    redis_url: _RedisUrl = DEFAULT_REDIS_URL,
    speaker: Annotated[str | None, typer.Option(help="Who said it.")] = None,
    message_id: Annotated[
        str | None, typer.Option("--id", help="Sending an id again sends nothing twice.")
    ] = None,
) -> None:
    """Send one line of transcript, and print its position once Redis has it."""
    fields = _given(id=message_id)
    words = _text(text)

    async def run() -> Sent:
        async with _publisher(redis_url) as publisher:
            return await publisher.transcript(session, words, speaker=speaker, **fields)

    _out.print(str(_run(run()).position))


@app.command()
def tail(
    session: _Session,
    redis_url: _RedisUrl = DEFAULT_REDIS_URL,
    replay_count: Annotated[
        int, typer.Option("--replay", min=0, help="How many kept messages to show first.")
    ] = 20,
    since: Annotated[
        str | None, typer.Option(help="Show what came after this position first.")
    ] = None,
    as_json: _AsJson = False,
) -> None:
    """Show a session's hints and transcript as they come, until Ctrl-C."""

    async def run() -> None:
        rendering = Rendering()
        async with listening(redis_url, session) as listener:
            if not as_json:
                _err.print(f"Session {session}: waiting for hints. Ctrl-C ends.", style="dim")
            position = None if since is None else Position.parse(since)
            async with aclosing(listener.messages(position, replay_count)) as messages:
                async for payload in messages:
                    _print_message(payload, rendering, as_json=as_json)

    _run(run())


@app.command()
def history(
    session: _Session,
    redis_url: _RedisUrl = DEFAULT_REDIS_URL,
    since: Annotated[str | None, typer.Option(help="Only what came after this position.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the newest so many.")] = None,
    as_json: _AsJson = False,
) -> None:
    """Show what is kept of a session, and end."""

    async def run() -> None:
        check_session(session)
        after = None if since is None else Position.parse(since)
        settings = Settings.load(redis_url=redis_url)
        async with Broker(settings.redis_url, timeout_s=settings.redis_timeout_s) as broker:
            log = await broker.read(session, after)
        if after is not None and not log.reaches_back_to(after):
            _err.print("Some messages after that position are gone; this is what is kept.")
        publications = fold(log.publications)
        if not as_json:
            publications = tuple(sorted(publications, key=first_appeared))
        rendering = Rendering()
        for publication in publications[-limit:] if limit else publications:
            _print_message(publication.payload, rendering, as_json=as_json)
        if not publications and not as_json:
            _err.print(f"Nothing is kept of session {session}.", style="dim")

    _run(run())


@app.command()
def watch(
    session: _Session, redis_url: _RedisUrl = DEFAULT_REDIS_URL, as_json: _AsJson = False
) -> None:
    """Show who is watching, and what facilitators say and do, until Ctrl-C."""

    async def show_changes(publisher: HintPublisher, rendering: Rendering) -> None:
        async for facilitators in publisher.watching(session):
            message = Presence.model_validate(
                {"type": "presence", "timestamp": time.time(), "facilitators": facilitators}
            )
            _print_message(message.to_json(), rendering, as_json=as_json)

    async def show_feedback(
        publisher: HintPublisher, rendering: Rendering, since: Position | None
    ) -> None:
        async with aclosing(publisher.listen(session, since)) as messages:
            async for message in messages:
                if isinstance(message, Feedback | Command | Connection):
                    _print_message(message.to_json(), rendering, as_json=as_json)
                else:
                    rendering.note(message.to_json())

    async def run() -> None:
        check_session(session)
        settings = Settings.load(redis_url=redis_url)
        async with Broker(settings.redis_url, timeout_s=settings.redis_timeout_s) as broker:
            log = await broker.read(session)
        rendering = Rendering()
        for publication in fold(log.publications):
            rendering.note(publication.payload)
        if not as_json:
            _err.print(f"Session {session}: watching facilitators. Ctrl-C ends.", style="dim")
        try:
            async with _publisher(redis_url) as publisher, asyncio.TaskGroup() as group:
                group.create_task(show_changes(publisher, rendering))
                group.create_task(show_feedback(publisher, rendering, log.head))
        except* (HintRelayError, OSError) as errors:
            raise errors.exceptions[0] from None

    _run(run())


@app.command("replay")
def replay_command(
    session: _Session,
    recording: Annotated[
        Path | None, typer.Argument(help="JSON lines: at_s, type, text, and more fields.")
    ] = None,
    redis_url: _RedisUrl = DEFAULT_REDIS_URL,
    sample: Annotated[bool, typer.Option("--sample", help="Play the sample rehearsal.")] = False,
    speed: Annotated[float, typer.Option(min=0.01, help="2 plays twice as fast.")] = 1.0,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again until Ctrl-C.")] = False,
) -> None:
    """Play a recorded session in its own time."""
    if (recording is None) == (not sample):
        _fail("Give a recording, or --sample.")
    path = SAMPLE if recording is None else recording

    async def run() -> None:
        lines = read_recording(_read(path).splitlines())
        async with _publisher(redis_url) as publisher:
            while True:
                async for line, sent in replay(publisher, session, lines, speed=speed):
                    _out.print(Text(f"{sent.position}  {line.type:<10}  {line.text}"))
                if not loop:
                    return
                await asyncio.sleep(3.0 / speed)

    _run(run())


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _publisher(redis_url: str) -> HintPublisher:
    """Make a publisher that keeps as much as the relay's settings say."""
    settings = Settings.load(redis_url=redis_url)
    return HintPublisher(
        settings.redis_url,
        give_up_s=5.0,
        max_bytes=settings.max_publication_bytes,
        log_messages=settings.log_messages,
        log_ttl_s=settings.log_ttl_s,
        dedupe_s=settings.dedupe_s,
    )


def _text(text: str) -> str:
    """Return the text that was given, or standard input's."""
    try:
        words = sys.stdin.read().strip() if text == "-" else text
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except UnicodeDecodeError:
        _fail("Standard input is not UTF-8 text.")
    if not words.strip():
        _fail(f"{'Standard input was' if text == '-' else 'The text is'} empty: nothing to send.")
    return words


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise InvalidMessage(f"{path} is not a recording: it is not UTF-8 text.") from None


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a command's work; our own errors become one sentence, Ctrl-C a clean end."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # The reader of our output has gone (`hint tail … | head`): that is no error.
        raise typer.Exit(0) from None
    except HintRelayError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.strerror}: {error.filename}" if error.filename else str(error))


def _fail(text: str) -> NoReturn:
    _err.print(f"hint: {text}", style="red", markup=False)
    raise typer.Exit(1)


def _print_message(payload: bytes, rendering: Rendering, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(payload.decode(errors="replace") + "\n")
        sys.stdout.flush()
    elif (line := rendering.line(payload)) is not None:
        _out.print(line)


if __name__ == "__main__":
    app()
