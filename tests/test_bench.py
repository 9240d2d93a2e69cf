"""The measurements are there; none of them is taken here."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEASURING = sorted(
    path for path in (ROOT / "bench").glob("*.py") if "\ndef measure(" in path.read_text()
)


def test_every_measurement_is_listed_once() -> None:
    command = [sys.executable, "-m", "bench", "--list"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert sorted(done.stdout.split()) == [path.stem for path in MEASURING]


@pytest.mark.parametrize("path", MEASURING, ids=lambda path: path.stem)
def test_a_measurement_says_what_it_measures(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
