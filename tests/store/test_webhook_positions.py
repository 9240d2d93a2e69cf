from __future__ import annotations

from collections.abc import Iterator

import pytest

from gantt_tornado.store.database import Database
from gantt_tornado.store.projects import Projects
from gantt_tornado.store.webhook_positions import WebhookPositions
from tests.support import Driven


def every(name: str) -> bool:
    return True


@pytest.fixture
def plan() -> Iterator[Driven]:
    plan = Driven()
    yield plan
    plan.close()


@pytest.fixture
def positions(plan: Driven) -> WebhookPositions:
    return WebhookPositions(plan.database)


def reached(positions: WebhookPositions, hook: str = "a") -> list[tuple[str, int, int]]:
    return [(each.name, each.seq, each.last) for each in positions.start({hook: every})[hook]]


def test_a_new_hook_begins_with_what_comes(plan: Driven, positions: WebhookPositions) -> None:
    plan.task()
    assert reached(positions) == [("default", 1, 1)]
    plan.task()
    assert reached(positions) == [("default", 1, 2)]


def test_one_goes_on_where_it_was(plan: Driven, positions: WebhookPositions) -> None:
    reached(positions)
    plan.task()
    plan.task()
    positions.note("a", {1: 1})
    assert reached(positions) == [("default", 1, 2)]


def test_one_that_is_gone_begins_anew(plan: Driven, positions: WebhookPositions) -> None:
    reached(positions)
    plan.task()
    positions.start({"b": every})
    assert reached(positions) == [("default", 1, 1)]


def test_of_a_project_that_is_added_all_is_to_be_sent(
    plan: Driven, positions: WebhookPositions
) -> None:
    reached(positions)
    info = Projects(plan.database).create("house")
    assert positions.add({"a": every}, info.id, "house") == 0
    house = Driven(database=plan.database, project=info.id)
    house.task()
    assert ("house", 0, 1) in reached(positions)


def test_a_hook_has_its_own_projects_alone(plan: Driven, positions: WebhookPositions) -> None:
    def house_alone(name: str) -> bool:
        return name == "house"

    info = Projects(plan.database).create("house")
    positions.add({"a": house_alone}, info.id, "house")
    names = [each.name for each in positions.start({"a": house_alone})["a"]]
    assert names == ["house"]
    # One that it hears of later begins with what comes then.
    plan.task()
    assert reached(positions) == [("default", 1, 1), ("house", 0, 0)]


def test_a_number_that_is_given_again_is_not_taken_for_the_project_before(
    plan: Driven, positions: WebhookPositions
) -> None:
    info = Projects(plan.database).create("house")
    positions.note("a", {info.id: 99})
    assert positions.add({"a": every}, info.id, "house") == 0
    assert ("house", 0, 0) in reached(positions)


def test_a_deleted_project_says_so(plan: Driven, positions: WebhookPositions) -> None:
    projects = Projects(plan.database)
    projects.create("house")
    projects.delete("house")
    assert [each.deleted for each in positions.start({"a": every})["a"]] == [False, True]


def test_positions_are_in_the_database(tmp_path: object) -> None:
    url = f"sqlite:///{tmp_path}/plan.db"
    for seq in (5, 7):
        database = Database(url)
        database.open()
        with database.peewee.atomic():
            WebhookPositions(database).note("a", {1: seq})
        database.close()
    database = Database(url)
    database.open()
    (found,) = WebhookPositions(database).start({"a": every})["a"]
    database.close()
    assert found.seq == 7
