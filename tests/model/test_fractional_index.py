from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model.fractional_index import between, is_key
from tests import support  # noqa: F401  (the profile of hypothesis)


def test_a_first_key_needs_no_neighbour() -> None:
    assert between(None, None)


def test_a_key_lies_between_its_neighbours() -> None:
    low = between(None, None)
    high = between(low, None)
    assert low < between(low, high) < high


def test_a_key_can_precede_all_others() -> None:
    first = between(None, None)
    assert between(None, first) < first


def test_a_key_precedes_a_fraction_too() -> None:
    whole = between(None, None)
    fraction = between(whole, between(whole, None))
    assert between(None, fraction) < fraction


@pytest.mark.parametrize("low, high", [("a1", "a0"), ("a0", "a0"), ("a0V", "a0")])
def test_neighbours_in_the_wrong_order_are_refused(low: str, high: str) -> None:
    with pytest.raises(ValueError, match="not less"):
        between(low, high)


def test_rows_appended_for_years_keep_short_keys() -> None:
    key = between(None, None)
    for _ in range(20_000):
        key, before = between(key, None), key
        assert before < key
    assert len(key) <= 4


def test_rows_put_first_for_years_keep_short_keys() -> None:
    key = between(None, None)
    for _ in range(20_000):
        key, after = between(None, key), key
        assert key < after
    assert len(key) <= 4


def test_a_thousand_rows_right_below_one_keep_usable_keys() -> None:
    low = between(None, None)
    high = between(low, None)
    for _ in range(1000):
        key = between(low, high)
        assert low < key < high
        high = key
    assert len(high) <= 210


def test_a_thousand_rows_right_above_one_keep_usable_keys() -> None:
    low = between(None, None)
    high = between(low, None)
    for _ in range(1000):
        key = between(low, high)
        assert low < key < high
        low = key
    assert len(low) <= 210


@given(st.lists(st.integers(min_value=0), max_size=200))
def test_keys_from_any_sequence_of_inserts_stay_distinct_and_sorted(places: list[int]) -> None:
    keys: list[str] = []
    for place in places:
        at = place % (len(keys) + 1)
        keys.insert(at, between(keys[at - 1] if at else None, keys[at] if at < len(keys) else None))
    assert all(low < high for low, high in pairwise(keys))


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_any_two_neighbours_leave_room(steps: list[bool]) -> None:
    low, high = between(None, None), between(between(None, None), None)
    for upper in steps:
        key = between(low, high)
        assert low < key < high
        low, high = (key, high) if upper else (low, key)


@pytest.mark.parametrize("key", ["a0", "Zz", "a1V", "b10", between("a0", "a1")])
def test_a_key_is_known(key: str) -> None:
    assert is_key(key)


@pytest.mark.parametrize("key", ["", "?", "a", "b1", "0", "a0 ", "a10", "ä0", "c00"])
def test_so_is_what_is_none(key: str) -> None:
    assert not is_key(key)
