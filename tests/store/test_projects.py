from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.errors import GanttError
from gantt_tornado.live.plan import Plan
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.store.database import Database
from gantt_tornado.store.items import Store
from gantt_tornado.store.tables import Project
from tests.support import ALICE, BOB, DATES, Driven, replay

PEOPLE = (ALICE, BOB)


def found(database: Database, name: str) -> int:
    """Make room for another project."""
    numbers = dict.fromkeys(("public", "seq", "mark", "horizon", "horizon_mark"), 0)
    times = dict.fromkeys(("created", "archived", "deleted"), 0)
    query = Project.insert(name=name, title="", **numbers, **times)
    return int(query.execute(database.peewee))


@pytest.fixture
def two() -> Iterator[tuple[Driven, Driven]]:
    """Two projects in one database."""
    first = Driven()
    yield first, Driven(database=first.database, project=found(first.database, "second"))
    first.close()


# Nothing of one project reaches another.

ACTS = st.tuples(
    st.sampled_from(["task", "text", "move", "link", "delete", "undo", "batch", "prune", "again"]),
    st.integers(0, 11),
    st.integers(0, 11),
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
        "prune": lambda: plan.prune(a + 3),
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


@given(st.lists(st.tuples(st.booleans(), ACTS), max_size=40))
def test_two_projects_in_one_database_are_as_each_alone(acts: list[Any]) -> None:
    first, alone = Driven(), (Driven(), Driven())
    second = Driven(database=first.database, project=found(first.database, "second"))
    try:
        for which, each in acts:
            assert act((first, second)[which], *each) == act(alone[which], *each)
        for together, apart in zip((first, second), alone, strict=True):
            assert seen(together) == seen(apart)
    finally:
        for plan in (first, *alone):
            plan.close()


def _compiled(database: Database) -> dict[str, str]:
    """All SQL on the path of a plan."""
    store = Store(database, Calendar())
    holders = [store._sql, store.journal._sql, *store._entities.values()]
    named = [(each, name, sql) for each in holders for name, sql in vars(each).items()]
    return {
        f"{type(each).__module__}.{name}.{at}": sql
        for each, name, found in named
        for at, sql in (found if isinstance(found, dict) else {"": found}).items()
    }


def test_every_statement_names_the_project() -> None:
    plan = Driven()
    assert [name for name, sql in _compiled(plan.database).items() if ":project" not in sql] == []
    plan.close()


def test_every_statement_is_answered_by_an_index() -> None:
    """A scan would read all projects, and so would a filter made of a table."""
    plan = Driven()
    for name, sql in _compiled(plan.database).items():
        values = dict.fromkeys(re.findall(r":(\w+)", sql), 1)
        steps = plan.database.execute(f"EXPLAIN QUERY PLAN {sql}", values).fetchall()
        scans = [step[-1] for step in steps if re.match(r"SCAN t\d|BLOOM", step[-1])]
        assert [each for each in scans if each != "SCAN t2" or ".touched" not in name] == [], name
    plan.close()


def test_each_project_counts_from_one(two: tuple[Driven, Driven]) -> None:
    assert [plan.task() for plan in (*two, *two)] == [1, 1, 2, 2]
