"""Mutants: copies of a module in which one small thing is wrong, for the tests to notice."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parent.parent
COPIED: Final = ("gantt_tornado", "tests", "config", "static", "examples", "bench", "docs")

#: cosmic-ray has each operator replaced by each other: most of those mutants fail at once,
#: or differ in nothing, as ``is`` from ``==`` with None.
OF_COSMIC_RAY: Final = (
    *("AddNot", "NumberReplacer", "ReplaceAndWithOr", "ReplaceOrWithAnd"),
    *("ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ZeroIterationForLoop"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "ReplaceUnaryOperator_Delete_Not"),
    *(f"ReplaceComparisonOperator_{each}" for each in ("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt")),
    *(f"ReplaceComparisonOperator_{each}" for each in ("Eq_NotEq", "NotEq_Eq", "Is_IsNot")),
    *(f"ReplaceBinaryOperator_{each}" for each in ("Add_Sub", "Sub_Add", "Mul_Div")),
    *(f"ReplaceBinaryOperator_{each}" for each in ("BitOr_BitAnd", "BitAnd_BitOr")),
)

Span = tuple[tuple[int, int], tuple[int, int]]


class DropCall(Operator):
    """A statement that is nothing but a call is not carried out."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "simple_stmt" and _is_call(node.children[0]):
            yield (node.start_pos, node.children[0].end_pos)

    def mutate(self, node: Any, index: int) -> Any:
        call = node.children[0]
        first = call.get_first_leaf().prefix
        node.children[0] = parso.python.tree.Keyword("pass", call.start_pos, first)
        return node

    @classmethod
    def examples(cls) -> Iterable[Any]:
        return ()


class ReplaceCondition(Operator):
    """The condition of an ``if`` always holds, or never."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        for condition in self._conditions(node):
            for _ in ("True", "False"):
                yield (node.children[condition].start_pos, node.children[condition].end_pos)

    def mutate(self, node: Any, index: int) -> Any:
        condition = self._conditions(node)[index // 2]
        value = "False" if index % 2 else "True"
        node.children[condition] = parso.python.tree.Keyword(
            value, node.children[condition].start_pos, " "
        )
        return node

    @staticmethod
    def _conditions(node: Any) -> list[int]:
        if node.type == "if_stmt":
            words = enumerate(node.children)
            return [at + 1 for at, each in words if getattr(each, "value", "") in ("if", "elif")]
        # A conditional expression.
        return [2] if node.type == "test" else []

    @classmethod
    def examples(cls) -> Iterable[Any]:
        return ()


OPERATORS: Final[dict[str, Operator]] = {
    "DropCall": DropCall(),
    "ReplaceCondition": ReplaceCondition(),
    **{name: get_operator(f"core/{name}")() for name in OF_COSMIC_RAY},
}


@dataclass(frozen=True)
class Mutant:
    """A module with one change: the occurrence of an operator's places that is replaced."""

    module: str
    operator: str
    occurrence: int
    row: int
    line: str
    #: Which of the operator's changes to such lines it is.
    turn: int

    @property
    def rank(self) -> str:
        """Chooses a sample that stays as it is when other lines change."""
        return sha256(f"{self.operator} {self.line} {self.turn}".encode()).hexdigest()

    @property
    def code(self) -> str:
        code: str = mutate_code(_source(self.module), OPERATORS[self.operator], self.occurrence)
        return code

    def differs(self) -> bool:
        """Whether it is a module, and another than the one that it was made of."""
        try:
            mutated = ast.parse(self.code)
        except SyntaxError:
            return False
        return ast.dump(mutated) != ast.dump(ast.parse(_source(self.module)))

    def __str__(self) -> str:
        before, after = _source(self.module).splitlines(), self.code.splitlines()
        pairs = zip(before, after, strict=False)
        mutated = next((new.strip() for old, new in pairs if old != new), "")
        return (
            f"{self.module}.py:{self.row}: {self.line}\n  {self.operator}[{self.turn}]: {mutated}"
        )


def mutants(module: str) -> list[Mutant]:
    """All mutants of a module that its tests have to notice."""
    source = _source(module)
    lines = source.splitlines()
    exempt = list(_exempt(ast.parse(source)))
    nodes = list(ast_nodes(get_ast(source)))
    found: list[Mutant] = []
    for name, operator in OPERATORS.items():
        turns: Counter[str] = Counter()
        spans = [span for node in nodes for span in operator.mutation_positions(node)]
        for occurrence, (start, end) in enumerate(spans):
            line = lines[start[0] - 1].strip()
            turns[line] += 1
            if not any(first <= start and end <= last for first, last in exempt):
                found.append(Mutant(module, name, occurrence, start[0], line, turns[line]))
    return found


def sample(module: str, size: int) -> list[Mutant]:
    """Some of a module's mutants, and the same for as long as their lines are."""
    ranked = sorted(mutants(module), key=lambda each: each.rank)
    return list(islice((each for each in ranked if each.differs()), size))


def _source(module: str) -> str:
    return (ROOT / "gantt_tornado" / f"{module}.py").read_text()


def _exempt(module: ast.Module) -> Iterator[Span]:
    """Where a change is none that a test has to notice."""
    for node in ast.walk(module):
        # Types are never evaluated.
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                yield _span(getattr(node, name))
        # What holds always is asserted for mypy and for readers.
        if isinstance(node, ast.Assert):
            yield _span(node)
        # What is logged is for people.
        if isinstance(node, ast.Expr) and ast.unparse(node).startswith("log."):
            yield _span(node)
        # Frozen and with slots, dataclasses behave the same.
        if isinstance(node, ast.ClassDef):
            yield from (_span(each) for each in node.decorator_list)
    # How much is much, and how long is long, is a choice.
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and "Final" in ast.unparse(node.annotation):
            yield _span(node)


def _span(node: Any) -> Span:
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def _is_call(node: Any) -> bool:
    if node.type == "atom_expr" and getattr(node.children[0], "value", "") == "await":
        # Something else would never have the loop.
        return len(node.children) > 2 and _calls(node.children[-1])
    return node.type in ("atom_expr", "power") and _calls(node.children[-1])


def _calls(trailer: Any) -> bool:
    return trailer.type == "trailer" and trailer.children[0].value == "("


class Copy:
    """A copy of the tree, in which a module is replaced by its mutants and the tests are run."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        ignored = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            shutil.copytree(ROOT / name, directory / name, ignore=ignored)
        for path in ROOT.iterdir():
            if path.is_file():
                shutil.copy(path, directory)

    def survives(self, mutant: Mutant, tests: list[str], patience: float) -> bool:
        """Whether no test notices a mutant."""
        path = self._directory / "gantt_tornado" / f"{mutant.module}.py"
        intact = path.read_text()
        path.write_text(mutant.code)
        try:
            return self.passes(tests, patience)
        finally:
            path.write_text(intact)

    def passes(self, tests: list[str], patience: float) -> bool:
        command = [sys.executable, "-m", "pytest", "-n", "0", "-x", "-q", "-p", "no:cacheprovider"]
        # A file of bytecode can be as old and as long as another mutant.
        environment = {
            **os.environ,
            "PYTHONPATH": str(self._directory),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        try:
            run = subprocess.run(
                [*command, *tests],
                cwd=self._directory,
                env=environment,
                timeout=patience,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return False
        return run.returncode == 0
