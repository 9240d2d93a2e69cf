from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gantt_tornado.counts import Counts
from gantt_tornado.live.resend import REMEMBERED, FormerParents, Resend
from gantt_tornado.live.touches import Touches
from gantt_tornado.model.entities import ENTITIES, Entity

TASK = ENTITIES["task"]


class Told:
    """In place of a plan, its hub and its inserts: notes what is sent again."""

    version = 0

    def __init__(self, resent: Callable[[Entity, int], Any]) -> None:
        self._resent = resent
        self.counts = Counts()

    def resent(self, entity: Entity, id: int, _refused: Any) -> list[bytes]:
        self._resent(entity, id)
        return []

    def events(self, *_: Any) -> list[Any]:
        return []

    def publish(self, events: list[Any]) -> None: ...


def resend_to(
    resent: Callable[[Entity, int], Any],
    delay: float = 0,
    is_told: Callable[[], bool] = lambda: True,
    stood_still: float = 60,
) -> Resend:
    told: Any = Told(resent)
    return Resend(told, told, told, Touches(), is_told, delay, stood_still)


def repeats(touches: Callable[[Resend], None]) -> list[int]:
    """Which items are sent once more after the touches, in the order in which they are."""

    async def scene() -> list[int]:
        repeated: list[int] = []
        resend = resend_to(lambda _, id: repeated.append(id), delay=0.001)
        touches(resend)
        # A timer that is set later for the same delay is the later one.
        await asyncio.sleep(0.001)
        resend.close()
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
    def touches(resend: Resend) -> None:
        resend.touch(TASK, 7, "a", disputed=True)
        resend.touch(TASK, 8, "a", disputed=True)
        resend.touch(TASK, 7, "a")

    assert repeats(touches) == [8, 7]


def test_what_was_touched_in_one_turn_is_repeated_in_the_same_order() -> None:
    ids = [5, 3, 9, 1, 7]
    assert repeats(lambda s: [s.touch(TASK, id, "a", disputed=True) for id in ids]) == ids


def test_an_edit_just_after_a_repetition_is_followed_too() -> None:
    """A client may have drawn the repeated state over it."""

    async def scene() -> None:
        repeated: asyncio.Queue[int] = asyncio.Queue()
        resend = resend_to(lambda _, id: repeated.put_nowait(id))
        resend.touch(TASK, 7, "a", disputed=True)
        await repeated.get()
        resend.touch(TASK, 7, "a")
        assert await repeated.get() == 7

    asyncio.run(scene())


def test_an_item_is_sent_a_third_time() -> None:
    """A page whose own answer is late has dropped what came before it."""

    async def scene() -> None:
        repeated: asyncio.Queue[int] = asyncio.Queue()
        resend = resend_to(lambda _, id: repeated.put_nowait(id), stood_still=0)
        resend.touch(TASK, 7, "a", disputed=True)
        async with asyncio.timeout(5):
            assert [await repeated.get(), await repeated.get()] == [7, 7]

    asyncio.run(scene())


def test_what_is_due_again_is_not_sent_a_third_time() -> None:
    async def scene() -> None:
        repeated: asyncio.Queue[int] = asyncio.Queue()
        resend = resend_to(lambda _, id: repeated.put_nowait(id), delay=0.1, stood_still=0.05)
        resend.touch(TASK, 7, "a", disputed=True)
        async with asyncio.timeout(5):
            assert await repeated.get() == 7
            resend.touch(TASK, 7, "a", disputed=True)
            resend.touch(TASK, 8, "a", disputed=True)
            assert [await repeated.get() for _ in range(2)] == [7, 8]

    asyncio.run(scene())


def test_what_is_repeated_is_named_with_its_kind() -> None:
    async def scene() -> None:
        repeated: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        resend = resend_to(lambda *item: repeated.set_result(item))
        resend.touch(ENTITIES["link"], 7, "a", disputed=True)
        assert await repeated == (ENTITIES["link"], 7)

    asyncio.run(scene())


# Former parents.


def test_what_left_is_known_where_it_was() -> None:
    former = FormerParents()
    former.left(7, 1, now=0)
    former.left(8, 1, now=0)
    assert former.of(1, now=0) == [7, 8]


def test_nothing_left_elsewhere() -> None:
    former = FormerParents()
    former.left(7, 1, now=0)
    assert former.of(2, now=0) == former.of(7, now=0) == []


def test_one_that_left_several_is_known_at_each() -> None:
    former = FormerParents()
    former.left(7, 1, now=0)
    former.left(7, 2, now=0)
    assert former.of(1, now=0) == former.of(2, now=0) == [7]


@pytest.mark.parametrize("seconds, known", [(REMEMBERED - 1, [7]), (REMEMBERED + 1, [])])
def test_it_is_remembered_for_a_while(seconds: float, known: list[int]) -> None:
    former = FormerParents()
    former.left(7, 1, now=0)
    assert former.of(1, now=seconds) == known


@pytest.mark.parametrize("parent", [1, 2])
def test_what_is_noted_later_does_not_end_it_early(parent: int) -> None:
    former = FormerParents()
    former.left(7, 1, now=0)
    former.left(8, parent, now=REMEMBERED)
    assert 7 in former.of(1, now=REMEMBERED)


def test_one_that_left_again_is_remembered_from_then() -> None:
    former = FormerParents()
    former.left(7, 1, now=0)
    former.left(7, 1, now=REMEMBERED - 1)
    assert former.of(1, now=REMEMBERED + 1) == [7]


def test_each_is_forgotten_in_its_own_time() -> None:
    former = FormerParents()
    former.left(7, 1, now=0)
    former.left(8, 1, now=REMEMBERED - 1)
    assert former.of(1, now=REMEMBERED + 1) == [8]


def test_what_left_one_parent_again_and_again_takes_no_room() -> None:
    former = FormerParents()
    for id in range(50):
        former.left(id, 1, now=id * REMEMBERED / 10)
    assert len(former._left[1]) <= 12


def test_what_is_forgotten_takes_no_room() -> None:
    former = FormerParents()
    for parent in range(50):
        former.left(7, parent, now=parent * REMEMBERED / 10)
    assert len(former._left) <= 12
