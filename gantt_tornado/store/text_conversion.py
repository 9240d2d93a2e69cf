"""From one way of keeping text to the other, when the configuration says another than before.

What is drawn stays the same: HTML that was cleaned becomes the letters that it showed, and
letters become HTML that shows them. But what a page holds is in the old way, so all changes
get new marks, and it has to load again. Only markup does not come back: ``<b>`` in a plan that
is kept as text is three letters. Runs on the writer's thread, in one transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson
from peewee import Field, Model

from gantt_tornado.model import text
from gantt_tornado.store.continuity import renew
from gantt_tornado.store.database import Compile, Database, Statement, param
from gantt_tornado.store.tables import ITEMS, JournalLine, Project, Setting

log = logging.getLogger(__name__)

#: Rows read in one go.
SLICE: Final = 500

#: Configuration → what becomes of a text that was kept in the other way.
WAYS: Final = {"text": text.unclean, "clean": text.show}


class _Statements:
    """The SQL of one table whose ``fields`` hold text."""

    def __init__(self, compile: Compile, model: type[Model], key: Field) -> None:
        fields: Field = model.fields  # type: ignore[attr-defined]
        here = model.project == param("project")  # type: ignore[attr-defined]
        suspect = fields.contains("<") | fields.contains("&")
        rows = model.select(key, fields).where(here, key > param("last"), suspect).order_by(key)
        self.read = compile(rows.limit(param("most")))
        it = here & (key == param("key"))
        self.write = compile(model.update({fields: param("fields")}).where(it))


def _tables(compile: Compile) -> list[_Statements]:
    items = [_Statements(compile, each, each.id) for each in ITEMS]
    return [*items, _Statements(compile, JournalLine, JournalLine.seq)]


def _projects(compile: Compile) -> Statement:
    return compile(Project.select(Project.id))


def _setting(compile: Compile) -> tuple[Statement, Statement]:
    here = Setting.name == "html"
    read = Setting.select(Setting.value).where(here)
    return compile(read), compile(Setting.update({Setting.value: param("html")}).where(here))


def convert(database: Database, html: str) -> bool:
    """Keep text in the way that ``html`` names, as the configuration spells it.

    Returns whether it was kept in another until now.
    """
    read, write = database.prepared(_setting)
    if database.execute(read).fetchone()[0] == html:
        return False
    count = 0
    for (project,) in database.execute(database.prepared(_projects)).fetchall():
        for table in database.prepared(_tables):
            count += _convert(database, table, project, WAYS[html])
        renew(database, project)
    database.execute(write, {"html": html})
    log.info("text is kept as html = %r from now on: %d rows were converted", html, count)
    return True


def _convert(
    database: Database, table: _Statements, project: int, way: Callable[[str], str]
) -> int:
    """Convert what a project has in one table. Returns how many rows."""
    count = 0
    for key, fields in _rows(database, table, project):
        converted = _converted(way, fields)
        if converted != fields:
            values = {"project": project, "key": key, "fields": converted}
            database.execute(table.write, values)
            count += 1
    return count


def _rows(database: Database, table: _Statements, project: int) -> Iterator[tuple[int, str]]:
    last = 0
    values = {"project": project, "most": SLICE}
    while rows := database.execute(table.read, {**values, "last": last}).fetchall():
        yield from rows
        last = rows[-1][0]


def _converted(change: Callable[[str], str], fields: str) -> str:
    try:
        value: Any = orjson.loads(fields)
    except orjson.JSONDecodeError:
        # Whoever reads it says so.
        return fields
    return orjson.dumps(text.each(change, value)).decode()
