"""Runs the tests against mutants, see :mod:`tests.mutation`.

    python -m tests.mutation_run [--size N] [--seed TEXT] [--tests FILE …] [module …]

The tests are imported once, and run once to learn which lines each of them reaches. A mutant
is a fork of that process in which the function that it changes has other code; it runs the
tests that reach the changed line, those of its own module first, until one fails. So a mutant
costs seconds. Left out is what cannot be replaced so: what runs on import, and a function that
would lose its only ``super()``.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import os
import pickle
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import _lru_cache_wrapper
from itertools import islice
from pathlib import Path
from types import CodeType, FunctionType

import coverage
import pytest

from tests.mutation import CORE, ROOT, Mutant, path_of, ranked

log = logging.getLogger(__name__)

#: Mutants of a module.
SIZE = 12
#: Of those that are not known to be the same as the original, so many must be noticed.
SHARE = 0.95
#: Seconds of tests, as long as they took without a mutant, that are run with each.
MOST_SECONDS = 60.0
#: Seconds that they may take then. A mutant that runs in circles counts as noticed.
PATIENCE = 400.0
#: Bytes that it may use, for the same reason.
MEMORY = 4 << 30
#: Not run: they start processes, in which there is no mutant, or read the sources.
APART = ("bench", "cli", "example", "house", "mutants", "public", "testing")
#: Exit codes of a fork; 0 where all tests passed.
FAILED, IN_VAIN = 1, 2

#: Mutants that no test can notice, by module, operator and line, each with its reason.
EQUIVALENT = tomllib.loads((Path(__file__).parent / "mutants.toml").read_text())

Functions = dict[tuple[str, CodeType], list[FunctionType]]


def reason(mutant: Mutant) -> str | None:
    """Why no test can notice a mutant."""
    for each in EQUIVALENT.get(mutant.module, ()):
        known = (each["operator"], each["line"], each["turn"])
        if known == (mutant.operator, mutant.line, mutant.turn):
            return str(each["reason"])
    return None


# The code that a mutant changes.


def changed_functions(mutant: Mutant) -> list[tuple[CodeType, CodeType]]:
    """The functions that a mutant changes, before and after; none where it is no module, the
    same as the original, or changes what runs on import."""
    path = path_of(mutant.module)
    try:
        after = compile(mutant.code, str(path), "exec")
    except SyntaxError:
        return []
    pairs = list(_pairs(compile(path.read_text(), str(path), "exec"), after))
    return [] if None in pairs else [pair for pair in pairs if pair]


def _pairs(before: CodeType, after: CodeType) -> Iterator[tuple[CodeType, CodeType] | None]:
    """None stands for what is no function."""
    old, new = _nested(before), _nested(after)
    if before.co_code != after.co_code or _plain(before) != _plain(after) or len(old) != len(new):
        yield None
        return
    for one, other in zip(old, new, strict=True):
        if one == other:
            continue
        if one.co_name == "<lambda>" or one.co_flags & 1:
            # What is nested in a function is made when that is called.
            yield (one, other) if len(one.co_freevars) == len(other.co_freevars) else None
        else:
            yield from _pairs(one, other)


def _nested(code: CodeType) -> list[CodeType]:
    return [each for each in code.co_consts if isinstance(each, CodeType)]


def _plain(code: CodeType) -> list[str]:
    return [repr(each) for each in code.co_consts if not isinstance(each, CodeType)]


def _functions() -> Functions:
    """The functions of the package that are in memory, by their code."""
    found: Functions = defaultdict(list)
    for each in gc.get_objects():
        if isinstance(each, FunctionType) and "/gantt_tornado/" in each.__code__.co_filename:
            found[each.__code__.co_filename, each.__code__].append(each)
    return found


# Running the tests.


@dataclass
class Reach:
    """Which tests reach which lines, and how many seconds each takes."""

    seconds: dict[str, float] = field(default_factory=dict)
    tests: dict[tuple[str, int], set[str]] = field(default_factory=dict)

    def chosen(self, mutant: Mutant) -> list[str]:
        """The tests to run with a mutant: those of its module first, then the shortest."""
        own = f"/test_{mutant.module}.py::"
        path, rows = str(path_of(mutant.module)), range(mutant.row, mutant.last_row + 1)
        reaching = set[str]().union(*(self.tests.get((path, row), ()) for row in rows))
        names = sorted(reaching, key=lambda name: (own not in name, self.seconds[name]))
        total, chosen = 0.0, []
        for name in names:
            total += self.seconds[name]
            if total < MOST_SECONDS:
                chosen.append(name)
        return chosen


class Runner:
    """A plugin of pytest that runs the collected tests as it likes."""

    def __init__(self, work: Callable[[Runner], None]) -> None:
        self._work = work
        self._items: dict[str, pytest.Item] = {}
        self._failed: list[str] = []
        self._functions: Functions = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self._items = {each.nodeid: each for each in session.items}
        self._work(self)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.append(report.nodeid)

    def reach(self) -> Reach:
        """Run each test, and note what it reaches.

        Raises:
            AssertionError: one fails without a mutant.
        """
        # In a fork: what the first use of the package keeps would be without a mutant.
        with tempfile.NamedTemporaryFile() as file:
            pid = os.fork()
            if not pid:
                try:
                    self._silence()
                    Path(file.name).write_bytes(pickle.dumps(self._reach()))
                finally:
                    os._exit(0)
            os.waitpid(pid, 0)
            failed, reach = pickle.load(file)
        assert not failed, f"without a mutant there fail: {failed}"
        assert isinstance(reach, Reach)
        return reach

    def _reach(self) -> tuple[list[str], Reach]:
        found = Reach()
        tracer = coverage.Coverage(data_file=None, source=[str(ROOT / "gantt_tornado")])
        tracer.start()
        names = list(self._items)
        # What the package keeps for the next test would hide that this one reaches it too.
        caches = [each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper)]
        ours = [each for each in caches if each.__module__.startswith("gantt_tornado.")]
        for name, following in zip(names, [*names[1:], None], strict=True):
            for cache in ours:
                cache.cache_clear()
            tracer.switch_context(name)
            begun = time.perf_counter()
            self._run(name, following)
            found.seconds[name] = time.perf_counter() - begun
        tracer.stop()
        data = tracer.get_data()
        for path in data.measured_files():
            for line, contexts in data.contexts_by_lineno(path).items():
                found.tests.setdefault((path, line), set()).update(contexts)
        return self._failed, found

    def freeze(self) -> None:
        """Make forks cheap: what is there now is never collected, nor looked through."""
        self._functions = _functions()
        gc.collect()
        gc.freeze()

    def killer(self, mutant: Mutant, names: list[str]) -> str | None:
        """The first test that fails with a mutant, None where all pass."""
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            self._in_fork(mutant, names, writer)
        os.close(writer)
        ready, _, _ = select.select([reader], [], [], PATIENCE)
        said = os.read(reader, 4096).decode() if ready else "(it does not end)"
        os.close(reader)
        if not ready:
            os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        # What its tests have started is of its group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
        assert code != IN_VAIN, f"{mutant}\n{said}"
        return said or ("(it crashes)" if code else None)

    def _in_fork(self, mutant: Mutant, names: list[str], writer: int) -> None:
        code = IN_VAIN
        place = tempfile.mkdtemp(prefix="mutant")
        try:
            os.setpgid(0, 0)
            self._silence()
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            config = self._items[names[0]].config
            config._tmp_path_factory._basetemp = Path(place)  # type: ignore[attr-defined]
            self._replace(mutant)
            code = FAILED if self._fails(names) else 0
            os.write(writer, "".join(self._failed[:1]).encode())
        except BaseException as error:
            os.write(writer, repr(error).encode())
        finally:
            shutil.rmtree(place, ignore_errors=True)
            os._exit(code)

    @staticmethod
    def _silence() -> None:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for each in (0, 1, 2):
            os.dup2(nowhere, each)

    def _replace(self, mutant: Mutant) -> None:
        for before, after in changed_functions(mutant):
            functions = self._functions[before.co_filename, before]
            assert functions, f"{before.co_qualname} is not in memory"
            for each in functions:
                each.__code__ = after.replace(co_freevars=before.co_freevars)

    def _fails(self, names: list[str]) -> bool:
        for name in names:
            # Each to its end, so that nothing is left for the next.
            self._run(name, None)
            if self._failed:
                return True
        return False

    def _run(self, name: str, following: str | None) -> None:
        item, after = self._items[name], self._items[following] if following else None
        item.ihook.pytest_runtest_protocol(item=item, nextitem=after)


# The measurement.


@dataclass
class Count:
    """What became of a module's mutants."""

    module: str
    died: int = 0
    equivalent: list[tuple[Mutant, str]] = field(default_factory=list)
    survived: list[Mutant] = field(default_factory=list)

    def __str__(self) -> str:
        numbers = (self.died, len(self.equivalent), len(self.survived))
        return f"{self.module:12}" + "".join(f"{n:12}" for n in (sum(numbers), *numbers))


def count(runner: Runner, reach: Reach, module: str, size: int, seed: str) -> Count:
    found = Count(module)
    usable = (each for each in ranked(module, seed) if changed_functions(each))
    for mutant in islice(usable, size):
        known = reason(mutant)
        names = reach.chosen(mutant)
        if known:
            found.equivalent.append((mutant, known))
        elif names and (killer := runner.killer(mutant, names)):
            found.died += 1
            log.debug("%s\n  noticed by %s", mutant, killer)
        else:
            found.survived.append(mutant)
            log.info("%s\n  survived %d tests", mutant, len(names))
    return found


def tell(counts: list[Count]) -> bool:
    """Print what came out. Returns whether enough mutants died."""
    died = sum(each.died for each in counts)
    survived = sum(len(each.survived) for each in counts)
    print(f"{'module':12}{'mutants':>12}{'died':>12}{'equivalent':>12}{'survived':>12}")
    print(*counts, sep="\n")
    print(f"{died} of {died + survived} that are not equivalent died")
    for each in counts:
        for mutant, why in each.equivalent:
            print(f"equivalent: {mutant}\n  {why}")
        for mutant in each.survived:
            print(f"SURVIVED: {mutant}")
    return died >= SHARE * (died + survived)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.mutation_run", description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help="mutants of a module")
    parser.add_argument("--seed", default="", help="another text is another sample")
    parser.add_argument("--tests", nargs="*", help="files, instead of all but the browser's")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "error"))
    parser.add_argument("module", nargs="*", default=CORE)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=options.log_level.upper(), format="%(message)s")
    counts: list[Count] = []

    def work(runner: Runner) -> None:
        reach = runner.reach()
        runner.freeze()
        for module in options.module:
            counts.append(count(runner, reach, module, options.size, options.seed))

    # The same examples of hypothesis each time.
    os.environ["CI"] = "1"
    files = options.tests or [
        str(path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path.parent.name != "browser" and path.stem.removeprefix("test_") not in APART
    ]
    # All in this process, and nothing captured, so that forks share nothing.
    options_of_pytest = ["-n0", "-q", "-s", "-o", "addopts=", "-m", "not long", "--timeout=60"]
    code = pytest.main([*options_of_pytest, "-p", "no:cacheprovider", *files], [Runner(work)])
    return int(code) or int(not tell(counts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
