from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gantt_tornado.entities import ENTITIES
from gantt_tornado.settling import Settling

TASK = ENTITIES["task"]


def repeats(touches: Callable[[Settling], None]) -> list[int]:
    """Which items are sent once more after the touches, in the order in which they are."""

    async def scene() -> list[int]:
        repeated: list[int] = []
        settling = Settling(lambda _, id: repeated.append(id), delay=0.001)
        touches(settling)
        # A timer that is set later for the same delay is the later one.
        await asyncio.sleep(0.001)
        settling.close()
        return repeated

    return asyncio.run(scene())


def test_one_writer_is_not_followed() -> None:
    assert repeats(lambda s: [s.touch(TASK, 7, "a") for _ in range(5)]) == []


def test_two_writers_are_followed_once() -> None:
    assert repeats(lambda s: [s.touch(TASK, 7, writer) for writer in "abab"]) == [7]


def test_two_writers_of_two_items_are_not_followed() -> None:
    assert repeats(lambda s: [s.touch(TASK, id, str(id)) for id in (7, 8)]) == []


def test_each_item_is_followed_on_its_own() -> None:
    touches = [(7, "a"), (8, "b"), (8, "a"), (7, "b")]
    assert repeats(lambda s: [s.touch(TASK, *touch) for touch in touches]) == [8, 7]


def test_writers_that_cannot_be_told_apart_count_as_several() -> None:
    assert repeats(lambda s: [s.touch(TASK, 7, "") for _ in range(2)]) == [7]


def test_one_touch_of_a_writer_without_a_name_is_not_followed() -> None:
    assert repeats(lambda s: s.touch(TASK, 7, "")) == []


def test_a_dispute_is_followed_whoever_came_before() -> None:
    assert repeats(lambda s: s.touch(TASK, 7, "a", disputed=True)) == [7]


def test_a_later_touch_puts_the_repetition_off() -> None:
    def touches(settling: Settling) -> None:
        settling.touch(TASK, 7, "a", disputed=True)
        settling.touch(TASK, 8, "a", disputed=True)
        settling.touch(TASK, 7, "a")

    assert repeats(touches) == [8, 7]


def test_what_is_repeated_is_named_with_its_kind() -> None:
    async def scene() -> None:
        repeated: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        settling = Settling(lambda *item: repeated.set_result(item), delay=0)
        settling.touch(ENTITIES["link"], 7, "a", disputed=True)
        assert await repeated == (ENTITIES["link"], 7)

    asyncio.run(scene())


def test_after_the_end_nothing_is_repeated() -> None:
    def touches(settling: Settling) -> None:
        settling.touch(TASK, 7, "a", disputed=True)
        settling.close()

    assert repeats(touches) == []


@pytest.mark.parametrize("seconds, together", [(0, True), (2.9, True), (6.1, False), (60, False)])
def test_touches_belong_together_for_some_seconds(
    seconds: float, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> bool:
        loop = asyncio.get_running_loop()
        repeated: list[int] = []
        settling = Settling(lambda _, id: repeated.append(id), delay=0)
        now = loop.time()
        settling.touch(TASK, 7, "a")
        monkeypatch.setattr(loop, "time", lambda: now + seconds)
        settling.touch(TASK, 7, "b")
        monkeypatch.setattr(loop, "time", lambda: now + seconds + 1)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return bool(repeated)

    assert asyncio.run(scene()) is together
