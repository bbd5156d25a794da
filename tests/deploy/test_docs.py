"""What the operators' documents repeat from elsewhere is still what stands there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "DEPLOY.md"
SECURITY = ROOT / "docs" / "SECURITY.md"
TROUBLESHOOTING = ROOT / "docs" / "TROUBLESHOOTING.md"


def test_every_close_code_is_explained() -> None:
    """The table of close codes in the document is the golden one."""
    golden = json.loads((ROOT / "tests" / "golden" / "close_codes.json").read_text())
    rows = re.findall(
        r"^\| (\d{4}) \| (\w+) \| (yes|no) \| (.*) \|$",
        TROUBLESHOOTING.read_text(),
        flags=re.MULTILINE,
    )
    assert rows == [
        (
            str(row["code"]),
            row["name"],
            "yes" if row["reconnect"] else "no",
            row["meaning"],
        )
        for row in golden
    ]


@pytest.mark.parametrize("document", [DEPLOY, TROUBLESHOOTING], ids=lambda path: path.name)
def test_named_files_exist(document: Path) -> None:
    """Each file of the repository that a document names is there."""
    named = set(re.findall(r"\b((?:deploy|docs|tests)/[\w./-]*\w)", document.read_text()))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("document", [DEPLOY, TROUBLESHOOTING], ids=lambda path: path.name)
def test_named_variables_exist(document: Path) -> None:
    """Each HINT_RELAY_* and LB_* variable that a document names is one."""
    known = "".join((ROOT / name).read_text() for name in [".env.example", "deploy/haproxy.cfg"])
    named = set(re.findall(r"\b((?:HINT_RELAY|LB)_[A-Z_]+)\b", document.read_text()))
    assert named
    assert [name for name in sorted(named) if name not in known] == []


def test_each_threat_has_a_test() -> None:
    """Each test that SECURITY.md names for a defence is there, and each defence names one."""
    rows = [
        line.split(" | ")
        for line in SECURITY.read_text().partition("## Threats")[2].splitlines()
        if line.startswith("| ") and not line.startswith(("| threat", "| ---"))
    ]
    assert len(rows) > 20
    missing = []
    for *_, tests in rows:
        named = re.findall(r"`([\w./]+\.py)(?:::(\w+))?`", tests)
        assert named or "`make " in tests or "library's" in tests, tests
        for name, function in named:
            path = ROOT / (name if "/" in name else f"tests/relay/routes/{name}")
            if not path.is_file() or f"def {function}" not in path.read_text():
                missing.append(f"{name}::{function}")
    assert missing == []
