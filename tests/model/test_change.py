import pytest

from gantt_tornado.model.change import Author, Change, Touched
from gantt_tornado.model.entities import ENTITIES

TASK = ENTITIES["task"]


@pytest.mark.parametrize(
    "one, other, is_other",
    [
        (Author("ann"), Author("bob"), True),
        (Author("ann", "tab-1"), Author("ann", "tab-2"), True),
        (Author("ann", "tab-1"), Author("ann", "tab-1"), False),
        (Author("ann", "tab-1"), Author("ann"), False),
        (Author("ann"), Author("ann"), False),
    ],
)
def test_an_author_is_another_by_user_or_page(one: Author, other: Author, is_other: bool) -> None:
    assert one.is_other_than(other) == other.is_other_than(one) == is_other


@pytest.mark.parametrize(
    "action, fields, moved",
    [
        ("update", {"sortorder": ["a0", "a1"]}, True),
        ("update", {"parent": [0, 7]}, True),
        ("update", {"text": ["a", "b"]}, False),
        ("add", {"parent": [None, 7]}, False),
        ("delete", {"parent": [7, None]}, False),
    ],
)
def test_an_update_of_its_place_moves_a_row(action: str, fields: object, moved: bool) -> None:
    change = Change(9, 9, "default", TASK, 7, action, Author(""), 0, fields)  # type: ignore[arg-type]
    assert change.moved == moved


def test_fields_are_read_from_a_line_of_the_journal() -> None:
    line = Change(9, 9, "default", TASK, 7, "update", Author(""), 0, '{"text":["a","b"]}')
    assert line.fields == {"text": ["a", "b"]}


def test_a_page_lacks_what_was_touched_after_its_position() -> None:
    touched = Touched(9, TASK, deleted=False)
    assert [touched.is_after(seq) for seq in (8, 9, 10)] == [True, False, False]


def test_a_page_may_lack_what_was_resent_at_its_very_position() -> None:
    touched = Touched(9, TASK, deleted=False, resent=True)
    assert [touched.is_after(seq) for seq in (8, 9, 10)] == [True, True, False]
