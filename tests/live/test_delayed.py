from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gantt_tornado.live.delayed import SLICE, Delayed


def delayed(
    run: Callable[[int], Any], delay: float = 0, ready: Callable[[], bool] = lambda: True
) -> Delayed[int, None]:
    return Delayed(delay, lambda key, _: run(key), ready)


def test_each_is_done_with_its_value() -> None:
    async def scene() -> None:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        Delayed(0, lambda *item: done.set_result(item)).put("key", "value")
        assert await done == ("key", "value")

    asyncio.run(scene())


def test_what_is_put_again_is_done_once_and_later() -> None:
    async def scene() -> None:
        done: list[int] = []
        due = delayed(done.append)
        for key in (7, 8, 7):
            due.put(key, None)
        assert 7 in due
        while len(done) < 2:
            await asyncio.sleep(0)
        assert done == [8, 7]
        assert 7 not in due

    asyncio.run(scene())


def test_many_are_done_with_the_loop_free_between() -> None:
    async def scene() -> None:
        done: list[int] = []
        due = delayed(done.append)
        for key in range(2 * SLICE + 1):
            due.put(key, None)
        steps = []
        while len(done) < 2 * SLICE + 1:
            await asyncio.sleep(0)
            steps.append(len(done))
        assert {SLICE, 2 * SLICE} <= set(steps)
        assert done == sorted(done)

    asyncio.run(scene())


def test_what_is_put_later_is_done_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        done: asyncio.Queue[int] = asyncio.Queue()
        due = delayed(done.put_nowait, delay=0.01)
        due.put(7, None)
        monkeypatch.setattr(loop, "time", lambda: now + 0.009)
        due.put(8, None)
        monkeypatch.setattr(loop, "time", lambda: now + 0.011)
        assert await done.get() == 7
        await asyncio.sleep(0)
        assert done.empty()
        monkeypatch.undo()
        assert await done.get() == 8

    asyncio.run(scene())


def test_one_that_fails_holds_up_no_other() -> None:
    async def scene() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        done: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def run(key: int) -> None:
            if key == 7:
                raise ValueError
            done.set_result(key)

        due = delayed(run)
        for key in (7, 8):
            due.put(key, None)
        assert await done == 8

    asyncio.run(scene())


def test_one_that_is_done_can_be_put_again_meanwhile() -> None:
    async def scene() -> None:
        done: list[int] = []

        def run(key: int) -> None:
            done.append(key)
            if len(done) < 3:
                due.put(key, None)

        due = delayed(run)
        due.put(7, None)
        while len(done) < 3:
            await asyncio.sleep(0)

    asyncio.run(scene())


def test_nothing_is_done_until_it_can_be() -> None:
    async def scene() -> None:
        ready = False
        done: list[int] = []
        due = delayed(done.append, ready=lambda: ready)
        due.put(7, None)
        for _ in range(5):
            await asyncio.sleep(0)
        assert done == []
        ready = True
        while not done:
            await asyncio.sleep(0)

    asyncio.run(scene())


def test_after_the_end_nothing_is_done() -> None:
    async def scene() -> None:
        done: list[int] = []
        due = delayed(done.append)
        due.put(7, None)
        due.close()
        for _ in range(3):
            await asyncio.sleep(0)
        assert done == []

    asyncio.run(scene())
