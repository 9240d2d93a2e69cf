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
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gantt_tornado.model import marks
from gantt_tornado.model.entities import DEFAULT_PROJECT
from gantt_tornado.model.marks import Position
from gantt_tornado.store.database import Compile, Database, Statement, param, params
from gantt_tornado.store.journal import Journal
from gantt_tornado.store.tables import Project

log = logging.getLogger(__name__)

#: Behind the database's own name.
SUFFIX: Final = ".position"


def _fold(compile: Compile) -> Statement:
    return compile(Project.update(params(Project.history)).where(Project.id == param("project")))


def renew(database: Database, project: int = DEFAULT_PROJECT) -> None:
    """Make all marks of a project others. A store that was made before does not know of it."""
    before = Journal(database, project).folded()
    new = marks.source()
    while (folded := new()) == before:
        pass
    database.execute(database.prepared(_fold), {"history": folded, "project": project})


class Continuity:
    """The last position of each project that was served, in a file beside the database.

    Args:
        path: the database's, ``:memory:`` for one that no page outlives.
    """

    def __init__(self, path: str) -> None:
        self._path = None if path == ":memory:" else Path(f"{Path(path).resolve()}{SUFFIX}")
        # Project → what the file says, None until it is read.
        self._noted: dict[int, Position] | None = None
        self._troubled = False

    def check(self, database: Database, project: int = DEFAULT_PROJECT) -> None:
        """See that a project has the position that was served last, inside a transaction."""
        if self._path is None:
            return
        journal = Journal(database, project)
        if not journal.seq():
            return
        served = self._known().get(project)
        mark = None if served is None else journal.mark(served.seq)
        if served is None or mark is None or mark ^ journal.folded() != served.mark:
            log.info("this is not known to be the plan that was served last: pages load again")
            renew(database, project)

    def note(self, positions: Mapping[int, Position]) -> None:
        """Note what is served now of some projects. Where that fails, their pages load again at
        the next start."""
        if self._path is None or positions.items() <= self._known().items():
            return
        served = {**self._known(), **positions}
        lines = "".join(f"{project} {position}\n" for project, position in served.items())
        new = self._path.with_name(f"{self._path.name}.new")
        try:
            new.write_text(lines)
            os.replace(new, self._path)
        except OSError as error:
            if not self._troubled:
                log.warning("cannot note what is served: %s", error)
            self._troubled = True
        else:
            self._noted, self._troubled = served, False

    def _known(self) -> dict[int, Position]:
        assert self._path is not None
        if self._noted is None:
            try:
                self._noted = dict(map(_line, self._path.read_text().splitlines()))
            except (OSError, ValueError):
                self._noted = {}
        return self._noted


def _line(line: str) -> tuple[int, Position]:
    """A project and its position. There was one alone, which was not named."""
    project, _, position = line.rpartition(" ")
    return int(project or DEFAULT_PROJECT), Position.read(position)
