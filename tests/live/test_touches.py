from __future__ import annotations

import pytest

from gantt_tornado.live.touches import Touches


def noted(*touches: tuple[int, str, float]) -> list[bool]:
    """Whether each touch came shortly after another writer's."""
    known = Touches()
    return [known.note(*touch) for touch in touches]


def test_the_first_touch_follows_nobody() -> None:
    assert noted((7, "a", 0), (8, "a", 0)) == [False, False]


def test_one_writer_follows_nobody() -> None:
    assert noted((7, "a", 0), (7, "a", 1)) == [False, False]


def test_another_writer_follows_the_last() -> None:
    assert noted((7, "a", 0), (7, "b", 1), (7, "b", 2)) == [False, True, False]


def test_a_writer_without_a_name_follows_itself() -> None:
    assert noted((7, "", 0), (7, "", 1)) == [False, True]


@pytest.mark.parametrize("seconds, together", [(0, True), (2.9, True), (6.1, False), (60, False)])
def test_touches_belong_together_for_some_seconds(seconds: float, together: bool) -> None:
    assert noted((7, "a", 100), (7, "b", 100 + seconds)) == [False, together]


def test_what_was_touched_long_ago_takes_no_room() -> None:
    known = Touches()
    for id in range(100):
        known.note(id, "a", 10.0 * id)
    assert len(known._young) + len(known._old) <= 2
