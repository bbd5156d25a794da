"""``hint-relay``: run the relay."""

from __future__ import annotations

import asyncio
import inspect
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from relay import server
from relay.auth.grant import Role
from relay.auth.minting import mint
from relay.auth.tokens import MAX_NAME, check_patterns, is_name
from relay.broker.broker import Broker
from relay.broker.revocations import RevocationLog
from relay.duration import parse_duration_s
from relay.errors import HintRelayError, SettingsError
from relay.logs import configure_logs
from relay.redis_url import without_password
from relay.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from relay.auth.revocations import Kind

app = typer.Typer(
    name="hint-relay",
    help="Carries an agent's hints from Redis to the browsers of those who facilitate.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_err = Console(stderr=True, highlight=False, soft_wrap=True)

DEMO_SESSION = "demo"

# The chapters of `serve --help`, by the setting with which each begins.
_CHAPTERS = {
    "host": "Where",
    "jwt_secret": "Who may come",
    "max_connections": "Limits, of one worker",
    "heartbeat_s": "Connections and sessions",
    "redis_timeout_s": "Redis",
    "log_level": "Logs",
}

# The `hint` command, in a process that ends with this one however this one ends.
_SAMPLE_AGENT = (
    "from relay.orphans import die_with_parent; die_with_parent(); "
    "from producers.cli import app; app(prog_name='hint')"
)


def _flags_of_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command that takes ``**flags`` one option for each setting.

    The settings stay the only list: name, type, help text and default are read from there.
    """
    fixed = [
        parameter
        for parameter in inspect.signature(command, eval_str=True).parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    flags = []
    chapter = ""
    for name, field in Settings.model_fields.items():
        chapter = _CHAPTERS.get(name, chapter)
        option = typer.Option(
            f"--{name.replace('_', '-')}",
            help=f"{field.description} [RELAY_{name.upper()}; default: {_shown(field.default)}]",
            show_default=False,
            # The defaults tell the types. With them, 80 columns would not hold the longest names.
            metavar="",
            rich_help_panel=chapter,
        )
        flags.append(
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None,
                annotation=Annotated[_plain_type(field.annotation) | None, option],
            )
        )
    parameters = [*fixed, *flags]

    def wrapped(**values: Any) -> None:
        command(**values)

    wrapped.__name__ = command.__name__
    wrapped.__doc__ = command.__doc__
    wrapped.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return wrapped


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        default = ",".join(default) or None
    return "none" if default is None else str(default)


def _plain_type(annotation: Any) -> Any:
    # Checked by Settings, which explains better; here a text will do for all but numbers.
    return annotation if annotation in (int, float, bool) else str


@app.callback()
def main() -> None:
    """Carries an agent's hints from Redis to the browsers of those who facilitate."""


@app.command()
@_flags_of_settings
def serve(**flags: Any) -> None:
    """Run relay workers; settings come from RELAY_* variables, and flags win over them."""
    with _explained():
        settings = Settings.load(**flags)
        settings.check_closed()
        configure_logs(settings.log_level, settings.log_format)
        listener = server.bind(settings)
    _err.print(f"Hint Relay on {server.url_of(listener)}", style="bold")
    server.run(settings, listener)


@app.command()
def dev(
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    redis_url: Annotated[
        str | None,
        typer.Option(
            envvar="RELAY_REDIS_URL", help="Use this Redis instead of the embedded broker."
        ),
    ] = None,
    sample: Annotated[
        bool, typer.Option(help="Play a short sample rehearsal into the session 'demo'.")
    ] = False,
    page_dir: Annotated[
        Path | None, typer.Option(help="Folder with the built page.", show_default="frontend/out")
    ] = None,
) -> None:
    """Run everything on this machine: embedded broker, relay, page and, if wanted, a sample agent.

    Listens on loopback only. What the embedded broker keeps is gone when it stops.
    """
    with _explained(), ExitStack() as stack:
        settings = Settings.load(
            host="127.0.0.1", port=port, workers=1, page_dir=page_dir, redis_url=redis_url
        )
        if settings.page_dir is None:
            settings = settings.model_copy(update={"page_dir": _checkout_page_dir()})
        configure_logs(settings.log_level, settings.log_format)
        listener = stack.enter_context(server.bind(settings))
        _err.print()
        url_flag = "" if redis_url is None else f" --redis-url {without_password(redis_url)}"
        if redis_url is None:
            # Imported here: only this command needs it, and it takes a while.
            from relay.embedded import EmbeddedBroker  # noqa: PLC0415

            broker = stack.enter_context(EmbeddedBroker())
            settings = settings.model_copy(update={"redis_url": broker.url})
            if not broker.is_on_default_port:
                url_flag = f" --redis-url {broker.url}"
            _err.print(f"  Embedded broker on {broker.url}", style="dim")
        if sample:
            agent = subprocess.Popen(  # noqa: S603 - our own module, with the same interpreter
                [
                    sys.executable, "-c", _SAMPLE_AGENT, "replay", "--sample", "--loop",
                    "--session", DEMO_SESSION,
                ],
                # Not as an argument: everybody on this machine can read those.
                env={**os.environ, "RELAY_REDIS_URL": settings.redis_url},
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            stack.callback(_stop, agent)
        _say_where(
            server.url_of(listener),
            url_flag,
            has_page=settings.page_dir is not None,
            token=_demo_token(settings),
        )
        server.run(settings, listener)
        _err.print("Stopped.")


@app.command()
def token(
    session: Annotated[
        list[str],
        typer.Option(
            "--session",
            help="A session, or a prefix with * at its end; may be given several times.",
        ),
    ],
    subject: Annotated[
        str | None, typer.Option("--sub", help="Who its holder is; a guest without.")
    ] = None,
    role: Annotated[Role, typer.Option(help="What its holder may do.")] = Role.FACILITATOR,
    valid_for: Annotated[
        str, typer.Option("--for", help="How long it is good: 90s, 15m, 12h or 7d.")
    ] = "12h",
    jwt_secret: Annotated[
        str | None, typer.Option(envvar="RELAY_JWT_SECRET", help="The relays' secret.")
    ] = None,
) -> None:
    """Make a token for development, signed with RELAY_JWT_SECRET; it alone goes to stdout.

    export RELAY_JWT_SECRET=$(openssl rand -hex 32)
    hint-relay token --session demo --sub ada
    """
    with _explained():
        settings = Settings.load(jwt_secret=jwt_secret)
        if settings.jwt_secret is None:
            raise SettingsError(
                "There is no RELAY_JWT_SECRET to sign with: give the one that the relays have, or make "
                "one for all: export RELAY_JWT_SECRET=$(openssl rand -hex 32)"
            )
        lives_s = parse_duration_s(valid_for)
        check_patterns(session)
        _check_name("--sub", subject)
        # Of several that replace each other the first is the newest.
        secret = settings.jwt_secret.get_secret_value().split()[0]
        print(
            mint(
                secret,
                sessions=session,
                role=role,
                subject=subject,
                lives_s=lives_s,
                audience=settings.jwt_audience,
                issuer=settings.jwt_issuer,
            )
        )
    _err.print(
        f"For {', '.join(session)} as {role}, good for {valid_for}. The page takes it so: "
        "…/session/facilitator?session=<session>#token=<token>",
        style="dim",
    )


@app.command()
def revoke(
    token_id: Annotated[
        str | None, typer.Option("--jti", help="The token with this id (claim 'jti').")
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--sub", help="All tokens that this person (claim 'sub') has until now."),
    ] = None,
    valid_for: Annotated[
        str, typer.Option("--for", help="How long such tokens can still live: 12h, 30d.")
    ] = "30d",
    redis_url: Annotated[
        str | None, typer.Option(envvar="RELAY_REDIS_URL", help="The relays' Redis.")
    ] = None,
) -> None:
    """Take tokens back; within two seconds all relays refuse them, and end their connections."""
    with _explained():
        settings = Settings.load(redis_url=redis_url)
        if (token_id is None) == (subject is None):
            raise SettingsError("Say what to revoke: either --jti <id> or --sub <person>.")
        _check_name("--jti", token_id)
        _check_name("--sub", subject)
        lives_s = parse_duration_s(valid_for)
        kind: Kind = "sub" if token_id is None else "jti"
        asyncio.run(_revoke(settings, kind, token_id or subject or "", lives_s))
    _err.print(f"Revoked: tokens with {kind} {token_id or subject!r}.")


def _check_name(flag: str, name: str | None) -> None:
    """Refuse what no token can have: nobody may believe to have revoked it, or to be it."""
    if name is not None and not is_name(name):
        raise SettingsError(f"{flag} is to be a text of 1 to {MAX_NAME} printable characters.")


async def _revoke(settings: Settings, kind: Kind, name: str, lives_s: float) -> None:
    async with Broker(settings.redis_url, timeout_s=settings.redis_timeout_s) as broker:
        await RevocationLog(broker).add(kind, name, for_s=lives_s)


def _demo_token(settings: Settings) -> str | None:
    """Return a token for the demo, when RELAY_JWT_SECRET makes the relay ask for one."""
    if settings.jwt_secret is None:
        return None
    return mint(
        settings.jwt_secret.get_secret_value().split()[0],
        sessions=[DEMO_SESSION],
        role=Role.FACILITATOR,
        subject="you",
        lives_s=parse_duration_s("12h"),
        audience=settings.jwt_audience,
        issuer=settings.jwt_issuer,
    )


def _say_where(base_url: str, url_flag: str, *, has_page: bool, token: str | None) -> None:
    hint = _hint_command()
    if has_page:
        fragment = "" if token is None else f"#token={token}"
        _err.print(
            f"\n  Open  {base_url}/session/facilitator?session={DEMO_SESSION}{fragment}\n",
            style="bold",
        )
    else:
        _err.print(
            f"\n  Relay on {base_url}. There is no built page here (`make page` builds it, with Node 20). "
            "Read hints in a terminal:",
            style="bold",
        )
        _err.print(f"    {hint} tail --session {DEMO_SESSION}{url_flag}\n")
    _err.print("  Send a hint from another terminal:")
    _err.print(f'    {hint} send --session {DEMO_SESSION}{url_flag} "Ask what the letter said."\n')
    _err.print("  Ctrl-C stops everything.\n", style="dim")


def _hint_command() -> str:
    """Return how to call ``hint``: a virtual environment that is not activated needs the path."""
    beside = Path(sys.argv[0]).with_name("hint")
    on_path = shutil.which("hint")
    if not beside.exists() or (on_path is not None and Path(on_path).samefile(beside)):
        return "hint"
    return str(beside)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _checkout_page_dir() -> Path | None:
    """Return the page that was built in this checkout, if there is one."""
    built = Path(__file__).resolve().parent.parent / "frontend" / "out"
    return built if (built / "index.html").is_file() else None


class _explained:  # noqa: N801 - reads as a word in a with statement
    """Print our own errors as one sentence, without a traceback, and exit with 2."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        """Explain."""
        if isinstance(error, HintRelayError):
            _err.print(f"hint-relay: {error}", style="red", markup=False)
            raise typer.Exit(2)


if __name__ == "__main__":
    app()
