"""Databases to measure on, filled through the store in one transaction."""

from __future__ import annotations

import shutil
from pathlib import Path

from bench import task
from gantt_tornado.config import Config
from gantt_tornado.model.change import NOBODY
from gantt_tornado.model.entities import ENTITIES, Patch
from gantt_tornado.store.database import Database, params
from gantt_tornado.store.items import Store
from gantt_tornado.store.tables import JournalLine, Project

#: Children of one task.
BRANCH = 100
#: In milliseconds.
AN_HOUR = 60 * 60 * 1000


def plant(path: Path, tasks: int, journal: int = 0) -> Path:
    """A database with so many tasks, and so many lines more in its journal.

    The same plan is filled once and copied from then on.
    """
    template = path.with_name(f"template-{tasks}-{journal}.db")
    if not template.exists():
        _fill(template, tasks, journal)
    return Path(shutil.copyfile(template, path))


def _fill(path: Path, tasks: int, journal: int) -> None:
    calendar = Config().calendar
    kind = ENTITIES["task"]
    database = Database(f"sqlite:///{path}")
    database.open()
    try:
        Project.update(seq=task.FIRST - 1, horizon=task.FIRST - 1).execute(database.peewee)
        store = Store(database, calendar)
        with database.peewee.atomic("IMMEDIATE"):
            parent = 0
            for number in range(tasks):
                above = 0 if number % BRANCH == 0 else parent
                edit = kind.read(task.fields(above), calendar)
                outcome = store.insert(kind, edit, NOBODY)
                parent = parent if above else outcome.id
            if journal:
                _lengthen(database, store, journal)
            # As if it had been at rest: a server repeats what changed just before it started.
            last = store.journal.seq()
            older = JournalLine.update(at=JournalLine.at - AN_HOUR).where(JournalLine.seq < last)
            older.execute(database.peewee)
        database.peewee.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        database.close()


def _lengthen(database: Database, store: Store, lines: int) -> None:
    """Repeat an update of the first tasks, as if somebody had dragged them for weeks."""
    kind = ENTITIES["task"]
    store.update(kind, task.FIRST, Patch({"progress": 0.75}), NOBODY)
    line = JournalLine.select().order_by(JournalLine.seq.desc()).dicts().execute(database.peewee)[0]
    row = params(*JournalLine._meta.sorted_fields)
    sql = database.prepared(lambda compile: compile(JournalLine.insert(row)))
    last = line["seq"]
    rows = (
        {**line, "seq": seq, "cause_seq": seq, "item_id": task.FIRST + seq % BRANCH}
        for seq in range(last + 1, last + 1 + lines)
    )
    database.peewee.connection().executemany(sql, rows)
