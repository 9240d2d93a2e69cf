from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.errors import BadRequest, Conflict, GanttError, NotFound
from gantt_tornado.live.plan import Plan
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.event import EVENT
from gantt_tornado.model.project_info import ProjectInfo
from gantt_tornado.model.schema import GANTT, Schema
from gantt_tornado.store import projects as projects_module
from gantt_tornado.store.database import Database, Statement
from gantt_tornado.store.items import Store
from gantt_tornado.store.projects import SLICE, Projects
from tests.support import ALICE, BOB, DATES, Driven, replay

PEOPLE = (ALICE, BOB)


def found(database: Database, name: str) -> int:
    """Add another project."""
    return Projects(database).create(name).id


@pytest.fixture
def two() -> Iterator[tuple[Driven, Driven]]:
    """Two projects in one database."""
    first = Driven()
    yield first, Driven(database=first.database, project=found(first.database, "second"))
    first.close()


# Nothing of one project reaches another.

ACTS = st.tuples(
    st.sampled_from(["task", "text", "move", "link", "delete", "undo", "batch", "prune", "again"]),
    st.integers(0, 6),
    st.integers(0, 6),
    st.sampled_from(PEOPLE),
)


def act(plan: Driven, kind: str, a: int, b: int, author: Any) -> Any:
    """One act, and what became of it."""

    def fields(**own: Any) -> dict[str, Any]:
        return {**DATES, "text": f"{kind} {a}", **own}

    def add(request: str = "") -> Any:
        edit = ENTITIES["task"].read(fields(parent=0), plan.calendar)
        write = plan.store.insert
        return plan.write(lambda: write(ENTITIES["task"], edit, author, request=request))

    acts: dict[str, Callable[[], Any]] = {
        "task": lambda: plan.insert("task", fields(parent=a), author),
        "text": lambda: plan.update("task", a, {"text": f"{b}", "_rev": b}, author),
        "move": lambda: plan.update("task", a, {"parent": 0, "target": f"next:{b}"}, author),
        "link": lambda: plan.insert("link", {"source": a, "target": b, "type": "0"}, author),
        "delete": lambda: plan.delete("task", a, author),
        "undo": lambda: plan.undo(a + b, author),
        "batch": lambda: plan.together(add, add)[0],
        "prune": lambda: plan.prune(a % 3),
        "again": lambda: add(request=f"request {a % 3}"),
    }
    try:
        result = acts[kind]()
    except GanttError as error:
        return type(error).__name__, error.message
    return result if isinstance(result, int) else [change.seq for change in result.changes]


def seen(plan: Driven) -> list[str]:
    """All that can be read of a project, but for what is random and what time it was."""
    journal = plan.store.journal
    lines = journal.history(1 << 60, 1000, None)
    read = Plan.of(plan.store.read())
    parts = [
        *(
            plan.store.encode(kind, row)
            for kind in ENTITIES.values()
            for row in plan.store.rows(kind)
        ),
        *((each.seq, each.id, each.action, each.fields, each.author, each.group) for each in lines),
        *(line.seq for line in lines if journal.line(line.seq) != line),
        (journal.seq(), journal.horizon(), journal.latest(1 << 40)),
        *replay(plan.plan, "tasks", journal.horizon()),
        *replay(read, "tasks", journal.horizon()),
        b"".join(read.load()),
    ]
    text = [re.sub(r'"_mark":"[0-9a-f]{6}"|-[0-9a-f]{6}"', "", str(part)) for part in parts]
    return [re.sub(r'"changed_at":[^,}]*', "", part) for part in text]


@given(st.lists(st.tuples(st.booleans(), ACTS), min_size=10, max_size=40))
def test_two_projects_in_one_database_are_as_each_alone(acts: list[Any]) -> None:
    first, alone = Driven(), (Driven(), Driven())
    second = Driven(database=first.database, project=found(first.database, "second"))
    try:
        for plan in (first, second, *alone):
            plan.link(plan.task(), plan.task(parent=1))
        for which, each in acts:
            assert act((first, second)[which], *each) == act(alone[which], *each)
        for together, apart in zip((first, second), alone, strict=True):
            assert seen(together) == seen(apart)
    finally:
        for plan in (first, *alone):
            plan.close()


def _compiled(database: Database) -> dict[str, Statement]:
    """All SQL on the path of a plan."""
    store = Store(database, Calendar(), schema=Schema([*GANTT, EVENT]))
    holders = [store._sql, store.journal._sql, *store._entities.values()]
    holders += [store._references, *store._orders.values()]
    named = [
        (each, name, sql)
        for each in holders
        for name, sql in vars(each).items()
        if isinstance(sql, Statement | dict)
    ]
    return {
        f"{number}.{type(each).__module__}.{name}.{at}": statement
        for number, (each, name, found) in enumerate(named)
        for at, statement in (found if isinstance(found, dict) else {"": found}).items()
    }


def test_every_statement_names_the_project() -> None:
    plan = Driven()
    compiled = _compiled(plan.database).items()
    assert [name for name, statement in compiled if "project" not in statement.names] == []
    plan.close()


def test_every_statement_is_answered_by_an_index() -> None:
    """A scan would read all projects, and so would a filter made of a table."""
    plan = Driven()
    for name, (sql, names) in _compiled(plan.database).items():
        values = [1] * len(names)
        steps = plan.database.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        scans = [step[-1] for step in steps if re.match(r"SCAN t\d|BLOOM", step[-1])]
        assert [each for each in scans if each != "SCAN t2" or ".touched" not in name] == [], name
    plan.close()


def test_each_project_counts_from_one(two: tuple[Driven, Driven]) -> None:
    assert [plan.task() for plan in (*two, *two)] == [1, 1, 2, 2]


# The projects themselves.


@pytest.fixture
def plan() -> Iterator[Driven]:
    plan = Driven()
    yield plan
    plan.close()


@pytest.fixture
def projects(plan: Driven) -> Projects:
    return Projects(plan.database, now=iter(range(1000, 1 << 30)).__next__)


def items(database: Database, project: int) -> list[tuple[str, int, int, dict[str, Any]]]:
    store = Store(database, Calendar(), project)
    return [
        (name, row.id, row.rev, row.state)
        for name, entity in ENTITIES.items()
        for row in store.rows(entity)
    ]


def test_a_database_has_one_from_the_beginning(projects: Projects) -> None:
    assert [(each.id, each.name) for each in projects.all()] == [(1, "default")]


def test_a_list_says_how_many_tasks_there_are_and_when_the_last_change_was(
    plan: Driven, projects: Projects
) -> None:
    plan.task()
    projects.create("other", "Another")
    first, other = projects.all()
    (line,) = plan.store.journal.history(9, 9, None)
    assert (first.tasks, first.changed) == (1, line.at)
    assert (other.title, other.tasks, other.changed) == ("Another", 0, other.created)


def test_a_name_is_taken_once(projects: Projects) -> None:
    projects.create("other")
    with pytest.raises(Conflict, match="already"):
        projects.create("other")


def test_a_bad_name_is_refused(projects: Projects) -> None:
    with pytest.raises(BadRequest):
        projects.create("tasks")


def test_what_can_be_changed_of_a_project(projects: Projects) -> None:
    projects.create("other")
    assert projects.retitle("other", "T").title == "T"
    assert projects.set_public("other", True).public
    assert projects.archive("other").archived
    assert not projects.archive("other", False).archived


@pytest.mark.parametrize("verb", ["named", "archive", "delete", "restore"])
def test_what_is_not_there_is_not_found(projects: Projects, verb: str) -> None:
    with pytest.raises(NotFound):
        getattr(projects, verb)("other")


def test_a_deleted_project_is_gone_but_for_its_name(projects: Projects) -> None:
    projects.create("other")
    projects.delete("other")
    assert [each.name for each in projects.all()] == ["default"]
    assert [each.name for each in projects.all(deleted=True)] == ["other"]
    with pytest.raises(Conflict):
        projects.create("other")
    with pytest.raises(NotFound):
        projects.retitle("other", "T")


def test_a_deleted_project_comes_back_with_all_it_had(plan: Driven, projects: Projects) -> None:
    other = Driven(database=plan.database, project=projects.create("other").id)
    other.task()
    projects.delete("other")
    assert projects.restore("other").tasks == 1


def test_the_project_at_the_root_stays(projects: Projects) -> None:
    with pytest.raises(Conflict):
        projects.delete("default")


def test_a_deleted_project_is_forgotten_a_few_rows_at_a_time(
    plan: Driven, projects: Projects
) -> None:
    id = projects.create("other").id
    other = Driven(database=plan.database, project=id)
    plan.task()
    with plan.database.peewee.atomic():
        for _ in range(SLICE + 1):
            other.task()
    projects.delete("other")
    written = [plan.database.written]
    while projects.forget(1 << 40):
        written.append(plan.database.written)
    assert max(b - a for a, b in pairwise(written)) <= SLICE + 1
    for table in ("task", "change"):
        query = f"SELECT COUNT(*) FROM {table} WHERE project = {id}"
        assert plan.database.execute(query).fetchone() == (0,)
    # Its name is free, its number is not given again, and the others have lost nothing.
    assert projects.create("other").id > id
    assert plan.ids("task") == [1]


def test_what_was_deleted_lately_is_not_forgotten(projects: Projects) -> None:
    projects.create("other")
    projects.delete("other")
    assert not projects.forget(0)
    assert projects.restore("other").name == "other"


def test_what_has_begun_to_be_forgotten_cannot_be_taken_back(projects: Projects) -> None:
    projects.create("other")
    projects.delete("other")
    projects._execute(projects._sql.hide, {"project": 2})
    with pytest.raises(NotFound):
        projects.restore("other")


def copying(projects: Projects, source: str, name: str, title: str = "") -> Iterator[Any]:
    """Slice by slice; the last yields the project."""
    copy = projects.begin_copy(source, name, title)
    try:
        while True:
            done = projects.copy_slice(copy)
            # The writer may run one anew, as if it had not been run.
            if isinstance(done, ProjectInfo):
                yield done
                return
            copy = done
            yield None
    finally:
        projects.end_copy(copy)


def test_a_copy_has_the_items_of_its_source_and_none_of_its_history(
    plan: Driven, projects: Projects
) -> None:
    plan.link(plan.task(), plan.task())
    *_, info = copying(projects, "default", "other", "Copy")
    assert info is not None and (info.title, info.tasks) == ("Copy", 2)
    assert items(plan.database, info.id) == items(plan.database, 1)
    other = Driven(database=plan.database, project=info.id)
    assert (other.journal(), other.store.journal.horizon()) == ([], 3)
    assert (other.task(), plan.ids("task")) == (4, [1, 2])


def test_a_copy_is_made_in_slices_and_seen_when_it_is_whole(
    plan: Driven, projects: Projects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects_module, "SLICE", 2)
    for _ in range(5):
        plan.task()
    steps = copying(projects, "default", "other")
    for _ in range(3):
        assert next(steps) is None
        assert [each.name for each in projects.all()] == ["default"]
        # Nor is it taken for what somebody did not finish.
        assert not projects.forget(1 << 40)
    (info,) = steps
    assert info is not None and info.tasks == 5


def test_what_is_changed_while_a_copy_is_made_is_in_it(
    plan: Driven, projects: Projects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projects_module, "SLICE", 2)
    ids = [plan.task() for _ in range(9)]
    steps = copying(projects, "default", "other")
    changes: list[Callable[[], object]] = [
        lambda: plan.update("task", ids[4], {"parent": 0, "target": str(ids[0])}),
        lambda: plan.update("task", ids[0], {"parent": 0, "target": f"next:{ids[3]}"}),
        lambda: plan.delete("task", ids[1]),
        lambda: plan.link(ids[0], plan.task()),
    ]
    for change in changes:
        assert next(steps) is None
        change()
    *_, info = steps
    assert info is not None
    assert items(plan.database, info.id) == items(plan.database, 1)


def test_a_copy_that_was_not_finished_is_forgotten(plan: Driven, projects: Projects) -> None:
    plan.task()
    steps = copying(projects, "default", "other")
    next(steps)
    steps.close()
    while projects.forget(0):
        pass
    assert projects.create("other").tasks == 0
