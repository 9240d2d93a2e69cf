"""The projects of a database: made, copied, listed, changed and deleted.

Runs on the writer's thread, inside its transactions. What may take long, a copy and the rows of
what was deleted, is done a slice at a time, so that no write waits long for it: until a project is
all there, and once its rows begin to go, ``created`` is 0, and nobody is told of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from peewee import Model, fn

from gantt_tornado.errors import Conflict, NotFound
from gantt_tornado.model import marks
from gantt_tornado.model.entities import DEFAULT_PROJECT
from gantt_tornado.model.project_info import ProjectInfo, check_name
from gantt_tornado.store.database import Compile, Connection, param, params
from gantt_tornado.store.journal import Journal
from gantt_tornado.store.tables import ITEMS, Item, JournalLine, Project, Reference, Spacing, Task

#: What a copy has of its source, by what numbers the rows of each.
COPIED: Final[tuple[tuple[type[Model], Any], ...]] = (
    *((each, each.id) for each in ITEMS),
    (Reference, Reference.item),
)
#: Rows that are copied or deleted in one go.
SLICE: Final = 500


class _Statements:
    """The SQL of the table of projects."""

    def __init__(self, compile: Compile) -> None:
        fields = Project._meta.sorted_fields
        shown = (
            *(Project.id, Project.name, Project.title, Project.public),
            *(Project.created, Project.archived, Project.deleted),
        )
        here = Project.id == param("project")
        self.add = compile(Project.insert(params(*(each for each in fields if each.name != "id"))))
        self.named = compile(Project.select(*shown).where(Project.name == param("name")))
        self.all = compile(
            Project.select(*shown).where(Project.created != 0).order_by(Project.name)
        )
        self.change = {
            field.name: compile(Project.update({field: param("value")}).where(here))
            for field in (Project.title, Project.public, Project.archived, Project.deleted)
        }
        self.appear = compile(
            Project.update(
                params(Project.seq, Project.mark, Project.horizon, Project.horizon_mark)
                | {Project.created: param("created")}
            ).where(here)
        )
        self.hide = compile(Project.update({Project.created: 0}).where(here))
        self.remove = compile(Project.delete().where(here))
        self.hidden = compile(Project.select(Project.id).where(Project.created == 0))
        self.expired = compile(
            Project.select(Project.id)
            .where(Project.created != 0, Project.deleted != 0, Project.deleted < param("before"))
            .limit(1)
        )
        self.tasks = compile(Task.select(fn.COUNT(Task.id)).where(Task.project == param("project")))
        self.changed = compile(
            JournalLine.select(JournalLine.at)
            .where(JournalLine.project == param("project"))
            .order_by(JournalLine.seq.desc())
            .limit(1)
        )
        self.since = compile(
            JournalLine.select(JournalLine.item_id)
            .where(JournalLine.project == param("project"), JournalLine.seq > param("seq"))
            .distinct()
        )


class _Rows:
    """The SQL that copies and deletes the rows of one table, ``key`` being that of its columns
    which numbers them in a project."""

    def __init__(self, compile: Compile, model: type[Model], key: Any) -> None:
        here = model.project == param("project")  # type: ignore[attr-defined]
        within = here & (key > param("last")) & (key <= param("upto"))
        self.keys = compile(
            model.select(key).where(here, key > param("last")).order_by(key).limit(param("most"))
        )
        self.delete = compile(model.delete().where(within))
        self.count = compile(model.select(fn.COUNT(key)).where(here))
        if issubclass(model, Item | Reference):
            fields = model._meta.sorted_fields
            new = {"project": param("target"), "mark": param("mark")}
            columns = [new.get(field.name, field) for field in fields]
            rows = model.select(*columns).where(within).order_by(key)
            self.copy = compile(model.insert_from(rows, fields))


def _tables(compile: Compile) -> list[_Rows]:
    items = [_Rows(compile, each, key) for each, key in COPIED]
    lines = [_Rows(compile, each, each.seq) for each in (JournalLine, Spacing)]
    return [*items, *lines]


@dataclass(frozen=True, slots=True)
class Copy:
    """How far a copy has come: all of the source that was there at change ``seq``, up to a row of
    each table.

    A slice begins with what the one before came to, and changes nothing of it: the writer may
    run it anew.
    """

    name: str
    source: int
    target: int
    mark: int
    seq: int
    upto: tuple[int, ...]


class Projects:
    """All projects of a database.

    Args:
        now: the time in milliseconds since 1970.
    """

    def __init__(
        self,
        database: Connection,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._database = database
        self._execute = database.execute
        self._sql = database.prepared(_Statements)
        self._tables = database.prepared(_tables)
        self._now = now
        # Hidden, but somebody is at work on them.
        self._copied: set[int] = set()

    def create(self, name: str, title: str = "") -> ProjectInfo:
        """Add an empty project. As the demo it is for the caller to fill.

        Raises:
            BadRequest: no project can have this name.
            Conflict: there is one of this name, perhaps a deleted one.
        """
        self._add(name, title, created=self._now())
        return self.named(name)

    def begin_copy(self, source: str, name: str, title: str = "") -> Copy:
        """Begin a project with all items of another, but without its history.

        Nobody sees it before :meth:`copy_slice` has come to the end, each in a transaction of
        its own; then, or when it is given up, :meth:`end_copy` has to be called.

        Raises:
            BadRequest, Conflict: as for :meth:`create`.
            NotFound: there is no such source.
        """
        origin = self.named(source).id
        target = self._add(name, title, created=0)
        self._copied.add(target)
        seq = Journal(self._database, origin).seq()
        return Copy(name, origin, target, marks.source()(), seq, (0,) * len(COPIED))

    def copy_slice(self, copy: Copy) -> Copy | ProjectInfo:
        """Copy some rows more. Returns how far it came, or the project when it is whole. What is
        changed in the source meanwhile is in the copy too.

        Raises:
            NotFound: the source has been deleted.
            Conflict: it was changed too often to be followed.
        """
        # First what was copied is brought up to now: so no two rows are ever at one place.
        copy = self._follow(copy)
        for at, table in enumerate(self._tables[: len(COPIED)]):
            keys = self._slice(table, copy.source, copy.upto[at])
            if keys:
                self._copy_rows(table, copy, copy.upto[at], keys[-1])
                return replace(copy, upto=(*copy.upto[:at], keys[-1], *copy.upto[at + 1 :]))
        if self._counts(copy.source) != self._counts(copy.target):
            raise Conflict("The project could not be copied as a whole. Please try again.")
        self.begin_after(copy.target, copy.seq, copy.mark)
        return self.named(copy.name)

    def begin_after(self, project: int, seq: int, mark: int) -> None:
        """Have the history of a new project begin behind a number, which is that of its items."""
        counts = {"seq": seq, "mark": mark, "horizon": seq, "horizon_mark": mark}
        self._execute(self._sql.appear, {"project": project, "created": self._now(), **counts})

    def end_copy(self, copy: Copy) -> None:
        """What there is of an unfinished copy may go."""
        self._copied.discard(copy.target)

    def _copy_rows(self, table: _Rows, copy: Copy, last: int, upto: int) -> None:
        """Copy the rows above ``last``, up to another."""
        values = {"project": copy.source, "target": copy.target, "mark": copy.mark}
        self._execute(table.copy, {"last": last, "upto": upto, **values})

    def _counts(self, project: int) -> list[int]:
        tables = self._tables[: len(COPIED)]
        return [self._execute(each.count, {"project": project}).fetchone()[0] for each in tables]

    def _follow(self, copy: Copy) -> Copy:
        """Copy anew what was changed since."""
        journal = Journal(self._database, copy.source)
        last = journal.seq()
        if last == copy.seq:
            return copy
        if journal.horizon() > copy.seq:
            raise Conflict("The project is changed too fast to be copied. Please try again.")
        since = {"project": copy.source, "seq": copy.seq}
        changed = [id for (id,) in self._execute(self._sql.since, since).fetchall()]
        tables = self._tables[: len(COPIED)]
        for table in tables:
            for id in changed:
                values = {"project": copy.target, "last": id - 1, "upto": id}
                self._execute(table.delete, values)
        for table, upto in zip(tables, copy.upto, strict=True):
            for id in changed:
                if id <= upto:
                    self._copy_rows(table, copy, id - 1, id)
        return replace(copy, seq=last)

    def named(self, name: str) -> ProjectInfo:
        """A project.

        Raises:
            NotFound: there is none, or it is deleted.
        """
        found = self._find(name)
        if found.deleted:
            raise NotFound("This project has been deleted.")
        return found

    def public(self) -> dict[str, bool]:
        """The names of all projects that are not deleted, and whether anybody may read them."""
        rows = self._execute(self._sql.all).fetchall()
        return {row[1]: bool(row[3]) for row in rows if not row[-1]}

    def all(
        self, deleted: bool = False, shows: Callable[[str], bool] = lambda name: True
    ) -> list[ProjectInfo]:
        """All projects by their names, or all that can be taken back.

        Args:
            shows: by the name, whether a project is asked for; to count its tasks takes time.
        """
        rows = self._execute(self._sql.all).fetchall()
        return [self._info(row) for row in rows if bool(row[-1]) is deleted and shows(row[1])]

    def with_deleted(self) -> list[ProjectInfo]:
        """All projects, then those that can be taken back."""
        return [*self.all(), *self.all(deleted=True)]

    def retitle(self, name: str, title: str) -> ProjectInfo:
        return self._change(name, "title", title)

    def set_public(self, name: str, public: bool) -> ProjectInfo:
        return self._change(name, "public", int(public))

    def archive(self, name: str, archived: bool = True) -> ProjectInfo:
        return self._change(name, "archived", self._now() if archived else 0)

    def delete(self, name: str) -> ProjectInfo:
        """Delete a project. Its name stays taken, and it can be taken back, until it is forgotten.

        Raises:
            NotFound: there is none.
            Conflict: it is the one at the root.
        """
        if self.named(name).id == DEFAULT_PROJECT:
            raise Conflict("The project at the root cannot be deleted.")
        return self._change(name, "deleted", self._now())

    def restore(self, name: str) -> ProjectInfo:
        """Take back a delete.

        Raises:
            NotFound: there is no deleted project of this name, or not any more.
        """
        found = self._find(name)
        if not found.deleted:
            raise NotFound("There is no deleted project of this name.")
        self._execute(self._sql.change["deleted"], {"project": found.id, "value": 0})
        return self.named(name)

    def forget(self, before: int) -> bool:
        """Delete a few rows of what was deleted before a time, or of a copy that was not finished.

        Returns whether there may be more.
        """
        project = self._doomed(before)
        if project is None:
            return False
        self._execute(self._sql.hide, {"project": project})
        for table in self._tables:
            keys = self._slice(table, project, 0)
            if keys:
                values = {"project": project, "last": 0, "upto": keys[-1]}
                self._execute(table.delete, values)
                return True
        self._execute(self._sql.remove, {"project": project})
        return True

    def _doomed(self, before: int) -> int | None:
        hidden = [id for (id,) in self._execute(self._sql.hidden).fetchall()]
        expired = self._execute(self._sql.expired, {"before": before}).fetchone() or ()
        return next((id for id in (*hidden, *expired) if id not in self._copied), None)

    def _slice(self, table: _Rows, project: int, last: int) -> list[int]:
        values = {"project": project, "last": last, "most": SLICE}
        return [key for (key,) in self._execute(table.keys, values).fetchall()]

    def _add(self, name: str, title: str, created: int) -> int:
        check_name(name)
        if self._execute(self._sql.named, {"name": name}).fetchone():
            raise Conflict("There is a project of this name already, or was until lately.")
        mark = marks.source()()
        counts = {"seq": 0, "mark": mark, "horizon": 0, "horizon_mark": mark, "history": 0}
        times = {"created": created, "archived": 0, "deleted": 0}
        values = {"name": name, "title": title, "public": 0, **counts, **times}
        return int(self._execute(self._sql.add, values).lastrowid or 0)

    def _change(self, name: str, field: str, value: Any) -> ProjectInfo:
        found = self.named(name)
        self._execute(self._sql.change[field], {"project": found.id, "value": value})
        return self._find(name)

    def _find(self, name: str) -> ProjectInfo:
        row = self._execute(self._sql.named, {"name": name}).fetchone()
        if row is None or not row[4]:
            raise NotFound("There is no such project.")
        return self._info(row)

    def _info(self, row: tuple[Any, ...]) -> ProjectInfo:
        id, name, title, public, created, archived, deleted = row
        here = {"project": id}
        tasks = self._execute(self._sql.tasks, here).fetchone()[0]
        changed = self._execute(self._sql.changed, here).fetchone() or (created,)
        times = (changed[0], created, archived, deleted)
        return ProjectInfo(id, name, title, bool(public), tasks, *times)
