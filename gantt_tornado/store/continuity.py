"""Whether a plan goes on from where its pages left it.

A stock page asks for what it missed since its load, however far it was told since. Where a
backup younger than that load has been put in the place of the database, this is a change of
both histories, and what the page was told of the lost one would stay on its screen for ever.
Nothing in the file tells: it was copied with all that it held. So beside the file lies
another, with the last position that was served from there. Where a plan lacks that position,
or nothing is known, all marks become others, and every page has to load again: one number
is folded into them, for a journal may have millions of lines.

Used on the writer's thread until the plan is served, then on one of the loop's others.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

from gantt_tornado.model import marks
from gantt_tornado.model.marks import Position
from gantt_tornado.store.database import Compile, Database, params
from gantt_tornado.store.journal import Journal
from gantt_tornado.store.tables import Counter

log = logging.getLogger(__name__)

#: Behind the database's own name.
SUFFIX: Final = ".position"


def _fold(compile: Compile) -> str:
    return compile(Counter.update(params(Counter.history)))


def renew(database: Database) -> None:
    """Make all marks others. A store that was made before does not know of it."""
    before = Journal(database).folded()
    new = marks.source()
    while (folded := new()) == before:
        pass
    database.execute(database.prepared(_fold), {"history": folded})


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
        mark = None if served is None else journal.mark(served.seq)
        if served is None or mark is None or mark ^ journal.folded() != served.mark:
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
