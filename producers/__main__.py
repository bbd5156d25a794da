"""``python -m producers`` is the ``hint`` command."""

from producers.cli import app

app(prog_name="hint")
