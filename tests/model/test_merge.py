from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model import merge
from tests import support  # noqa: F401  (the profile of hypothesis)

JSON = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text("ab", max_size=2))
STATES = st.dictionaries(st.sampled_from("abcd"), JSON)


@pytest.mark.parametrize(
    "stored, sent",
    [
        ("dig", "dig"),
        (None, ""),
        (None, None),
        (3, 3.0),
        (3, "3"),
        (0.5, "0.5"),
        (True, "true"),
        ([1, 2], [1, 2]),
        ([1, 2], "[1,2]"),
        ({"a": 1}, '{"a":1}'),
    ],
)
def test_what_the_client_sends_for_an_untouched_field_is_the_same(stored: Any, sent: Any) -> None:
    assert merge.same(stored, sent)


@pytest.mark.parametrize(
    "stored, sent",
    [
        ("dig", "Dig"),
        ("", None),
        (1, True),
        (False, 0),
        (0, ""),
        (None, 0),
        (None, False),
        ("3", 3),
        ([1, 2], [2, 1]),
        ("dig", ["dig"]),
    ],
)
def test_another_value_is_not_the_same(stored: Any, sent: Any) -> None:
    assert not merge.same(stored, sent)


def test_only_what_differs_from_the_base_was_changed() -> None:
    assert merge.changed({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"b": 3}


def test_a_field_that_the_base_lacks_was_changed() -> None:
    assert merge.changed({}, {"a": None}) == {"a": None}


def test_a_field_that_was_not_sent_was_not_changed() -> None:
    assert merge.changed({"a": 1}, {}) == {}


def test_a_difference_names_old_and_new() -> None:
    assert merge.diff({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"b": [2, 3]}


def test_a_difference_holds_what_came_and_what_went() -> None:
    assert merge.diff({"a": 1}, {"b": 2}) == {"a": [1, None], "b": [None, 2]}


def test_equal_values_are_no_difference() -> None:
    assert merge.diff({"a": [1]}, {"a": [1]}) == {}


def test_one_and_true_are_a_difference() -> None:
    assert merge.diff({"a": 1}, {"a": True}) == {"a": [1, True]}


@given(STATES, STATES)
def test_a_difference_taken_back_gives_the_old_values(old: Any, new: Any) -> None:
    base = merge.seen_by(new, [(merge.diff(old, new), False)])
    assert {field: value for field, value in base.items() if value is not None} == {
        field: value for field, value in old.items() if value is not None
    }


@given(STATES)
def test_nothing_differs_from_itself(state: dict[str, Any]) -> None:
    assert merge.diff(state, dict(state)) == {}
    assert merge.changed(state, state) == {}


def test_a_writer_that_has_seen_all_knows_the_present() -> None:
    assert merge.seen_by({"a": 1}, []) == {"a": 1}


def test_what_others_did_later_is_not_known() -> None:
    later = [({"a": [1, 2]}, False), ({"a": [0, 1]}, False)]
    assert merge.seen_by({"a": 2, "b": 5}, later) == {"a": 0, "b": 5}


def test_what_the_writer_did_itself_is_known_before_its_echo() -> None:
    assert merge.seen_by({"a": 2}, [({"a": [1, 2]}, True)]) == {"a": 2}


def test_what_others_did_before_and_after_the_writer_is_not_known() -> None:
    later = [({"a": [2, 3]}, False), ({"b": [0, 1]}, True), ({"a": [1, 2]}, False)]
    assert merge.seen_by({"a": 3, "b": 1}, later) == {"a": 1, "b": 1}


def test_the_last_of_the_writers_own_changes_is_what_it_knows() -> None:
    later = [({"a": [1, 2]}, True), ({"a": [0, 1]}, True)]
    assert merge.seen_by({"a": 2}, later) == {"a": 2}


def test_the_present_is_left_as_it_was() -> None:
    present = {"a": 2}
    merge.seen_by(present, [({"a": [1, 2]}, False)])
    assert present == {"a": 2}


@given(STATES, STATES, STATES)
def test_two_who_edit_different_fields_both_keep_their_edit(
    base: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    mine = merge.changed(base, first)
    theirs = {field: v for field, v in merge.changed(base, second).items() if field not in mine}
    present = {**base, **theirs}
    known = merge.seen_by(present, [(merge.diff(base, present), False)])
    merged = {**present, **merge.changed(known, {**base, **mine})}
    assert {**merged, **mine, **theirs} == merged


@pytest.mark.parametrize("date", sorted(merge.DATES))
def test_the_dates_are_one_field(date: str) -> None:
    assert merge.whole({date}) == merge.DATES


@pytest.mark.parametrize("place", sorted(merge.PLACE))
def test_the_branch_and_the_order_in_it_are_one_field(place: str) -> None:
    assert merge.whole({place}) == merge.PLACE


def test_any_other_field_stands_alone() -> None:
    assert merge.whole({"text", "colour"}) == {"text", "colour"}
