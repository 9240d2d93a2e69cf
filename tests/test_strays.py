from __future__ import annotations

import pytest

from gantt_tornado.strays import REMEMBERED, Strays


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_what_left_is_known_where_it_was(clock: Clock) -> None:
    strays = Strays(clock)
    strays.left(7, 1)
    strays.left(8, 1)
    assert strays.of(1) == [7, 8]


def test_nothing_left_elsewhere(clock: Clock) -> None:
    strays = Strays(clock)
    strays.left(7, 1)
    assert strays.of(2) == strays.of(7) == []


def test_one_that_left_several_is_known_at_each(clock: Clock) -> None:
    strays = Strays(clock)
    strays.left(7, 1)
    strays.left(7, 2)
    assert strays.of(1) == strays.of(2) == [7]


@pytest.mark.parametrize("seconds, known", [(REMEMBERED - 1, [7]), (REMEMBERED + 1, [])])
def test_it_is_remembered_for_a_while(clock: Clock, seconds: float, known: list[int]) -> None:
    strays = Strays(clock)
    strays.left(7, 1)
    clock.now += seconds
    assert strays.of(1) == known


def test_one_that_left_again_is_remembered_from_then(clock: Clock) -> None:
    strays = Strays(clock)
    strays.left(7, 1)
    clock.now += REMEMBERED - 1
    strays.left(7, 1)
    clock.now += 2
    assert strays.of(1) == [7]


def test_each_is_forgotten_in_its_own_time(clock: Clock) -> None:
    strays = Strays(clock)
    strays.left(7, 1)
    clock.now += REMEMBERED - 1
    strays.left(8, 1)
    clock.now += 2
    assert strays.of(1) == [8]


def test_what_left_one_place_again_and_again_takes_no_room(clock: Clock) -> None:
    strays = Strays(clock)
    for id in range(50):
        strays.left(id, 1)
        clock.now += REMEMBERED / 10
    assert len(strays._left[1]) <= 12


def test_what_is_forgotten_takes_no_room(clock: Clock) -> None:
    strays = Strays(clock)
    for place in range(50):
        strays.left(7, place)
        clock.now += REMEMBERED / 10
    assert len(strays._left) <= 12
