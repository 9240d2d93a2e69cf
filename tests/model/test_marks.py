from __future__ import annotations

import random
import sys

import pytest

from gantt_tornado.model import marks
from gantt_tornado.model.marks import FOREIGN, Marks, Position


def test_a_position_is_its_number_and_its_mark() -> None:
    assert str(Position(417, 0xABC)) == "417-000abc"


@pytest.mark.parametrize("position", [Position(0, 0), Position(417, 0xFFFFFF)])
def test_a_position_is_read_as_it_was_shown(position: Position) -> None:
    assert Position.read(str(position)) == position


@pytest.mark.parametrize(
    "text",
    [
        *("", "417", "-1", "417-", "417-abc", "417-0000abc", "417-00xabc", "417-000ABC"),
        *("\u0663-000abc", "417-000abc ", "417-000abc\n", "9" * 19 + "-000abc"),
    ],
)
def test_what_is_no_position_is_in_no_history(text: str) -> None:
    assert Position.read(text) == Position(FOREIGN, FOREIGN)


def test_marks_differ() -> None:
    new = marks.source()
    assert len({new() for _ in range(100)}) > 90


def test_marks_of_two_sources_differ_whatever_the_application_has_seeded() -> None:
    found = []
    for _ in range(2):
        random.seed(1)
        found.append([marks.source()() for _ in range(3)])
    assert found[0] != found[1]


@pytest.mark.parametrize("parts", [("iso", "UTC", "clean"), ("iso", "UTCt", "ext")])
def test_what_shapes_an_answer_has_a_digest_of_its_own(parts: tuple[str, ...]) -> None:
    assert marks.shape("iso", "UTC", "text") == marks.shape("iso", "UTC", "text")
    assert marks.shape(*parts) != marks.shape("iso", "UTC", "text")


def test_each_change_has_its_mark() -> None:
    kept = Marks(3, 30, [(4, 40), (5, 50)])
    kept.add(6, 60)
    assert [kept.get(seq) for seq in range(2, 8)] == [FOREIGN, 30, 40, 50, 60, FOREIGN]


def test_what_is_missing_in_a_damaged_journal_has_none() -> None:
    kept = Marks(0, 1, [(3, 30)])
    assert [kept.get(seq) for seq in range(4)] == [1, FOREIGN, FOREIGN, 30]


def test_the_last_that_is_forgotten_keeps_its_mark() -> None:
    kept = Marks(0, 1, [(seq, 10 * seq) for seq in range(1, 5)])
    kept.forget(2)
    assert [kept.get(seq) for seq in range(5)] == [FOREIGN, FOREIGN, 20, 30, 40]


@pytest.mark.parametrize("seq, last", [(4, 40), (9, 40)])
def test_the_last_of_all_is_not_forgotten(seq: int, last: int) -> None:
    kept = Marks(0, 1, [(each, 10 * each) for each in range(1, 5)])
    kept.forget(seq)
    kept.add(5, 50)
    assert [kept.get(4), kept.get(5)] == [last, 50]


def test_a_million_marks_take_four_megabytes() -> None:
    kept = Marks(0, 1, ((seq, seq % 1000) for seq in range(1, 100_000)))
    assert sys.getsizeof(kept._marks) < 100_000 * 4 * 1.2
