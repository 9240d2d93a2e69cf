"""Whether the tests notice when the code is wrong, in a sample of each module."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

import pytest

pytest.importorskip("cosmic_ray")

from tests.mutation import Copy, Mutant, sample

pytestmark = [pytest.mark.long, pytest.mark.timeout(3600)]

#: Mutants of a module.
SIZE = 20
#: Of those that are not known to be the same as the original, so many must be noticed.
SHARE = 0.95
#: Seconds, beyond which a mutant counts as noticed: it runs in circles.
PATIENCE = 240.0
COPIES = 2

#: Module → the modules of tests that hold it, those that notice most first.
TESTS = {
    "store/journal": ("store/journal", "live/plan", "store/items", "project"),
    "live/plan": ("live/plan", "live/hub", "project"),
    "live/hub": ("live/hub", "live/plan", "web/socket"),
    "live/inserts": ("live/inserts", "project", "web/socket"),
    "live/resend": ("live/resend", "live/plan", "web/socket"),
    "store/items": ("store/items", "project"),
    "store/writer": ("store/writer", "project"),
    "live/positions": ("live/positions", "web/socket"),
    "backend": ("backend", "web/socket"),
    "project": ("project", "web/socket"),
    "web/socket": ("web/socket",),
}
#: Mutants that no test can notice, by module, operator and line, each with its reason.
EQUIVALENT = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleQueue[Copy]]:
    copies: SimpleQueue[Copy] = SimpleQueue()
    for _ in range(COPIES):
        copies.put(Copy(tmp_path_factory.mktemp("mutants") / "tree"))
    yield copies


def is_equivalent(mutant: Mutant) -> bool:
    return any(
        (each["operator"], each["line"], each["turn"])
        == (mutant.operator, mutant.line, mutant.turn)
        for each in EQUIVALENT.get(mutant.module, ())
    )


@pytest.mark.parametrize("module", TESTS)
def test_what_is_wrong_in_a_module_is_noticed(module: str, copies: SimpleQueue[Copy]) -> None:
    tests = list(map(tests_of, TESTS[module]))
    chosen = [each for each in sample(module, SIZE) if not is_equivalent(each)]

    def survives(mutant: Mutant) -> bool:
        copy = copies.get()
        try:
            return copy.survives(mutant, tests, PATIENCE)
        finally:
            copies.put(copy)

    with ThreadPoolExecutor(COPIES) as threads:
        survived = list(threads.map(survives, chosen))
    left = [str(mutant) for mutant, each in zip(chosen, survived, strict=True) if each]
    assert len(left) <= (1 - SHARE) * len(chosen), "\n".join(left)


def test_what_is_not_wrong_passes(copies: SimpleQueue[Copy]) -> None:
    """Else every mutant would count as noticed."""
    copy = copies.get()
    names = sorted({name for each in TESTS.values() for name in each})
    passed = copy.passes(list(map(tests_of, names)), 10 * PATIENCE)
    copies.put(copy)
    assert passed


def test_an_equivalent_mutant_is_known_by_a_line_that_is_there() -> None:
    for module, known in EQUIVALENT.items():
        lines = {line.strip() for line in source(module).splitlines()}
        assert [each["line"] for each in known if each["line"] not in lines] == []


def tests_of(module: str) -> str:
    folder, _, name = module.rpartition("/")
    return str(Path("tests", folder, f"test_{name}.py"))


def source(module: str) -> str:
    return (Path(__file__).parent.parent / "gantt_tornado" / f"{module}.py").read_text()
