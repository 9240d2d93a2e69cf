"""What the tests of the modules below HTTP share."""

from __future__ import annotations

import asyncio
import os
import selectors
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import settings

from gantt_tornado.live.plan import Plan
from gantt_tornado.model.change import NOBODY, Author, WriteResult
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import DEFAULT_PROJECT, ENTITIES
from gantt_tornado.store.database import Database
from gantt_tornado.store.items import Store

for profile, fixed in (("ci", True), ("here", False)):
    settings.register_profile(
        profile, max_examples=30, deadline=None, derandomize=fixed, database=None
    )
settings.load_profile("ci" if os.environ.get("CI") else "here")

#: Two people, each at one page.
ALICE = Author("alice", "page-a")
BOB = Author("bob", "page-b")

DATES = {"start_date": "2026-03-02 00:00", "end_date": "2026-03-05 00:00", "duration": 3}


class Clock(selectors.DefaultSelector):
    """A selector that turns the clock instead of waiting for a timer.

    It waits in earnest only for the writer's thread, as long as that has something to do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.busy = lambda: False

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.busy() or timeout is None:
            return super().select(5)
        self.now += timeout
        return []


class Loop(asyncio.SelectorEventLoop):
    """A loop on such a clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


class Driven:
    """A store with its plan, driven as the writer and the backend do, without a thread."""

    def __init__(
        self,
        url: str = "sqlite:///:memory:",
        calendar: Calendar | None = None,
        database: Database | None = None,
        project: int = DEFAULT_PROJECT,
    ) -> None:
        self.calendar = calendar or Calendar()
        self.database = database or Database(url)
        if database is None:
            self.database.open()
        self.store = Store(self.database, self.calendar, project)
        self.plan = Plan.of(self.store.read())

    def write(self, run: Callable[[], WriteResult]) -> WriteResult:
        with self.database.peewee.atomic("IMMEDIATE"):
            outcome = run()
        for change in outcome.changes:
            self.plan.apply(change)
        return outcome

    def insert(self, entity: str, fields: dict[str, Any], author: Author = NOBODY) -> WriteResult:
        kind = ENTITIES[entity]
        edit = kind.read(fields, self.calendar)
        return self.write(lambda: self.store.insert(kind, edit, author))

    def update(
        self, entity: str, id: int, fields: dict[str, Any], author: Author = NOBODY
    ) -> WriteResult:
        kind = ENTITIES[entity]
        edit = kind.read(fields, self.calendar)
        return self.write(lambda: self.store.update(kind, id, edit, author))

    def delete(self, entity: str, id: int, author: Author = NOBODY) -> WriteResult:
        return self.write(lambda: self.store.delete(ENTITIES[entity], id, author))

    def undo(self, seq: int, author: Author = NOBODY) -> WriteResult:
        return self.write(lambda: self.store.undo(seq, author))

    def together(self, *writes: Callable[[], WriteResult]) -> list[WriteResult]:
        """Writes that belong together, as those of a batch."""
        with self.store.group():
            return [write() for write in writes]

    def prune(self, keep: int, clock: int = 0, longest: int = 1 << 50) -> int:
        journal = self.store.journal
        with self.database.peewee.atomic("IMMEDIATE"):
            while journal.learn():
                pass
            count = journal.prune(clock, longest, keep)
        self.plan.forget(self.store.journal.horizon())
        return count

    def task(self, **fields: Any) -> int:
        return self.insert("task", {"text": "Dig", **DATES, **fields}).id

    def link(self, source: int, target: int, type: str = "0") -> int:
        return self.insert("link", {"source": source, "target": target, "type": type}).id

    def item(self, entity: str, id: int) -> dict[str, Any]:
        """An item as it is stored, not as the plan has it."""
        kind = ENTITIES[entity]
        row = next(row for row in self.store.rows(kind) if row.id == id)
        item: dict[str, Any] = orjson.loads(self.store.encode(kind, row))
        return item

    def seq(self) -> int:
        """The number of the last change."""
        return self.store.journal.seq()

    def rev(self, id: int) -> int:
        """The present ``_rev`` of a task."""
        found = self.database.execute("SELECT rev FROM task WHERE id = ?", (id,)).fetchone()
        return int(found[0]) if found else 0

    def ids(self, entity: str) -> list[int]:
        return [row.id for row in self.store.rows(ENTITIES[entity])]

    def branch(self, parent: int = 0) -> list[int]:
        """The children of a task in their order."""
        rows = [r for r in self.store.rows(ENTITIES["task"]) if r.state["parent"] == parent]
        return [row.id for row in sorted(rows, key=lambda row: str(row.state["sortorder"]))]

    def statements(self) -> list[str]:
        """What is executed from now on, as it comes."""
        executed: list[str] = []
        self.database.peewee.connection().set_trace_callback(executed.append)
        return executed

    def journal(self) -> list[tuple[int, str, str, int]]:
        lines = self.store.journal.history(1 << 60, 1 << 30, None)
        return [(each.seq, each.action, each.entity.name, each.id) for each in reversed(lines)]

    def close(self) -> None:
        self.database.close()


def replay(plan: Plan, channel: str, since: int) -> list[bytes]:
    """The event values that bring a page from a change to now."""
    return [value for values in plan.missed(channel, since) for value in values]


def count_calls(patch: pytest.MonkeyPatch, owner: type, name: str) -> list[Any]:
    """The calls of a method from now on, as they come."""
    method = getattr(owner, name)
    calls: list[Any] = []

    def counted(*args: Any) -> Any:
        calls.append(args)
        return method(*args)

    patch.setattr(owner, name, counted)
    return calls


def most_in_a_turn(patch: pytest.MonkeyPatch, owner: type, name: str) -> Callable[[], int]:
    """How often a method has been called in one turn of the loop, at most."""
    method = getattr(owner, name)
    calls: list[int] = []

    def counted(*args: Any, **named: Any) -> Any:
        if not calls or calls[-1] == 0:
            asyncio.get_running_loop().call_soon(calls.append, 0)
        calls.append(calls[-1] + 1 if calls else 1)
        return method(*args, **named)

    patch.setattr(owner, name, counted)
    return lambda: max(calls, default=0)


def number_of(position: str) -> int:
    """The number in a position, as a load has it under ``seq``."""
    return int(position.partition("-")[0])


def value(outcome: WriteResult) -> dict[str, Any]:
    item: dict[str, Any] = orjson.loads(outcome.item)
    return item
