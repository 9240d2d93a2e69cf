from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gantt_tornado.live import delayed as delayed_module
from gantt_tornado.live.delayed import SLICE, Delayed, Steps


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


def test_many_are_done_with_the_loop_free_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayed_module, "LONGEST", 600)

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


def test_after_one_that_took_long_others_have_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayed_module, "LONGEST", 0)

    async def scene() -> None:
        loop = asyncio.get_running_loop()
        done: list[Any] = []
        due = delayed(lambda key: (done.append(key), loop.call_soon(done.append, "others")))
        for key in range(3):
            due.put(key, None)
        while done.count("others") < 3:
            await asyncio.sleep(0)
        assert done == [0, "others", 1, "others", 2, "others"]

    asyncio.run(scene())


# Steps.


def counting(done: list[Any], name: str, count: int = 2) -> Iterator[None]:
    """A work that notes its steps, and what else the loop does between them."""
    for _ in range(count):
        done.append(name)
        asyncio.get_running_loop().call_soon(done.append, "others")
        yield


async def end_of(steps: Steps[str]) -> None:
    while steps._works:
        await asyncio.sleep(0)


def test_between_the_steps_of_a_long_work_others_have_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delayed_module, "LONGEST", 0)

    async def scene() -> None:
        done: list[Any] = []
        steps: Steps[str] = Steps()
        for name in "ab":
            steps.put(name, counting(done, name))
        await end_of(steps)
        assert done == ["a", "others"] * 2 + ["b", "others"] * 2

    asyncio.run(scene())


def test_short_works_are_done_at_once() -> None:
    async def scene() -> None:
        done: list[Any] = []
        Steps[str]().put("a", counting(done, "a"))
        assert done == ["a", "a"]

    asyncio.run(scene())


def test_a_work_that_is_not_done_yet_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayed_module, "LONGEST", 0)

    async def scene() -> None:
        done: list[Any] = []
        steps: Steps[str] = Steps()
        for _ in range(2):
            steps.put("a", counting(done, "a"))
        await end_of(steps)
        assert done.count("a") == 2
        steps.put("a", counting(done, "a"))
        await end_of(steps)
        assert done.count("a") == 4

    asyncio.run(scene())


def test_a_work_that_fails_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delayed_module, "LONGEST", 0)

    async def scene() -> None:
        loop, failed = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))
        done: list[Any] = []
        steps: Steps[str] = Steps()
        steps.put("a", counting(done, "a"))
        steps.put("b", (1 / 0 for _ in (1,)))  # type: ignore[misc]
        steps.put("c", counting(done, "c"))
        await end_of(steps)
        assert [type(error) for error in failed] == [ZeroDivisionError]
        assert done.count("c") == 2

    asyncio.run(scene())


def test_what_is_not_done_when_they_are_closed_is_not_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delayed_module, "LONGEST", 0)

    async def scene() -> None:
        loop, failed = asyncio.get_running_loop(), []
        loop.set_exception_handler(lambda _, context: failed.append(context))
        done: list[Any] = []
        steps: Steps[str] = Steps()
        steps.put("a", counting(done, "a"))
        steps.close()
        for _ in range(3):
            await asyncio.sleep(0)
        assert (done, failed) == (["a", "others"], [])

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
