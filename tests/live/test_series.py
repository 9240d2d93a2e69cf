"""An exception that comes with a temporary id of its series finds the series all the same."""

import asyncio

import pytest

from gantt_tornado.live.series import LATELY, Series
from tests.support import ALICE, BOB, Loop

NINE, TEN = "2027-04-19 09:00:00", "2027-04-19 10:00:00"


@pytest.fixture
def run():
    loop = Loop()
    yield loop.run_until_complete
    loop.close()


def test_a_series_is_found_by_its_author_and_the_time_of_day(run) -> None:
    async def scene() -> list[int]:
        series = Series()
        series.add(1, ALICE, NINE)
        series.add(2, ALICE, TEN)
        series.add(3, BOB, NINE)
        return [
            await series.find(ALICE, "2027-04-21 09:00:00"),
            await series.find(ALICE, "2027-04-21 10:00:00"),
            await series.find(BOB, "2027-04-21 09:00:00"),
        ]

    assert run(scene()) == [1, 2, 3]


def test_of_two_that_fit_the_last_is_meant(run) -> None:
    async def scene() -> int:
        series = Series()
        series.add(1, ALICE, NINE)
        series.add(2, ALICE, NINE)
        return await series.find(ALICE, "2027-04-21 09:00:00")

    assert run(scene()) == 2


def test_an_exception_waits_for_a_series_that_comes_behind_it(run) -> None:
    async def scene() -> int:
        series = Series()
        finding = asyncio.ensure_future(series.find(ALICE, "2027-04-21 09:00:00"))
        await asyncio.sleep(0.5)
        series.add(1, BOB, NINE)
        await asyncio.sleep(0.5)
        assert not finding.done()
        series.add(2, ALICE, NINE)
        return await finding

    assert run(scene()) == 2


def test_where_none_comes_it_waits_no_longer_than_its_patience(run) -> None:
    async def scene() -> tuple[int, float]:
        found = await Series(patience=3).find(ALICE, "2027-04-21 09:00:00")
        return found, asyncio.get_running_loop().time()

    assert run(scene()) == (0, 3)


def test_a_series_of_long_ago_is_not_meant(run) -> None:
    async def scene() -> int:
        series = Series(patience=0)
        series.add(1, ALICE, NINE)
        await asyncio.sleep(LATELY + 1)
        return await series.find(ALICE, "2027-04-21 09:00:00")

    assert run(scene()) == 0


def test_a_series_that_begins_later_is_not_meant(run) -> None:
    async def scene() -> int:
        series = Series(patience=0)
        series.add(1, ALICE, "2027-05-01 09:00:00")
        return await series.find(ALICE, "2027-04-21 09:00:00")

    assert run(scene()) == 0
