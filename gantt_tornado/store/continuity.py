"""Whether a plan goes on from where its pages left it.

A stock page asks for what it missed since its load, however far it was told since. Where a
backup younger than that load has been put in the place of the database, this is a change of
both histories, and what the page was told of the lost one would stay on its screen for ever.
Nothing in the file tells: it was copied with all that it held. So beside the file lies
another, with the last position that was served from there. Where a plan lacks that position,
or nothing is known, its changes get new marks, and every page has to load again.

Used on the writer's thread until the plan is served, then on one of the loop's others.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from gantt_tornado.model import marks
from gantt_tornado.model.marks import Position
from gantt_tornado.store.database import Compile, Database, param
from gantt_tornado.store.journal import Journal
from gantt_tornado.store.tables import MODELS, Counter, JournalLine

log = logging.getLogger(__name__)

#: Behind the database's own name.
SUFFIX: Final = ".position"


def _renewals(compile: Compile) -> list[str]:
    """SQL that gives all of a table one mark."""
    mark = param("mark")
    change = JournalLine.update({JournalLine.mark: mark, JournalLine.previous_mark: mark})
    items = [each.update({each.mark: mark}) for each in MODELS.values()]
    return [compile(each) for each in (*items, change, Counter.update({Counter.mark: mark}))]


def renew(database: Database) -> None:
    """Give all changes new marks: the same to all, for each stands beside its number."""
    mark = marks.source()()
    for sql in database.prepared(_renewals):
        database.execute(sql, {"mark": mark})


class Continuity:
    """The last position that was served, in a file beside the database.

    Args:
        path: the database's, ``:memory:`` for one that no page outlives.
    """

    def __init__(self, path: str) -> None:
        self._path = None if path == ":memory:" else Path(f"{Path(path).resolve()}{SUFFIX}")
        self._noted: Position | None = None
        self._troubled = False

    def check(self, database: Database) -> None:
        """See that the plan has the position that was served last, inside a transaction."""
        if self._path is None:
            return
        journal = Journal(database)
        if not journal.seq():
            return
        served = self._read()
        if served is None or journal.mark(served.seq) != served.mark:
            log.info("this is not known to be the plan that was served last: pages load again")
            renew(database)

    def note(self, position: Position) -> None:
        """Note what is served now. Where that fails, pages load again at the next start."""
        if self._path is None or position == self._noted:
            return
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_text(f"{position}\n")
            os.replace(new, self._path)
        except OSError as error:
            if not self._troubled:
                log.warning("cannot note what is served: %s", error)
            self._troubled = True
        else:
            self._noted, self._troubled = position, False

    def _read(self) -> Position | None:
        assert self._path is not None
        try:
            return Position.read(self._path.read_text().strip())
        except (OSError, UnicodeDecodeError):
            return None
