"""The callbacks of an application, apart from what calls them."""

import asyncio
import inspect

import pytest

from gantt_tornado.live.callbacks import Callbacks

pytestmark = pytest.mark.gen_test


async def test_a_plain_function_has_run_when_the_call_returns():
    seen, callbacks = [], Callbacks()
    callbacks.add(seen.append)
    callbacks.call(1)
    callbacks.call(2)
    assert seen == [1, 2]


async def test_all_hear_of_a_change_before_the_next():
    seen, callbacks = [], Callbacks()
    callbacks.add(lambda change: seen.append(("first", change)))
    callbacks.add(lambda change: seen.append(("second", change)))
    callbacks.call(1)
    callbacks.call(2)
    assert seen == [("first", 1), ("second", 1), ("first", 2), ("second", 2)]


async def test_an_async_one_is_not_waited_for():
    gate, callbacks, seen = asyncio.Event(), Callbacks(), []

    async def late(change):
        await gate.wait()
        seen.append(change)

    callbacks.add(late)
    callbacks.call(1)
    assert seen == []
    gate.set()
    await callbacks.close()
    assert seen == [1]


async def test_an_async_one_ends_with_one_change_before_the_next_begins():
    callbacks, seen = Callbacks(), []

    async def slow(change):
        seen.append(("begins", change))
        await asyncio.sleep(0)
        seen.append(("ends", change))

    callbacks.add(slow)
    callbacks.call(1)
    callbacks.call(2)
    callbacks.call(3)
    await callbacks.close()
    assert seen == [(what, change) for change in (1, 2, 3) for what in ("begins", "ends")]


async def test_it_is_run_again_after_it_had_nothing_to_do():
    callbacks, seen = Callbacks(), []

    async def note(change):
        seen.append(change)

    callbacks.add(note)
    callbacks.call(1)
    await callbacks.close()
    callbacks.call(2)
    await callbacks.close()
    assert seen == [1, 2]


async def test_a_slow_one_does_not_hold_up_another():
    callbacks, heard = Callbacks(grace=0), asyncio.Event()

    async def never(change):
        await asyncio.Event().wait()

    async def quick(change):
        heard.set()

    callbacks.add(never)
    callbacks.add(quick)
    callbacks.call(1)
    await heard.wait()
    await callbacks.close()


async def test_what_a_lambda_returns_is_awaited_too():
    callbacks, seen = Callbacks(), []

    async def note(change, where):
        where.append(change)

    callbacks.add(lambda change: note(change, seen))
    callbacks.call(1)
    await callbacks.close()
    assert seen == [1]


async def test_one_that_raises_is_logged_and_harms_nobody(caplog):
    callbacks, seen = Callbacks(), []

    def fails(change):
        raise ValueError("plain")

    async def fails_later(change):
        seen.append(change)
        raise ValueError("async")

    callbacks.add(fails)
    callbacks.add(fails_later)
    callbacks.call(1)
    callbacks.call(2)
    await callbacks.close()
    assert seen == [1, 2]
    assert [str(record.exc_info[1]) for record in caplog.records] == ["plain"] * 2 + ["async"] * 2


async def test_one_that_takes_too_long_is_cancelled_at_the_end_with_all_that_wait():
    callbacks, begun, seen = Callbacks(grace=0), [], []

    async def never(change):
        try:
            await asyncio.Event().wait()
        finally:
            seen.append(change)

    def begin(change):
        begun.append(never(change))
        return begun[-1]

    callbacks.add(begin)
    callbacks.call(1)
    callbacks.call(2)
    await asyncio.sleep(0)
    await callbacks.close()
    assert seen == [1]
    # Else Python would warn that nobody has awaited the other.
    assert [inspect.getcoroutinestate(each) for each in begun] == [inspect.CORO_CLOSED] * 2


async def test_one_that_is_removed_still_ends_what_it_began():
    callbacks, seen = Callbacks(), []

    async def note(change):
        seen.append(change)

    remove = callbacks.add(note)
    callbacks.call(1)
    remove()
    remove()
    callbacks.call(2)
    await callbacks.close()
    assert seen == [1]
