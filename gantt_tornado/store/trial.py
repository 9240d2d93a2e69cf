"""A write of a row that says nothing, to see whether a database can be written."""

from __future__ import annotations

import time
from typing import Final

from gantt_tornado.store.database import Compile, Connection, Statement, param
from gantt_tornado.store.tables import Setting

#: The setting that holds when it was last tried.
NAME: Final = "tried"


def _note(compile: Compile) -> Statement:
    note = Setting.insert({Setting.name: NAME, Setting.value: param("at")})
    return compile(note.on_conflict_replace())


def try_to_write(database: Connection) -> None:
    """Write when it was tried, inside a transaction. SQLite writes no page in which nothing has
    changed, and then a full disk would go unnoticed.

    Raises:
        DatabaseError: it cannot be written.
    """
    database.execute(database.prepared(_note), {"at": str(time.time_ns())})
