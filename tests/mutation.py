"""Mutants: copies of a module in which one small thing is wrong, for the tests to notice."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import parso
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parent.parent
#: The modules whose mutants `make test-long` makes.
CORE: Final = (
    *("journal", "items", "plan", "hub", "inserts", "resend", "writer", "positions", "project"),
    *("socket", "socket_writer", "merge", "entities", "dates", "marks", "endpoints"),
    *("continuity", "backend"),
)

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
    #: The last of the lines that it changes.
    last_row: int
    line: str
    #: Which of the operator's changes to such lines it is.
    turn: int

    @cached_property
    def code(self) -> str:
        code: str = mutate_code(_source(self.module), OPERATORS[self.operator], self.occurrence)
        return code

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
                rows = (start[0], end[0])
                found.append(Mutant(module, name, occurrence, *rows, line, turns[line]))
    return found


def ranked(module: str, seed: str = "") -> list[Mutant]:
    """A module's mutants in an order by chance, in which the change of a line moves no other."""

    def rank(mutant: Mutant) -> str:
        text = f"{seed}{mutant.operator} {mutant.line} {mutant.turn}"
        return sha256(text.encode()).hexdigest()

    return sorted(mutants(module), key=rank)


def path_of(module: str) -> Path:
    """Where a module is, in whichever folder."""
    (path,) = (ROOT / "gantt_tornado").rglob(f"{module}.py")
    return path


def _source(module: str) -> str:
    return path_of(module).read_text()


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
