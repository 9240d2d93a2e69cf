from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model.ancestors import Ancestors
from tests import support  # noqa: F401  (the profile of hypothesis)


class Tree:
    """Tasks with their parents, 0 at the top, and how many were read."""

    def __init__(self, parents: dict[int, int]) -> None:
        self.parents = parents
        self.read = 0
        self.ancestors = Ancestors(self.climb, self.step)

    def climb(self, task: int) -> Iterator[int]:
        while task:
            yield task
            task = self.parents[task]

    def step(self) -> None:
        self.read += 1

    def move(self, id: int, parent: int) -> None:
        self.parents[id] = parent
        self.ancestors.moved(id)


def chain(length: int) -> Tree:
    return Tree({id: id - 1 for id in range(1, length + 1)})


def test_a_task_is_in_its_own_way_up() -> None:
    assert chain(1).ancestors.contain(1, 1)


def test_what_is_above_is_found() -> None:
    tree = chain(5)
    assert [id for id in range(1, 6) if tree.ancestors.contain(3, id)] == [1, 2, 3]


def test_nothing_is_above_the_top() -> None:
    assert not chain(3).ancestors.contain(0, 1)


def test_a_chain_is_read_once_for_all_questions_about_it() -> None:
    tree = chain(1000)
    for id in range(1, 301):
        tree.ancestors.contain(1000 - id * 7919 % 1000, id)
    assert tree.read <= 1000


def test_moving_rows_to_the_end_of_a_chain_reads_each_of_it_once() -> None:
    tree = chain(1000)
    tree.parents |= dict.fromkeys(range(1001, 1301), 0)
    end = 1000
    for id in range(1001, 1301):
        assert not tree.ancestors.contain(end, id)
        tree.move(id, end)
        end = id
    assert tree.read == 1299


def test_what_lies_between_two() -> None:
    tree = chain(5)
    assert tree.ancestors.contain(4, 2)
    assert tree.ancestors.between(4, 2) == [3, 4]


def test_what_was_forgotten_is_read_again() -> None:
    tree = chain(3)
    tree.ancestors.contain(3, 1)
    tree.parents[2] = 0
    tree.ancestors.forget()
    assert not tree.ancestors.contain(3, 1)


moves = st.lists(st.tuples(st.integers(1, 12), st.integers(0, 12)), max_size=60)


@given(moves)
def test_after_any_moves_the_answer_is_that_of_climbing(moves: list[tuple[int, int]]) -> None:
    tree = Tree(dict.fromkeys(range(1, 13), 0))
    for id, parent in moves:
        below_itself = id in list(tree.climb(parent))
        assert tree.ancestors.contain(parent, id) == below_itself
        if not below_itself:
            tree.move(id, parent)
