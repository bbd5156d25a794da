"""How log lines look: fixed lower-case phrases with fields, for people in a terminal or as JSON."""

from __future__ import annotations

import json
import logging
import sys
from typing import TYPE_CHECKING

import orjson
import structlog

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def configure_logs(level_name: str = "info", log_format: str = "auto") -> None:
    """Set up logging for this process: ours and uvicorn's lines come out alike, on stderr.

    Args:
        level_name: the least severe level that is written.
        log_format: "json", "console", or "auto": console in a terminal.
    """
    level = getattr(logging, level_name.upper())
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True)
        if as_json
        else structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
    ]
    renderer: list[structlog.typing.Processor] = (
        [
            # Without local variables: they can hold people's words, and passwords.
            structlog.processors.ExceptionRenderer(
                structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
            ),
            structlog.processors.JSONRenderer(_dumps),
        ]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    # uvicorn's own news (started, connection open, shutting down) repeats ours.
    logging.getLogger("uvicorn.error").setLevel(max(level, logging.WARNING))
    logging.getLogger("uvicorn.error").addFilter(_tells_of_trouble)
    # At debug it writes what people send: their words, and newer tokens.
    logging.getLogger("websockets").setLevel(max(level, logging.INFO))
    structlog.configure(
        processors=[*shared, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Lines,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """Return a logger for lines with fields; ask when the program runs, not when it is imported.

    In a program that has set up neither our logging nor structlog, an agent that uses the SDK, lines
    go to the standard library's logging, where warnings show and the rest does not: nothing of ours
    may appear in between what such a program prints.
    """
    logger: FilteringBoundLogger
    if structlog.is_configured():
        logger = structlog.get_logger(name)
    else:
        logger = structlog.wrap_logger(
            logging.getLogger(name),
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.format_exc_info,
                structlog.processors.KeyValueRenderer(key_order=["event"], drop_missing=True),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
        )
    return logger


class _Lines:
    """Writes our own lines without the standard library's detour.

    That one takes four times as long, and each facilitator who comes or goes is a line.
    """

    def __init__(self, name: str = "relay") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        """Write a line; nothing that is served may fail because nobody reads the log any more."""
        try:
            sys.stderr.write(line + "\n")
        except (OSError, ValueError):
            # As logging's handlers do with raiseExceptions off.
            pass

    debug = info = warning = error = critical = exception = msg


def _tells_of_trouble(record: logging.LogRecord) -> bool:
    """Pass over what uvicorn reports though nothing has failed.

    Its own WebSockets do so for each handshake that was answered with a status, and a second Ctrl-C
    cancels what the first one had begun to end.
    """
    return record.msg != "ASGI callable returned without completing handshake." and not str(
        record.msg
    ).rstrip().endswith("asyncio.exceptions.CancelledError")


def _dumps(value: object, **_: object) -> str:
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # Integers of more than 64 bits, lone surrogates: rare, and still a line.
        return json.dumps(value, default=str, skipkeys=True)
