"""The virtual environment of those contenders that are Python packages."""

from __future__ import annotations

import functools
import subprocess
from typing import TYPE_CHECKING

from tests.support.process import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

PYTHON = str(ROOT / ".bench-venv" / "bin" / "python")

_VERSIONS = (
    "import importlib.metadata as m, sys; "
    "print(', '.join(f'{name} {m.version(name)}' for name in sys.argv[1:]))"
)


@functools.cache
def why_not(module: str) -> str | None:
    """Say why a module can't be imported there; None when it can."""
    try:
        subprocess.run(
            [PYTHON, "-c", f"import {module}"], check=True, capture_output=True, text=True
        )
    except FileNotFoundError:
        return "needs .bench-venv, which `make bench` makes"
    except subprocess.CalledProcessError as error:
        last = str(error.stderr).strip().splitlines()[-1]
        return f"does not import: {last}"
    return None


def versions(names: Sequence[str]) -> str:
    """Name packages with their versions."""
    return subprocess.run(
        [PYTHON, "-c", _VERSIONS, *names], check=True, capture_output=True, text=True
    ).stdout.strip()
