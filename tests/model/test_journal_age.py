from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model.journal_age import DAY, Ages
from tests import support  # noqa: F401  (the profile of hypothesis)

Lines = list[tuple[int, int]]


def daily(count: int, first: int = 100 * DAY) -> Lines:
    return [(number + 1, first + number * DAY) for number in range(count)]


def expired(lines: Lines, clock: int, days: int) -> list[int]:
    ages = Ages()
    ages.read(lines)
    found = zip(lines, ages.expired(lines, clock, days * DAY), strict=True)
    return [seq for (seq, _), old in found if old]


def test_a_line_expires_by_its_age() -> None:
    lines = daily(10)
    assert expired(lines, lines[-1][1] + DAY, 5) == [1, 2, 3, 4, 5]


def test_a_clock_ahead_of_the_last_line_ages_by_a_day() -> None:
    lines = daily(10)
    assert expired(lines, lines[-1][1] + 40 * DAY, 9) == [1]


def test_a_line_written_by_a_clock_ahead_ages_those_before_by_a_day() -> None:
    lines = daily(10)
    ahead = lines[-1][1] + 40 * DAY
    assert expired([*lines, (11, ahead)], ahead, 9) == [1]


def test_lines_written_by_a_clock_ahead_age_like_others() -> None:
    lines = daily(3) + [(number, 200 * DAY + number * DAY) for number in range(4, 10)]
    assert expired(lines, lines[-1][1], 4) == [1, 2, 3, 4]


def test_a_clock_that_was_put_back_ages_nothing() -> None:
    lines = daily(10)
    assert expired([*lines, (11, lines[0][1])], lines[0][1], 9) == []
    assert expired(lines, lines[0][1] - 1000 * DAY, 9) == []


def test_what_came_after_it_was_put_back_is_older_than_nothing() -> None:
    lines = [*daily(5), *((seq, 50 * DAY + seq * DAY) for seq in range(6, 10))]
    assert expired(lines, lines[-1][1], 4) == [1, 2, 3]


def test_nothing_read_is_not_of_any_age() -> None:
    assert expired([], 100 * DAY, 1) == []


def test_pauses_that_are_pruned_are_forgotten() -> None:
    lines = [(seq, seq * 10 * DAY) for seq in range(1, 50)]
    ages = Ages()
    ages.read(lines)
    list(ages.expired(lines, lines[-1][1], DAY))
    assert not ages._skips


@given(
    pauses=st.lists(st.integers(-50 * DAY, 50 * DAY), max_size=12),
    last=st.integers(-50 * DAY, 50 * DAY),
    days=st.integers(1, 10),
)
def test_it_is_as_if_each_pause_had_been_a_day_at_most(
    pauses: list[int], last: int, days: int
) -> None:
    lines = [(1, 1000 * DAY)]
    for seq, pause in enumerate(pauses, 2):
        lines.append((seq, lines[-1][1] + pause))
    counted = [min(max(pause, 0), DAY) for pause in [*pauses, last]]
    age = {seq: sum(counted[seq - 1 :]) for seq, _ in lines}
    old = expired(lines, lines[-1][1] + last, days)
    slack = len(pauses) * 60_000
    assert {seq for seq in age if age[seq] > days * DAY + slack} <= set(old)
    assert not [seq for seq in old if age[seq] < days * DAY - slack]


def test_a_line_whose_time_is_damaged_expires_first_and_ages_no_other() -> None:
    lines = daily(10)
    damaged: Lines = [(4, "noon") if seq == 4 else (seq, at) for seq, at in lines]  # type: ignore[misc]
    assert expired(damaged, lines[-1][1], 5) == [1, 2, 3, 4]
