"""``hint``: send and read hints from a terminal."""

from __future__ import annotations

import asyncio
import sys
from contextlib import aclosing
from datetime import datetime
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from producers.listener import listening
from producers.publisher import DEFAULT_REDIS_URL, HintPublisher, Sent
from producers.replay import SAMPLE, read_recording, replay
from relay.errors import HintRelayError, InvalidMessage
from relay.logs import configure_logs

if TYPE_CHECKING:
    from collections.abc import Coroutine

app = typer.Typer(
    name="hint",
    help="Send hints and transcript lines to a session, and read along.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

_Session = Annotated[str, typer.Option("--session", "-s", help="Which session.")]
_RedisUrl = Annotated[
    str,
    typer.Option(
        "--redis-url", envvar="RELAY_REDIS_URL", help="redis://, rediss:// (TLS) or unix://."
    ),
]


@app.callback()
def main() -> None:
    """Send hints and transcript lines to a session, and read along."""
    configure_logs("warning", "console")


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

    async def run() -> Sent:
        async with HintPublisher(redis_url) as publisher:
            return await publisher.hint(session, _text(text), **fields)

    _out.print(str(_run(run()).position))


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

    async def run() -> Sent:
        async with HintPublisher(redis_url) as publisher:
            return await publisher.transcript(session, _text(text), speaker=speaker, **fields)

    _out.print(str(_run(run()).position))


@app.command()
def tail(
    session: _Session,
    redis_url: _RedisUrl = DEFAULT_REDIS_URL,
    replay_count: Annotated[
        int, typer.Option("--replay", min=0, help="How many kept messages to show first.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show a session's hints and transcript as they come, until Ctrl-C."""

    async def run() -> None:
        async with listening(redis_url, session) as listener:
            if not as_json:
                _err.print(f"Session {session}: waiting for hints. Ctrl-C ends.", style="dim")
            async with aclosing(listener.messages(replay=replay_count)) as messages:
                async for payload in messages:
                    if as_json:
                        sys.stdout.write(payload.decode(errors="replace") + "\n")
                        sys.stdout.flush()
                    else:
                        _show(orjson.loads(payload))

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
        lines = read_recording(path.read_text("utf-8").splitlines())
        async with HintPublisher(redis_url) as publisher:
            while True:
                async for line, sent in replay(publisher, session, lines, speed=speed):
                    _out.print(Text(f"{sent.position}  {line.type:<10}  {line.text}"))
                if not loop:
                    return
                await asyncio.sleep(3.0 / speed)

    _run(run())


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _text(text: str) -> str:
    if text != "-":
        return text
    read = sys.stdin.read().strip()
    if not read:
        raise InvalidMessage("Standard input was empty: nothing to send.")
    return read


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


def _fail(text: str) -> None:
    _err.print(f"hint: {text}", style="red", markup=False)
    raise typer.Exit(1)


_PRIORITY_STYLE = {"high": "bold yellow", "low": "dim"}


def _show(message: dict[str, Any]) -> None:
    """Print one message for people."""
    line = Text()
    stamp = message.get("timestamp")
    # The reader's own time zone.
    moment = datetime.fromtimestamp(stamp).astimezone() if isinstance(stamp, int | float) else None
    line.append(f"{moment:%H:%M:%S}  " if moment else " " * 10, style="dim")
    text = str(message.get("text", ""))
    match message.get("type"):
        case "hint":
            style = _PRIORITY_STYLE.get(str(message.get("priority")), "bold")
            line.append("hint        ", style="green").append(text, style=style)
        case "transcript":
            line.append(f"{str(message.get('speaker') or 'transcript')[:11]:<12}", style="cyan")
            line.append(text)
        case "error":
            line.append("error       ", style="red").append(text)
        case "connection":
            if message.get("recovered") is False:
                line.append("Some earlier messages are gone; going on from here.", style="yellow")
            else:
                return
        case kind:
            line.append(f"{str(kind)[:11]:<12}", style="dim")
            line.append(orjson.dumps(message).decode(), style="dim")
    _out.print(line)


if __name__ == "__main__":
    app()
