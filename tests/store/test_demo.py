from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import pytest

from gantt_tornado.live.plan import Plan
from gantt_tornado.model.dates import DAY_FIRST, ISO, MINUTES, Calendar
from gantt_tornado.store.demo import plant
from tests.support import Driven


@pytest.fixture(params=[MINUTES, DAY_FIRST, ISO])
def planted(request: pytest.FixtureRequest) -> Iterator[Driven]:
    plan = Driven(calendar=Calendar(request.param, unit="day"))
    with plan.database.peewee.atomic("IMMEDIATE"):
        plant(plan.store, plan.calendar)
    plan.plan = Plan.of(plan.store.read())
    yield plan
    plan.close()


def test_it_is_a_plan_of_about_twenty_tasks_in_three_phases(planted: Driven) -> None:
    phases = planted.branch()
    assert len(phases) == 3
    assert all(planted.branch(phase) for phase in phases)
    assert 15 <= len(planted.ids("task")) <= 30


def test_it_has_links_and_milestones(planted: Driven) -> None:
    types = [planted.item("task", id)["type"] for id in planted.ids("task")]
    assert planted.ids("link") and types.count("milestone") >= 2


def test_it_is_dated_around_today(planted: Driven) -> None:
    read = planted.calendar.parse
    tasks = [planted.item("task", id) for id in planted.ids("task")]
    assert min(read(t["start_date"]) for t in tasks) < planted.calendar.today()
    assert max(read(t["end_date"]) for t in tasks) > planted.calendar.today()


def test_a_phase_reaches_over_its_tasks(planted: Driven) -> None:
    read = planted.calendar.parse
    for phase in planted.branch():
        below = [planted.item("task", id) for id in planted.branch(phase)]
        item = planted.item("task", phase)
        assert read(item["start_date"]) == min(read(task["start_date"]) for task in below)
        assert read(item["end_date"]) == max(read(task["end_date"]) for task in below)


def test_no_task_begins_before_what_it_waits_for_ends(planted: Driven) -> None:
    read = planted.calendar.parse
    for link in map(lambda id: planted.item("link", id), planted.ids("link")):
        source, target = planted.item("task", link["source"]), planted.item("task", link["target"])
        end = datetime.fromisoformat(read(source["end_date"]))
        assert end <= datetime.fromisoformat(read(target["start_date"]))
