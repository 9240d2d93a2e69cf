"""The journal: every change in the order in which it was committed, with who and when.

It is written in the transaction of the change and serves four ends: the order of what is
told, replay, the base of a merge, and history with undo. Runs on the writer's thread.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
from peewee import TextField, fn

from gantt_tornado.model import marks
from gantt_tornado.model.change import Author, Change, made_room
from gantt_tornado.model.entities import DEFAULT_PROJECT, Entity, kind_of
from gantt_tornado.model.journal_age import Ages
from gantt_tornado.model.marks import Marks
from gantt_tornado.model.merge import Diff
from gantt_tornado.model.schema import GANTT, Schema
from gantt_tornado.store.database import Compile, Connection, Statement, param, params
from gantt_tornado.store.tables import Entry, JournalLine, Project, Spacing

log = logging.getLogger(__name__)

#: Columns that no history needs.
_UNREAD: Final = ("project", "base_rev", "previous", "request", "mark", "previous_mark")
#: The last millisecond of the year 9999.
_LAST_TIME: Final = 253_402_300_799_999
_ACTIONS: Final = ("add", "update", "delete")
#: Lines whose times are read in one go.
LEARNT_AT_ONCE: Final = 10_000
#: Of so many lines one goes by age in a minute: a tenth of the journal in an hour.
SHARE: Final = 600
#: Journal lines deleted in one go, so that no write waits long for it.
PRUNED_AT_ONCE: Final = 500
#: Changes of one item since a page had it, of which a merge or an undo can make sense. What
#: lies before counts as forgotten.
MOST_LATER: Final = 500
#: Changes of a group that are read at once.
AT_ONCE: Final = 256
#: Characters of changes in one page of the history, but for one change that is larger alone.
LARGEST_PAGE: Final = 1 << 20
#: Changes that are read at once for a program that follows them.
MISSED_AT_ONCE: Final = 200
#: Journal lines that are looked at for the latest changes.
LATEST: Final = 500


@dataclass(frozen=True, slots=True)
class Later:
    """What a merge has to know of a change that its writer may not have seen.

    ``previous`` is the item's change before this one, remembered or not, and
    ``previous_mark`` its mark; ``at`` is in milliseconds since 1970.
    """

    fields: Diff
    author: Author
    base_rev: int
    previous: int
    at: int
    previous_mark: int
    seq: int
    makes_room: bool = False

    def is_of(self, client_id: str, rev: int) -> bool:
        """Whether a page made the change while it had the item at ``rev``."""
        return self.author.client_id == client_id and self.base_rev == rev


@dataclass(frozen=True, slots=True)
class Moved:
    """Who gave a task another parent, and when."""

    id: int
    seq: int
    at: int
    author: Author


def _raw(field: Any) -> Any:
    """A column's bytes. Those that are no UTF-8 would fail the query, and hide all lines."""
    return field.cast("BLOB") if isinstance(field, TextField) else field


@dataclass(frozen=True, slots=True)
class Missed:
    """Changes after one, oldest first. ``horizon`` is the last change that is forgotten, and
    ``last`` the last that was looked at."""

    horizon: int
    changes: list[Change]
    last: int


class _Statements:
    """The SQL of the journal."""

    def __init__(self, compile: Compile) -> None:
        here = JournalLine.project == param("project")
        since = JournalLine.seq > param("seq")
        before = JournalLine.seq < param("before")
        it = here & (JournalLine.item_id == param("id"))
        numbered = JournalLine.seq == param("seq")
        most = param("most")
        ours = Project.id == param("project")
        self.last = compile(JournalLine.select(fn.MAX(JournalLine.seq)).where(here))
        self.counted = compile(Project.select(Project.seq).where(ours))
        counts = (Project.seq, Project.mark, Project.horizon, Project.horizon_mark)
        self.count = compile(Project.update(params(*counts)).where(ours))
        self.horizon = compile(Project.select(Project.horizon, Project.horizon_mark).where(ours))
        self.folded = compile(Project.select(Project.history).where(ours))
        self.mark = compile(JournalLine.select(JournalLine.mark).where(here, numbered))
        self.marks = compile(
            JournalLine.select(JournalLine.seq, JournalLine.mark)
            .where(here)
            .order_by(JournalLine.seq)
        )
        self.record = compile(JournalLine.insert(params(*JournalLine._meta.sorted_fields)))
        self.later = compile(
            JournalLine.select(
                *(_raw(JournalLine.fields), _raw(JournalLine.user), _raw(JournalLine.client_id)),
                *(
                    JournalLine.base_rev,
                    JournalLine.previous,
                    JournalLine.at,
                    JournalLine.previous_mark,
                ),
                *(JournalLine.action, JournalLine.cause_seq, JournalLine.seq),
            )
            .where(it, since)
            .order_by(JournalLine.seq.desc())
            .limit(MOST_LATER)
        )
        # A row that only made room for another was changed by nobody.
        by_somebody = (JournalLine.cause_seq == JournalLine.seq) | (JournalLine.action != "update")
        self.authors = compile(
            JournalLine.select(_raw(JournalLine.user), _raw(JournalLine.client_id))
            .where(it, since, by_somebody)
            .distinct()
        )
        self.known = compile(
            JournalLine.select(JournalLine.seq)
            .where(it, JournalLine.entity == param("entity"))
            .limit(1)
        )
        asked_for = (
            here
            & (JournalLine.request == param("request"))
            & (JournalLine.request != "")
            & (JournalLine.action == param("action"))
        )
        of_kind = asked_for & (JournalLine.entity == param("entity"))
        self.added = compile(JournalLine.select(JournalLine.item_id).where(of_kind))
        self.named = compile(
            JournalLine.select(JournalLine.seq).where(
                here, JournalLine.request == param("request"), JournalLine.request != ""
            )
        )
        self.name = compile(JournalLine.update(params(JournalLine.request)).where(here, numbered))
        self.made = compile(
            JournalLine.select(JournalLine.seq).where(of_kind, JournalLine.item_id == param("id"))
        )
        self.added_on = compile(
            JournalLine.select(JournalLine.seq).where(
                JournalLine.seq == param("id"), it, JournalLine.client_id == param("client_id")
            )
        )
        read = [_raw(f) for f in JournalLine._meta.sorted_fields if f.name not in _UNREAD]
        lines = JournalLine.select(*read)
        self.line = compile(lines.where(here, numbered))
        # What a delete took with it has an index of its own, since most changes took nothing.
        with_it = (
            here
            & (JournalLine.cause_seq == param("cause_seq"))
            & (JournalLine.cause_seq != JournalLine.seq)
        )
        self.count_taken = compile(JournalLine.select(fn.COUNT(JournalLine.seq)).where(with_it))
        self.taken = compile(
            lines.where(with_it & before).order_by(JournalLine.seq.desc()).limit(AT_ONCE)
        )
        together = here & (JournalLine.group_seq == param("group_seq"))
        # Says that its index will do.
        together &= JournalLine.group_seq != 0
        self.together = compile(
            lines.where(together & before).order_by(JournalLine.seq.desc()).limit(AT_ONCE)
        )
        self.last_together = compile(JournalLine.select(fn.MAX(JournalLine.seq)).where(together))
        newest_first = lines.where(here, before, by_somebody).order_by(JournalLine.seq.desc())
        self.history = compile(newest_first.limit(most))
        self.after = compile(lines.where(here, since).order_by(JournalLine.seq).limit(most))
        every = lines.where(here, before).order_by(JournalLine.seq.desc())
        self.every = compile(every.limit(most))
        self.history_of = compile(newest_first.where(it).limit(most))
        newest = (
            JournalLine.select(fn.MAX(JournalLine.seq).alias("seq"))
            .where(here)
            .group_by(JournalLine.item_id)
        )
        self.touched = compile(
            JournalLine.select(JournalLine.item_id, JournalLine.seq, _raw(JournalLine.entity))
            .join(newest, on=JournalLine.seq == newest.c.seq)
            .where(here)
            .order_by(JournalLine.seq)
        )
        self.reparented = compile(
            JournalLine.select(JournalLine.item_id, fn.MAX(JournalLine.seq))
            .where(
                here,
                JournalLine.entity == "task",
                JournalLine.action == "update",
                JournalLine.fields.contains('"parent":'),
            )
            .group_by(JournalLine.item_id)
        )
        self.times = compile(
            JournalLine.select(JournalLine.seq, JournalLine.at)
            .where(here, since)
            .order_by(JournalLine.seq)
            .limit(most)
        )
        self.moved = compile(
            JournalLine.select(
                *(JournalLine.item_id, JournalLine.seq, JournalLine.at),
                *(_raw(JournalLine.user), _raw(JournalLine.client_id)),
            ).where(
                here,
                since,
                JournalLine.entity == "task",
                JournalLine.action == "update",
                JournalLine.fields.contains('"parent":'),
            )
        )
        self.ages = compile(
            JournalLine.select(
                JournalLine.seq, JournalLine.cause_seq, JournalLine.group_seq, JournalLine.at
            )
            .where(here)
            .order_by(JournalLine.seq)
            .limit(PRUNED_AT_ONCE)
        )
        self.latest = compile(
            JournalLine.select(
                JournalLine.item_id, _raw(JournalLine.entity), JournalLine.at, JournalLine.seq
            )
            .where(here)
            .order_by(JournalLine.seq.desc())
            .limit(LATEST)
        )
        items = Entry.select(Entry.entity).where(Entry.project == param("project"))
        self.kinds = compile(items.distinct())
        self.of_kind = compile(
            JournalLine.select(JournalLine.seq).where(here, JournalLine.entity == param("entity"))
        )
        self.prune = compile(JournalLine.delete().where(here, JournalLine.seq <= param("seq")))
        self.space = compile(Spacing.insert(params(*Spacing._meta.sorted_fields)))
        self.spacings = compile(
            Spacing.select(Spacing.keys)
            .where(
                Spacing.project == param("project"),
                Spacing.entity == param("entity"),
                Spacing.parent == param("parent"),
                Spacing.seq > param("seq"),
            )
            .order_by(Spacing.seq)
        )
        self.prune_spacings = compile(
            Spacing.delete().where(Spacing.project == param("project"), Spacing.seq <= param("seq"))
        )


class Journal:
    """The lines of one project's journal and their numbers."""

    def __init__(
        self, database: Connection, project: int = DEFAULT_PROJECT, schema: Schema = GANTT
    ) -> None:
        self.project: Final = project
        self._schema = schema
        self._execute = database.execute
        self._sql = database.prepared(_Statements)
        self._database = database
        self._ages = Ages()
        # The last number given away, as long as nothing was undone; not looked for before one is
        # asked for, as most journals are only read.
        self._given = 0
        self._undone = -1

    def seq(self) -> int:
        """The number of the last change."""
        return int(self._one(self._sql.last)[0] or self._one(self._sql.counted)[0])

    def next(self) -> int:
        """A number for a change. There is no other writer, so nobody else gives one."""
        if self._undone != self._database.undone:
            self._undone = self._database.undone
            self._given = self.seq()
        self._given += 1
        return self._given

    def horizon(self) -> int:
        """The last change that has been forgotten."""
        return int(self._one(self._sql.horizon)[0])

    def mark(self, seq: int) -> int | None:
        """The mark of a change that is remembered, or of the last that is not."""
        found = self._one(self._sql.mark, seq=seq)
        if found:
            return int(found[0])
        horizon, mark = self._one(self._sql.horizon)
        return int(mark) if seq == horizon else None

    def folded(self) -> int:
        """What is to be folded into all marks: another, and to pages it is another history."""
        return int(self._one(self._sql.folded)[0])

    def marks(self) -> Marks:
        """The marks of what is remembered, and of the horizon."""
        horizon, mark = self._one(self._sql.horizon)
        return Marks(horizon, mark, self._run(self._sql.marks))

    def knows(self, entity: Entity, id: int) -> bool:
        """Whether an item of this id has ever been, as far as remembered."""
        return self._one(self._sql.known, id=id, entity=entity.name) is not None

    def added_by(self, entity: Entity, request: str) -> int | None:
        """The id of the item that a request with this ``Idempotency-Key`` added."""
        found = self._one(self._sql.added, request=request, entity=entity.name, action="add")
        return int(found[0]) if found else None

    def name(self, seq: int, request: str) -> None:
        """Note the request that made a change."""
        self._run(self._sql.name, seq=seq, request=request)

    def named(self, request: str) -> Change | None:
        """The change that was noted for a request."""
        found = self._one(self._sql.named, request=request)
        return self.line(found[0]) if found else None

    def made_by(self, action: str, entity: Entity, id: int, request: str) -> int | None:
        """The change that a request with this ``Idempotency-Key`` made to an item."""
        asked = {"request": request, "entity": entity.name, "id": id, "action": action}
        found = self._one(self._sql.made, **asked)
        return int(found[0]) if found else None

    def added_on(self, id: int, client_id: str) -> bool:
        """Whether an item was added by this page: its id is the number of that change."""
        return self._one(self._sql.added_on, id=id, client_id=client_id) is not None

    def record(self, change: Change, request: str = "") -> None:
        fields = change.recorded
        self._execute(
            self._sql.record,
            {
                "seq": change.seq,
                "cause_seq": change.cause_seq,
                "project": self.project,
                "entity": change.entity.name,
                "item_id": change.id,
                "action": change.action,
                "user": change.author.user,
                "client_id": change.author.client_id,
                "base_rev": change.base_rev,
                "previous": change.previous,
                "at": change.at,
                "request": request,
                "fields": fields if isinstance(fields, str) else recorded(fields),
                "dropped": orjson.dumps(change.dropped).decode() if change.dropped else "",
                "mark": change.mark,
                "previous_mark": change.previous_mark,
                "group_seq": change.group_seq,
            },
        )

    def later(self, id: int, seq: int) -> list[Later]:
        """The changes of an item after ``seq``, newest first. What lies before a line that
        cannot be read counts as forgotten."""
        found: list[Later] = []
        for line in self._run(self._sql.later, id=id, seq=seq):
            fields, user, client_id, *numbers, action, cause_seq, number = line
            try:
                author = _author(user, client_id)
                base_rev, previous, at, mark = map(_integer, numbers)
                room = made_room(action, cause_seq, number)
                numbers_of = (base_rev, previous, at, mark, _integer(number))
                found.append(Later(_diff(fields), author, *numbers_of, room))
            except ValueError as error:
                log.warning("a change of item %d cannot be read: %s", id, error)
                break
        return found

    def line(self, seq: int) -> Change | None:
        """One change, None where it was never made or is forgotten."""
        found = self._one(self._sql.line, seq=seq)
        return next(self._readable([found]), None) if found else None

    def moved(self, seq: int) -> list[Moved]:
        """The tasks that were given another parent after ``seq``."""
        return [
            Moved(id, number, at, _author(user, client_id, "replace"))
            for id, number, at, user, client_id in self._run(self._sql.moved, seq=seq)
            if type(id) is type(at) is int
        ]

    def authors_since(self, id: int, seq: int) -> list[Author]:
        """Who has changed an item after ``seq``."""
        found = self._run(self._sql.authors, id=id, seq=seq).fetchall()
        return [_author(user, client_id, "replace") for user, client_id in found]

    def taken(self, cause_seq: int) -> int:
        """How many items a delete took with the one that it was asked for."""
        return int(self._one(self._sql.count_taken, cause_seq=cause_seq)[0])

    def taken_with(self, cause_seq: int) -> Iterator[Change]:
        """What a delete took with the item that it was asked for, last first. Changes may be
        recorded while it is read."""
        return self._in_slices(self._sql.taken, cause_seq, cause_seq=cause_seq)

    def group(self, group_seq: int) -> Iterator[Change]:
        """The changes of a group, last first. Others may be recorded while it is read."""
        return self._in_slices(self._sql.together, 1 << 62, group_seq=group_seq)

    def _in_slices(self, sql: Statement, before: int, **params: int) -> Iterator[Change]:
        while True:
            lines = self._run(sql, before=before, **params).fetchall()
            yield from self._readable(lines)
            if len(lines) < AT_ONCE:
                return
            before = lines[-1][0]

    def history(self, before: int, limit: int, item: int | None) -> list[Change]:
        """Changes before number ``before``, newest first, of all items or of one: up to
        ``limit``, and fewer where they are large. None means that there are none."""
        sql = self._sql.history if item is None else self._sql.history_of
        return self._page(self._run(sql, before=before, most=limit, id=item))[0]

    def after(self, seq: int, limit: int) -> tuple[list[Change], int]:
        """Changes after number ``seq``, oldest first, up to ``limit``, and fewer where they are
        large; and the number of the last that was looked at, ``seq`` where there is none."""
        changes, last = self._page(self._run(self._sql.after, seq=seq, most=limit))
        return changes, seq if last is None else last

    def _page(self, lines: Iterable[tuple[Any, ...]]) -> tuple[list[Change], int | None]:
        """The changes of a page that is not too large, and the number of the last line that was
        looked at."""
        changes: list[Change] = []
        size = 0
        last = None
        for line in lines:
            size += sum(len(text) for text in line[-3:-1] if text is not None)
            if changes and size > LARGEST_PAGE:
                break
            changes += self._readable([line])
            last = line[0]
        return changes, None if last is None else _integer(last)

    def every(self, before: int, limit: int) -> list[Change]:
        """Changes before number ``before``, newest first, also those that only made room; those
        that cannot be read are left out."""
        return list(self._readable(self._run(self._sql.every, before=before, most=limit)))

    def undeclared(self) -> set[int]:
        """The changes of entities that have items and are not declared here."""
        found = self._run(self._sql.kinds).fetchall()
        names = [name for (name,) in found if name not in self._schema.entities]
        lines = (self._run(self._sql.of_kind, entity=name).fetchall() for name in names)
        return {seq for of_name in lines for (seq,) in of_name}

    def touched(self) -> Iterator[tuple[int, int, Entity, int]]:
        """Each item by its last change, oldest first: its id, that change, its entity, and
        the last change that gave it another parent, 0 for none."""
        reparented = dict(self._run(self._sql.reparented).fetchall())
        for id, seq, name in self._run(self._sql.touched):
            entity = self._entity(name)
            if entity is not None and type(id) is int:
                yield id, seq, entity, reparented.get(id, 0)

    def last_parent(self, task: int) -> int:
        """Below which task a deleted one stood, 0 where that is forgotten."""
        last = self.history(1 << 62, 1, task)
        parent = last[0].fields.get("parent", (0,))[0] if last else 0
        return parent if type(parent) is int else 0

    def lately(self, entity: Entity, since: int) -> list[Change]:
        """The changes of an entity's items since a time, newest first; of the last some
        hundred changes of all."""
        lines = self._run(self._sql.latest).fetchall()
        found = [
            self.line(seq)
            for _, name, at, seq in lines
            if self._entity(name) is entity and type(at) is int and at >= since
        ]
        return [change for change in found if change is not None]

    def latest(self, span: int) -> list[tuple[Entity, int]]:
        """The items of the last changes, oldest first: of those made up to ``span``
        milliseconds before the last, but not of more than some hundred."""
        lines = self._run(self._sql.latest).fetchall()
        sound = [line for line in lines if type(line[0]) is type(line[2]) is int]
        items = {
            id: self._entity(name)
            for id, name, at, _ in reversed(sound)
            if at >= sound[0][2] - span
        }
        return [(kind, id) for id, kind in items.items() if kind is not None]

    def learn(self) -> bool:
        """Read when some more of the changes were made, see :mod:`gantt_tornado.model.journal_age`.

        Returns whether there may be more. Until there are none, nothing is pruned by age.
        """
        lines = self._run(self._sql.times, seq=self._ages.seq, most=LEARNT_AT_ONCE).fetchall()
        self._ages.read(lines)
        return len(lines) == LEARNT_AT_ONCE

    def prune(self, clock: int, longest: int, keep: int) -> int:
        """Forget some of the oldest changes: those older than ``longest`` milliseconds, as
        the clock shows ``clock`` (since 1970), and those that are not among the ``keep``
        last. :meth:`learn` must have been through.

        By age no more than a share goes at a time, whatever the clock shows.

        Returns how many went.
        """
        last = self.seq()
        enough = last - keep
        by_age = max(1, (last - self.horizon()) // SHARE)
        expired = 0
        lines = self._run(self._sql.ages).fetchall()
        old = self._ages.expired([(seq, at) for seq, _, _, at in lines], clock, longest)
        for (seq, _, _, _), is_old in zip(lines, old, strict=False):
            if seq > enough:
                if not is_old or not by_age:
                    break
                by_age -= 1
            expired += 1
        if not expired:
            return 0
        # What is undone together is forgotten together, or an undo would bring back half.
        last = max(_ends(lines, expired), default=0) or self._end(lines[0])
        # When all are forgotten, their numbers are not to be given again. And a page that has
        # all up to the last of them is still one of this history.
        seq = self.seq()
        self._run(
            self._sql.count,
            seq=seq,
            mark=self._mark_or_new(seq),
            horizon=last,
            horizon_mark=self._mark_or_new(last),
        )
        self._run(self._sql.prune_spacings, seq=last)
        return int(self._run(self._sql.prune, seq=last).rowcount)

    def _mark_or_new(self, seq: int) -> int:
        mark = self.mark(seq)
        return marks.source()() if mark is None else mark

    def _end(self, line: tuple[int, int, int, int]) -> int:
        """The last change of those to which one belongs, a delete or a group."""
        _, cause_seq, group_seq, _ = line
        if not group_seq:
            return cause_seq
        return int(self._one(self._sql.last_together, group_seq=group_seq)[0])

    def space(self, entity: Entity, seq: int, parent: int, old: list[str], new: list[str]) -> None:
        """Note that neighbours were spaced anew, for change ``seq``."""
        keys = orjson.dumps([old, new]).decode()
        self._run(self._sql.space, entity=entity.name, seq=seq, parent=parent, keys=keys)

    def spacings(self, entity: Entity, parent: int, since: int) -> Iterator[list[list[str]]]:
        """The keys before and after of what was spaced anew since a change, oldest first."""
        found = self._run(self._sql.spacings, entity=entity.name, parent=parent, seq=since)
        for (keys,) in found.fetchall():
            yield orjson.loads(keys)

    def _readable(self, lines: Iterable[tuple[Any, ...]]) -> Iterator[Change]:
        """The changes in lines of the journal. A damaged line must not hide all others, nor one
        of an entity that is not declared any more."""
        for line in lines:
            entity = self._entity(line[2])
            try:
                if entity is None:
                    raise ValueError(f"there is no entity {line[2]!r}")
                yield _committed(self.project, entity, line)
            except ValueError as error:
                log.warning("change %s cannot be read: %s", line[0], error)

    def _entity(self, name: bytes | None) -> Entity | None:
        entities = self._schema.entities
        return entities.get(name.decode(errors="replace")) if name is not None else None

    def _run(self, sql: Statement, **params: Any) -> Any:
        """Execute SQL on what is of this project."""
        params["project"] = self.project
        return self._execute(sql, params)

    def _one(self, sql: Statement, **params: Any) -> Any:
        return self._run(sql, **params).fetchone()


def missed(project: int, seq: int, database: Connection) -> Missed:
    """Some changes of a project after number ``seq``."""
    journal = Journal(database, project)
    horizon = journal.horizon()
    changes, last = journal.after(max(seq, horizon), MISSED_AT_ONCE)
    return Missed(horizon, changes, last)


def _ends(lines: list[tuple[int, int, int, int]], count: int) -> Iterator[int]:
    """Those of the first ``count`` lines with which all ends that belongs together."""
    for at, (seq, cause_seq, group_seq, _) in enumerate(lines[:count], 1):
        # Where no line follows, the group may go on.
        goes_on = group_seq and (at == len(lines) or lines[at][2] == group_seq)
        if cause_seq <= seq and not goes_on:
            yield seq


def recorded(fields: Diff) -> str:
    """A diff as a line of the journal holds it."""
    return orjson.dumps(fields).decode()


def _committed(project: int, entity: Entity, line: tuple[Any, ...]) -> Change:
    seq, cause_seq, _, id, action, user, client_id, at, fields, dropped, group_seq = line
    done = _decoded(action)
    if done not in _ACTIONS:
        raise ValueError(f"there is no action {done!r}")
    if min(_integer(seq), _integer(cause_seq), _integer(id)) <= 0:
        raise ValueError("its numbers are none")
    if not 0 <= _integer(at) <= _LAST_TIME:
        raise ValueError("its time is none")
    changed = _diff(fields)
    _check_fields(entity, done, changed)
    return Change(
        *(seq, cause_seq, project, entity, id, done, _author(user, client_id), at, changed),
        dropped=_object(dropped) if dropped else {},
        group_seq=_integer(group_seq),
    )


def _check_fields(entity: Entity, action: str, fields: Diff) -> None:
    """See that fields can be told and, where an item is gone, that it could come back.

    Raises:
        ValueError: they cannot.
    """
    try:
        # As deep as in an answer: JSON is written only to a depth.
        orjson.dumps([[[[fields]]]])
    except TypeError as error:
        raise ValueError(str(error)) from None
    if action == "delete" and not fields.keys() >= set(entity.place):
        raise ValueError("it does not say where the item was")
    for name in entity.place:
        kind = kind_of(name)
        for value in fields.get(name, ()):
            if type(value) is not kind and value is not None:
                raise ValueError(f"{name} is none")


def _author(user: bytes | None, client_id: bytes | None, errors: str = "strict") -> Author:
    return Author(_decoded(user, errors), _decoded(client_id, errors))


def _decoded(text: bytes | None, errors: str = "strict") -> str:
    return (text or b"").decode(errors=errors)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no number")
    return value


def _object(text: bytes | None) -> dict[str, Any]:
    value = orjson.loads(text or b"")
    if not isinstance(value, dict):
        raise ValueError("what it dropped is no object")
    return value


def _diff(fields: bytes | None) -> Diff:
    """What a line says was changed.

    Raises:
        ValueError: it is not what we wrote.
    """
    changed: Diff = orjson.loads(fields or b"")
    if not isinstance(changed, dict):
        raise ValueError("its fields are no object")
    for pair in changed.values():
        if type(pair) is not list or len(pair) != 2:
            raise ValueError("its fields are no pairs of values")
    return changed
