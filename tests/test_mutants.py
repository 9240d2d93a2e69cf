"""Whether the tests notice when the code is wrong, in a sample of each module of the core."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("cosmic_ray")

from tests.mutation import CORE, ROOT, path_of
from tests.mutation_run import EQUIVALENT


@pytest.mark.long
@pytest.mark.timeout(3 * 3600)
def test_what_is_wrong_in_the_core_is_noticed(capfd: pytest.CaptureFixture[str]) -> None:
    with capfd.disabled():
        run = subprocess.run([sys.executable, "-m", "tests.mutation_run"], cwd=ROOT)
    assert run.returncode == 0


@pytest.mark.parametrize("module", sorted({*CORE, *EQUIVALENT}))
def test_a_module_of_the_core_is_there(module: str) -> None:
    assert path_of(module).is_file()


def test_an_equivalent_mutant_is_known_by_a_line_that_is_there() -> None:
    for module, known in EQUIVALENT.items():
        lines = {line.strip() for line in path_of(module).read_text().splitlines()}
        assert [each["line"] for each in known if each["line"] not in lines] == []
