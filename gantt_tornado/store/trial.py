"""A write that changes nothing, to see whether a database can be written."""

from __future__ import annotations

from gantt_tornado.model.entities import DEFAULT_PROJECT
from gantt_tornado.store.database import Compile, Connection, Statement, param
from gantt_tornado.store.tables import Project


def _same(compile: Compile) -> Statement:
    same = Project.update({Project.history: Project.history})
    return compile(same.where(Project.id == param("project")))


def try_to_write(database: Connection) -> None:
    """Write a row as it is, inside a transaction: as far as the disk goes, that is a write.

    Raises:
        DatabaseError: it cannot be written.
    """
    database.execute(database.prepared(_same), {"project": DEFAULT_PROJECT})
