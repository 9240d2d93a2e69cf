"""The only code that reads and writes rows. It runs on the writer's thread.

Each write is one or more changes: the row and its line in the journal, in one
transaction that the writer opens and commits. The SQL is compiled once, from peewee's
queries; on the path of a write peewee's query builder would cost more than SQLite.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from bisect import bisect_right
from collections import deque
from collections.abc import (
    Callable,
    Collection,
    Container,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

import orjson
from peewee import Query, fn

from gantt_tornado.errors import BadRequest, Conflict, NotFound, Stale, TooLarge
from gantt_tornado.model import cycles, dates, fractional_index, marks, merge, text
from gantt_tornado.model.ancestors import Ancestors
from gantt_tornado.model.change import Author, Change, Left, WriteResult
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import DEFAULT_PROJECT, LINK, TASK, Entity, Patch, State
from gantt_tornado.model.event import EVENT, is_exception
from gantt_tornado.model.merge import Diff
from gantt_tornado.model.protocol import parse_target
from gantt_tornado.model.schema import GANTT, Schema
from gantt_tornado.model.stored_plan import StoredPlan
from gantt_tornado.store.database import Compile, Connection, Statement, param, params
from gantt_tornado.store.journal import Journal, Moved, recorded
from gantt_tornado.store.tables import (
    Entry,
    Item,
    JournalLine,
    Link,
    Reference,
    Task,
    columns_of,
    model_of,
)

log = logging.getLogger(__name__)


#: Rows that are only looked at on the way up from a task or along links, of which together
#: the reading takes as long as writing one.
LOOKED_AT: Final = 64
#: The same for lines of the journal.
LINES_READ: Final = 8
#: Rows that are spaced anew where a key would be long, if that saves so many characters.
NEIGHBOURS: Final = 64
WORTHWHILE: Final = 8
#: The target of a drop behind all others.
LAST: Final = "next:null"
#: Stands behind all keys.
_END: Final = "~"
#: Changes among which others' moves are looked for where a task would stand below itself.
LAST_MOVES: Final = 5_000
#: Milliseconds within which a page may not have heard of a change when it writes.
LATELY: Final = 10_000
#: Rows that a reader reads between two pauses.
READ_AT_ONCE: Final = 100
#: What people read whose page cannot save from what it has.
STALE: Final = "This page is too old to save from. Please reload it."


class Row(NamedTuple):
    """An item as it is stored; ``state`` holds every field, those with columns too."""

    id: int
    rev: int
    mark: int
    state: State


class _Statements:
    """The SQL of one entity, compiled once."""

    def __init__(self, compile: Compile, entity: Entity) -> None:
        model = model_of(entity)
        self.columns: Final = columns_of(entity)
        columns = [getattr(model, name) for name in self.columns]
        stored = [model.rev, model.mark, model.fields, *columns]
        here = model.project == param("project")
        #: What else says of which entity a row is.
        own: dict[Any, Any] = {}
        order: list[Any] = [model.id]
        #: Whether what the items point to is noted beside them.
        self.is_noted: Final = model is Entry
        if model is Entry:
            here &= Entry.entity == entity.name
            own = {Entry.entity: entity.name, Entry.sortorder: ""}
            order = [Entry.sortorder, Entry.id]
        it = here & (model.id == param("id"))
        self.count = compile(model.select(fn.COUNT(model.id)).where(here))
        self.all = compile(model.select(model.id, *stored).where(here).order_by(*order))
        self.find = compile(model.select(*stored).where(it))
        self.insert = compile(model.insert({**own, **params(model.project, model.id, *stored)}))
        self.update = compile(model.update(params(*stored)).where(it))
        # Without the columns, whose indexes would be written anew with them.
        self.update_fields = compile(model.update(params(*stored[:3])).where(it))
        self.delete = compile(model.delete().where(it))
        self.pointing = {
            field: compile(_pointing(entity, model, field)) for field in entity.references
        }
        taken = (
            (JournalLine.project == param("project"))
            & (JournalLine.cause_seq == param("cause_seq"))
            & (JournalLine.cause_seq != JournalLine.seq)
            & (JournalLine.entity == entity.name)
        )
        there = model.select(model.id).join(JournalLine, on=model.id == JournalLine.item_id)
        self.there_again = compile(there.where(here, taken))


def _pointing(entity: Entity, model: type[Item], field: str) -> Query:
    """The ids of those items of an entity that point to an item."""
    here, pointed = param("project"), param("pointed")
    if model is not Entry:
        column = getattr(model, field)
        return model.select(model.id).where(column == pointed, model.project == here)
    return Reference.select(Reference.item).where(
        Reference.project == here, Reference.pointed == pointed, Reference.entity == entity.name
    )


class _Order:
    """The SQL behind the order of an entity's items: of tasks that of the branch of one parent,
    of all others that of the entity."""

    def __init__(self, compile: Compile, entity: Entity) -> None:
        model: Any = model_of(entity)
        branch = model.project == param("project")
        branch &= model.entity == entity.name if model is Entry else model.parent == param("parent")
        key = param("key")
        self.last = compile(model.select(fn.MAX(model.sortorder)).where(branch))
        around = branch & (model.id != param("but"))
        neighbour = model.select(model.sortorder, model.id)
        lower = neighbour.where(around & (model.sortorder < key))
        higher = neighbour.where(around & (model.sortorder > key))
        self.above = compile(lower.order_by(model.sortorder.desc()).limit(param("most")))
        self.below = compile(higher.order_by(model.sortorder).limit(param("most")))
        taken = model.select(model.id).where(around & (model.sortorder == key))
        self.taken = compile(taken.limit(1))


class _References:
    """The SQL of what the items point to that have no columns for it."""

    def __init__(self, compile: Compile) -> None:
        self.note = compile(Reference.insert(params(*Reference._meta.sorted_fields)))
        here = (Reference.project == param("project")) & (Reference.item == param("id"))
        self.forget = compile(Reference.delete().where(here))


class _Rules:
    """The SQL behind the rules of a plan, compiled once."""

    def __init__(self, compile: Compile) -> None:
        project = param("project")
        here = Link.project == project
        source, target = Link.source == param("source"), Link.target == param("target")
        others = Link.id != param("but")
        self.twins = compile(Link.select(Link.id, Link.fields).where(here, source, target, others))
        self.ends = compile(Link.select(Link.source, Link.target).where(here))
        task = Task.select(Task.id, Task.parent).where(
            Task.project == project, Task.id == param("id")
        )
        above = task.cte("above", recursive=True, columns=("id", "parent"))
        above = above.union(
            Task.select(Task.id, Task.parent)
            .join(above, on=Task.id == above.c.parent)
            .where(Task.project == project)
        )
        self.climb = compile(above.select_from(above.c.id))
        start = Link.select(Link.target.alias("id")).where(here, source, others)
        after = start.cte("after", recursive=True, columns=("id",))
        after = after.union(
            Link.select(Link.target).join(after, on=Link.source == after.c.id).where(here, others)
        )
        self.waiting = compile(after.select_from(after.c.id))


#: What a page could not draw: the item and what it should be.
Damaged = tuple[Entity, Row, State]


class Store:
    """Rows, journal and the rules of one project's plan.

    Every method must be called on the thread that opened ``database``, and those that
    write inside a transaction.

    Args:
        now: the time in milliseconds since 1970.
        markup: whether text is HTML, see :mod:`gantt_tornado.model.text`.
        schema: the entities that there are.
    """

    def __init__(
        self,
        database: Connection,
        calendar: Calendar,
        project: int = DEFAULT_PROJECT,
        now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        markup: bool = False,
        schema: Schema = GANTT,
    ) -> None:
        self.project: Final = project
        self.journal = Journal(database, project, schema)
        self.schema = schema
        #: What pages' marks have folded in: what shapes each item, and which history it is of.
        html = "clean" if markup else "text"
        self.shape: Final = (
            marks.shape(calendar.format, calendar.zone, html) ^ self.journal.folded()
        )
        self._execute = database.execute
        self._calendar = calendar
        self._now = now
        self._new_mark = marks.source()
        self._markup = markup
        self._sql = database.prepared(_Rules)
        self._entities = {each.name: database.prepared(_Statements, each) for each in schema}
        self._orders = {
            each.name: database.prepared(_Order, each) for each in schema if each.ordered
        }
        self._references = database.prepared(_References)
        self._left: float = math.inf
        self._group = 0
        self._moves_at = -1
        self._moves_known: list[Moved] = []
        self._ancestors = Ancestors(self._climb, lambda: self._spend(1 / LOOKED_AT))
        self._database = database
        self._undone = database.undone

    def begin(self, rows: int) -> None:
        """A request begins: until the next, writes may touch so many rows together.

        What goes beyond raises TooLarge, before anything of it is written.
        """
        self._left = rows
        self._most = rows

    @contextlib.contextmanager
    def group(self) -> Iterator[None]:
        """What is written inside belongs together, and is undone as a whole."""
        self._group = self.journal.seq() + 1
        try:
            yield
        finally:
            self._group = 0

    def _spend(self, rows: float) -> None:
        self._left -= rows
        if self._left < 0:
            raise TooLarge(
                f"This is too much at once: more than {self._most} rows would have to be "
                "looked at or written. Please do it in parts."
            )

    # Writes.

    def insert(
        self,
        entity: Entity,
        edit: Patch,
        author: Author,
        request: str = "",
    ) -> WriteResult:
        """Add an item. The same ``request`` again, whose answer was lost, adds no second.

        Raises:
            BadRequest: dates are missing or contradict each other.
            Conflict: it would break a rule of the plan.
        """
        self._spend(1)
        known = self.journal.added_by(entity, request) if request else None
        if known:
            return self._inserted(entity, known, author)
        state: State = {**entity.defaults, **edit.values}
        if entity.dated:
            given = merge.DATES & state.keys()
            if not given and (state.get("unscheduled") or state.get("type") == "project"):
                # It is drawn without a bar or from its children, but the client parses
                # a start in every row it is sent.
                state |= {"start_date": self._calendar.today(), "duration": 1}
            state |= self._dates({}, state, given)
        if entity.spanned:
            state |= _span(state, edit.values)
        for pointer in entity.references:
            state.setdefault(pointer, 0)
        if entity is TASK:
            state["parent"] = self._nearest(state["parent"])
        try:
            self._check_references(entity, 0, state, entity.references, author)
        except _Overtaken:
            return self._insert_gone(entity, state, author, request)
        if entity.ordered:
            branch = _branch(entity, state)
            place = self._place(entity, branch, edit.target, 0, None)
            state["sortorder"] = place or self._end_of(entity, branch)
            if edit.target:
                state["target"] = edit.target
        room = self._make_room(entity, None, state, author)
        change = self._save(entity, None, state, merge.diff({}, state), author, request=request)
        differs = _differs(edit, state)
        changes = (*room, change)
        return WriteResult(
            entity, change.id, author, changes, change.item, differs, wire=change.wire
        )

    def _inserted(self, entity: Entity, id: int, author: Author) -> WriteResult:
        """The outcome of an insert that has been made already."""
        try:
            row, gone = self._find(entity, id), False
        except NotFound:
            # An id is the number of the change that added the item.
            added = self.journal.line(id)
            state = {name: new for name, (_, new) in added.fields.items()} if added else {}
            row, gone = Row(id, id, self.journal.mark(id) or 0, state), True
        return self._as_it_is(entity, row, author, gone=gone, repeats=id)

    def _as_it_is(self, entity: Entity, row: Row, author: Author, **more: Any) -> WriteResult:
        """The outcome of what changes nothing."""
        item = self.encode(entity, row)
        return WriteResult(entity, row.id, author, (), item, wire=self.wire(item), **more)

    def _insert_gone(
        self, entity: Entity, state: State, author: Author, request: str
    ) -> WriteResult:
        """Add an item and delete it, as if it had come just before what took it away."""
        added = self._save(entity, None, state, merge.diff({}, state), author, request=request)
        row = Row(added.id, added.seq, added.mark, state)
        deleted = self._remove([(entity, row)], author)
        changes = (added, *deleted.changes)
        return WriteResult(
            entity, added.id, author, changes, added.item, wire=added.wire, gone=True
        )

    def _nearest(self, task: int | str) -> int | str:
        """A task, or where it was deleted, the nearest that is left of those above it."""
        while isinstance(task, int) and task:
            if self._is_there(TASK, task) or not self._was_there(TASK, task):
                break
            self._spend(1 / LINES_READ)
            task = self.journal.last_parent(task)
        return task

    def update(
        self,
        entity: Entity,
        id: int,
        edit: Patch,
        author: Author,
        request: str = "",
    ) -> WriteResult:
        """Merge what a writer changed into an item as it is now. What has become impossible
        only because others were faster is dropped. The same ``request`` again, whose answer
        was lost, changes nothing: it would overwrite what others have changed since.

        Raises:
            NotFound: there is no such item.
            BadRequest: dates contradict each other.
            Conflict: the result would break a rule of the plan.
        """
        self._spend(1)
        row = self._find(entity, id)
        known = self.journal.made_by("update", entity, id, request) if request else None
        if known:
            return self._as_it_is(entity, row, author, repeats=known)
        if entity.spanned:
            edit = edit._replace(values=merge.as_lists(row.state, edit.values))
        sent = edit
        if edit.rev is None and author.client_id and self.journal.added_on(id, author.client_id):
            # The client skips the echo of its own new row, and with it the first _rev.
            edit = edit._replace(rev=id)
        later = self._later(row, edit, author)
        moves = bool(edit.target) and not _is_stale(row, sent, later)
        changed = merge.changed(merge.seen_by(row.state, later), edit.values)
        touched = merge.DATES & changed.keys()
        if entity.dated and touched:
            changed |= self._dates(row.state, edit.values, touched)
        state = {**row.state, **changed}
        if entity.spanned and touched:
            state |= _span(state, {**row.state, **edit.values})
        dropped = self._drop_overtaken(entity, row, state, edit.rev, author)
        if entity.ordered:
            state |= self._moved(entity, row, state, edit.target if moves else "")
        room = self._make_room(entity, row, state, author)
        diff = merge.diff(row.state, state)
        if moves:
            # Also where it is the same neighbour again: the next resend of it is stale.
            diff["target"] = [row.state.get("target"), edit.target]
        differs = bool(later or touched) and (
            _differs(edit, state) or not all(mine for _, mine in later)
        )
        if not diff and not dropped:
            return self._as_it_is(entity, row, author, differs=differs)
        change = self._save(
            *(entity, row, state, diff, author),
            request=request,
            base_rev=edit.rev or 0,
            dropped=dropped,
        )
        differs = differs or bool(dropped)
        changes = (*room, change)
        return WriteResult(entity, id, author, changes, change.item, differs, change.wire, dropped)

    def _drop_overtaken(
        self,
        entity: Entity,
        row: Row,
        state: State,
        rev: int | None,
        author: Author,
    ) -> State:
        """Take out of a new state what others have made impossible. Returns that.

        Raises:
            Conflict: it breaks a rule by itself.
        """
        try:
            self._check_changed(entity, row, state, author, rev)
        except _Overtaken:
            dropped = {field: state[field] for field in _ties(entity, row.state, state)}
            state.update({field: row.state[field] for field in dropped})
            return dropped
        return {}

    def delete(self, entity: Entity, id: int, author: Author, request: str = "") -> WriteResult:
        """Delete an item and all that hangs on it; what is gone already stays gone. The same
        ``request`` again deletes nothing: somebody may have taken the first back since."""
        known = self.journal.made_by("delete", entity, id, request) if request else None
        if known:
            return WriteResult(entity, id, author, (), repeats=known)
        try:
            row = self._find(entity, id)
        except NotFound:
            return WriteResult(entity, id, author, ())
        if entity is EVENT and is_exception(row.state):
            return self._hide(row, author, request)
        return self._remove(self._dependents(entity, row), author, request)

    def _hide(self, row: Row, author: Author, request: str) -> WriteResult:
        """An occurrence of a series does not take place: without its exception it would again."""
        hidden = {"rec_type": "none"} if row.state["event_pid"] else {"deleted": True}
        state = row.state | hidden
        diff = merge.diff(row.state, state)
        if not diff:
            return WriteResult(EVENT, row.id, author, ())
        change = self._save(EVENT, row, state, diff, author, request=request)
        return WriteResult(EVENT, row.id, author, (change,), change.item, wire=change.wire)

    def undo(self, seq: int, author: Author, request: str = "") -> WriteResult:
        """Apply the inverse of a change as a new change, merged with what came after; of one
        that belongs to a group, the inverse of the whole group as a new group. What of it
        somebody else has changed since is left as it is. The same ``request`` again changes
        nothing more.

        Raises:
            NotFound: the journal does not hold the change.
            Conflict: somebody else has changed the same since, or a rule forbids it now, and
                so nothing can be undone.
        """
        # It is recorded with a change of any kind.
        name = f"undo:{seq}:{request}"
        known = self.journal.named(name) if request else None
        if known:
            return self._undone_already(known, author)
        result = self._undo(seq, author)
        if request and result.changes:
            self.journal.name(result.changes[-1].seq, name)
        return result

    def _undone_already(self, made: Change, author: Author) -> WriteResult:
        try:
            row = self._find(made.entity, made.id)
        except NotFound:
            return WriteResult(made.entity, made.id, author, (), repeats=made.seq)
        return self._as_it_is(made.entity, row, author, repeats=made.seq)

    def _undo(self, seq: int, author: Author) -> WriteResult:
        change = self.journal.line(seq)
        if change is None:
            raise NotFound("This change is not in the journal (any more).")
        if change.group_seq:
            return self._undo_group(change, author)
        if change.makes_room:
            raise Conflict("This row only made room for another: nobody has changed it.")
        return self._undo_one(change, author, change.seq, {})

    def _undo_group(self, asked: Change, author: Author) -> WriteResult:
        saved: list[Change] = []
        left: dict[int, Left] = {}
        last = 0
        with self.group():
            for change in self.journal.group(asked.group_seq):
                last = last or change.seq
                # What made room or was taken along belongs to the change that asked for it.
                follows = change.action != "add" and change.cause_seq != change.seq
                if follows or change.id in left:
                    continue
                try:
                    saved += self._undo_one(change, author, last, left).changes
                except Conflict as error:
                    user = error.user if isinstance(error, _ChangedSince) else ""
                    left[change.id] = Left(change.entity, change.id, user, error.message)
        if left and not saved:
            raise Conflict(next(iter(left.values())).message)
        own = next((each for each in reversed(saved) if each.id == asked.id), None)
        item, wire = (own.item, own.wire) if own else (b"", b"")
        found = (asked.entity, asked.id, author, tuple(saved), item)
        return WriteResult(*found, wire=wire, left=tuple(left.values()))

    def _undo_one(
        self, change: Change, author: Author, last: int, left: Mapping[int, Left]
    ) -> WriteResult:
        """``last`` is the last change of the group, ``left`` what is left of it."""
        if change.action == "update":
            return self._undo_update(change, author, last)
        if change.action == "add":
            return self._undo_add(change, author, last, left)
        return self._undo_delete(change, author)

    def _undo_update(self, change: Change, author: Author, last: int) -> WriteResult:
        self._spend(1)
        entity = change.entity
        try:
            row = self._find(entity, change.id)
        except NotFound:
            raise Conflict(f"This {entity.name} has been deleted since.") from None
        later = self.journal.later(change.id, change.seq)
        if later and later[-1].previous > change.seq:
            raise Conflict(f"This {entity.name} has been changed too often since.")
        fields = _undone_with(entity, change.fields) & (row.state.keys() | change.fields.keys())
        for each in later:
            overlap = fields & _undone_with(entity, each.fields)
            if (
                each.seq > last
                and overlap
                and not each.makes_room
                and author.is_other_than(each.author)
            ):
                who, what = each.author.user or "Somebody", ", ".join(sorted(overlap))
                raise _ChangedSince(f"{who} has changed this since: {what}.", each.author)
        history = [*((each.fields, False) for each in later), (change.fields, False)]
        before = merge.seen_by(row.state, history)
        # A field that was not there becomes null: clients cannot unlearn one.
        state = {**row.state, **{field: before.get(field) for field in fields}}
        state = entity.sound(state, self._calendar)
        if entity.ordered and "sortorder" in fields:
            self._follow_spacings(entity, state, change.seq)
            state["sortorder"] = self._free(entity, state, row.id)
        self._check_changed(entity, row, state, author, change.seq)
        diff = merge.diff(row.state, state)
        if not diff:
            return self._as_it_is(entity, row, author)
        saved = self._save(entity, row, state, diff, author)
        return WriteResult(entity, row.id, author, (saved,), saved.item, wire=saved.wire)

    def _undo_add(
        self, change: Change, author: Author, last: int, left: Mapping[int, Left]
    ) -> WriteResult:
        try:
            row = self._find(change.entity, change.id)
        except NotFound:
            return WriteResult(change.entity, change.id, author, ())
        doomed = self._dependents(change.entity, row)
        for entity, gone in doomed:
            if gone.id in left:
                raise Conflict(f"A {entity.name} that is left as it is belongs to it.")
            for other in self.journal.authors_since(gone.id, last):
                if author.is_other_than(other):
                    who = other.user or "Somebody"
                    message = f"{who} has worked on this {entity.name} since."
                    raise _ChangedSince(message, other)
        return self._remove(doomed, author)

    def _undo_delete(self, change: Change, author: Author) -> WriteResult:
        """Bring back what a delete took, under the old ids: what it was asked for must
        find its place, of the rest what cannot is left out."""
        asked = self.journal.line(change.cause_seq)
        if asked is None:
            raise NotFound("This change is not in the journal (any more).")
        taken = self.journal.taken(asked.seq)
        self._spend(1 + taken)
        with self.group() if taken and not self._group else contextlib.nullcontext():
            return self._bring_back(asked, author)

    def _bring_back(self, asked: Change, author: Author) -> WriteResult:
        if asked.entity is LINK:
            state = {name: old for name, (old, _) in asked.fields.items()}
            self._check_link(asked.id, state, author)
        if self._is_there(asked.entity, asked.id):
            raise Conflict(f"This {asked.entity.name} is there again already.")
        saved = [self._restore(asked, author, set())]
        restored = {asked.id}
        there = {
            id
            for each in self._entities.values()
            for (id,) in self._run(each.there_again, cause_seq=asked.seq).fetchall()
        }
        links: list[Change] = []
        for each in self.journal.taken_with(asked.seq):
            if each.entity is LINK:
                links.append(each)
                continue
            if each.id in there:
                continue
            with contextlib.suppress(Conflict):
                saved.append(self._restore(each, author, restored))
                restored.add(each.id)
        closing = self._closing(links) if links else ()
        for place, each in enumerate(links):
            if place not in closing and each.id not in there:
                with contextlib.suppress(Conflict):
                    saved.append(self._restore(each, author, restored))
        back = saved[0]
        return WriteResult(asked.entity, asked.id, author, tuple(saved), back.item, wire=back.wire)

    def _closing(self, links: list[Change]) -> set[int]:
        """The places of those links that would close a circle now."""
        present = self._run(self._sql.ends).fetchall()
        ends = [(each.fields["source"][0], each.fields["target"][0]) for each in links]
        return cycles.closing(present, ends, lambda: self._spend(1 / LOOKED_AT))

    def _restore(self, gone: Change, author: Author, restored: Container[int]) -> Change:
        """Save an item anew that is not there.

        Nothing can have come below a task while it was not there, so it closes no circle;
        whether a link does, its caller has to ask.
        """
        entity = gone.entity
        state: State = {field: old for field, (old, _) in gone.fields.items()}
        state = dict(entity.sound(state, self._calendar))
        for pointer, pointed in entity.references.items():
            is_free = pointer in entity.optional and state[pointer] == 0
            if not is_free and state[pointer] not in restored:
                self._check_exists(entity, pointed, state[pointer])
        if entity is LINK:
            self._check_twins(gone.id, state, author)
        if entity.ordered and _branch(entity, state) not in restored:
            # Below one that comes back with it, no neighbours have been spaced anew, and
            # nobody else's row can have its key.
            self._follow_spacings(entity, state, gone.seq)
            state["sortorder"] = self._free(entity, state, gone.id)
        return self._save(entity, None, state, merge.diff({}, state), author, gone.id)

    def damaged(self) -> list[Damaged]:
        """The rows in which an older version let in what a page could not draw, and what they
        should be."""
        return [
            (entity, row, state)
            for entity in self.schema
            for row in self.rows(entity)
            if (state := entity.sound(row.state, self._calendar)) is not row.state
        ]

    def uncleaned(self) -> list[Damaged]:
        """The rows with HTML that could run as a script, which no write lets in, and what they
        should be; none where text is kept to the letter."""
        if not self._markup:
            return []
        return [
            (entity, row, state)
            for entity in self.schema
            for row in self.rows(entity)
            if (state := text.each(text.clean, row.state)) != row.state
        ]

    def mend(self, damaged: Iterable[Damaged]) -> None:
        """Write what :meth:`damaged` or :meth:`uncleaned` found.

        The revisions stay: nobody has such an item on a screen.
        """
        for entity, row, state in damaged:
            names = sorted(merge.diff(row.state, state))
            log.warning("%s %d could not be drawn; mended: %.200s", entity.name, row.id, names)
            fields = _fields(self._entities[entity.name].columns, state)
            values = {"id": row.id, "rev": row.rev, "mark": row.mark, "fields": fields}
            self._run(self._entities[entity.name].update_fields, **values)

    # Mending: what no write can have made, see store/checks.py. No rule is asked.

    def put_right(
        self, entity: Entity, id: int, fields: State, author: Author, known: State | None = None
    ) -> None:
        """Give fields of an item other values. ``known`` is what the journal has of it, where
        that is another than the row."""
        row = self._find(entity, id)
        state = {**row.state, **fields}
        before = row.state if known is None else {**state, **known}
        self._save(entity, row, state, merge.diff(before, state), author)

    def put_last(self, id: int, parent: int, author: Author) -> None:
        """Have a task stand last below another, or at the top."""
        order = self._orders[TASK.name]
        last = self._one(order.last, parent=parent)[0]
        while last is not None and not fractional_index.is_key(last):
            above = self._one(order.above, parent=parent, but=0, key=last, most=1)
            last = above and above[0]
        place = {"parent": parent, "sortorder": fractional_index.between(last, None)}
        self.put_right(TASK, id, place, author)

    def take_out(self, entity: Entity, id: int, author: Author) -> None:
        """Delete an item alone."""
        self._remove([(entity, self._find(entity, id))], author)

    def note_gone(self, entity: Entity, id: int, rev: int, state: State, author: Author) -> None:
        """Have the journal say that an item is gone, which has no row."""
        self._remove([(entity, Row(id, rev, 0, state))], author)

    def put_in(self, entity: Entity, id: int, state: State, mark: int) -> None:
        """Write an item of a project that is only being made, without a change."""
        sql = self._entities[entity.name]
        columns = {name: state[name] for name in sql.columns}
        values = {"rev": id, "mark": mark, "fields": _fields(sql.columns, state), **columns}
        self._run(sql.insert, id=id, **values)
        if sql.is_noted:
            self._note_references(entity, id, None, state)

    # Reads.

    def counts(self) -> list[int]:
        """How many items there are of each entity, tasks and links first."""
        return [self._one(self._entities[entity.name].count)[0] for entity in self.schema]

    def rows(self, entity: Entity) -> Iterator[Row]:
        """All items of an entity, by id.

        Raises:
            ValueError: a row is not what we wrote; the text names it.
        """
        sql = self._entities[entity.name].all
        for count, (id, rev, mark, fields, *columns) in enumerate(self._run(sql)):
            if not count % READ_AT_ONCE:
                self._database.pause()
            try:
                state = self._state(entity, fields, columns)
            except ValueError as error:
                raise ValueError(f"{entity.name} {id} is damaged: {error}") from None
            yield Row(id, rev, mark, state)

    def read(self) -> StoredPlan:
        """All that a plan begins with; its parts are read from the database as they are asked for.

        Raises:
            ValueError: a row is not what we wrote; the text names it.
        """
        journal = self.journal
        items = (
            (entity, row.id, row.state, self.wire(self.encode(entity, row)))
            for entity in self.schema
            for row in self.rows(entity)
        )
        touched = journal.touched()
        return StoredPlan(
            journal.seq(),
            journal.horizon(),
            journal.marks(),
            self.shape,
            journal.folded(),
            items,
            touched,
        )

    def encode(self, entity: Entity, row: Row) -> bytes:
        mark = row.mark ^ self.shape
        return entity.encode(row.id, row.rev, mark, row.state, self._calendar)

    def wire(self, item: bytes) -> bytes:
        """An item's JSON as clients get it, who draw text as HTML."""
        return item if self._markup else text.tell_json(item)

    # The rules. What breaks one is a Conflict; where that is only others' doing, of which
    # the writer may not have heard, _Overtaken. ``rev`` is the change as of which the writer
    # has the item.

    def _check_changed(
        self,
        entity: Entity,
        row: Row,
        state: State,
        author: Author,
        rev: int | None,
    ) -> None:
        pointers = [field for field in entity.references if state[field] != row.state[field]]
        self._check_references(entity, row.id, state, pointers, author, rev)
        if entity is LINK and not pointers and state["type"] != row.state["type"]:
            self._check_link(row.id, state, author)

    def _check_references(
        self,
        entity: Entity,
        id: int,
        state: State,
        fields: Collection[str],
        author: Author,
        rev: int | None = None,
    ) -> None:
        for pointer in fields:
            if state[pointer] == 0 and pointer in entity.optional:
                continue
            self._check_exists(entity, entity.references[pointer], state[pointer])
            if entity is TASK and id:
                self._check_ancestors(id, state[pointer], author, rev)
        if entity is LINK and fields:
            self._check_link(id, state, author)

    def _check_exists(self, entity: Entity, pointed: str, id: int | str) -> None:
        kind = self.schema.entities[pointed]
        if not self._is_there(kind, id):
            refusal = _Overtaken if self._was_there(kind, id) else Conflict
            raise refusal(
                f"The {pointed} that this {entity.name} belongs to is not there (any more)."
            )

    def _check_ancestors(self, id: int, parent: int, author: Author, rev: int | None) -> None:
        if self._undone != self._database.undone:
            self._undone = self._database.undone
            self._ancestors.forget()
        if not self._ancestors.contain(parent, id):
            return
        moved = self._moved_by_others(author, rev)
        overtaken = not moved.isdisjoint(self._ancestors.between(parent, id))
        refusal = _Overtaken if overtaken else Conflict
        raise refusal("A task cannot be placed inside itself or its own subtasks.")

    def _climb(self, id: int) -> Iterator[int]:
        for (above,) in self._run(self._sql.climb, id=id):
            yield above

    def _moved_by_others(self, author: Author, rev: int | None) -> set[int]:
        """The tasks to which others gave another parent since a page had ``rev``, or in the
        last seconds."""
        lately = self._now() - LATELY if rev is None else 0
        return {
            each.id
            for each in self._moves()
            if each.seq > (rev or 0) and each.at >= lately and author.is_other_than(each.author)
        }

    def _moves(self) -> list[Moved]:
        # Of a batch that is refused whole, each row would ask for the same.
        last = self.journal.seq()
        if self._moves_at != last:
            self._spend(LAST_MOVES / LOOKED_AT)
            self._moves_known = self.journal.moved(last - LAST_MOVES)
            self._moves_at = last
        return self._moves_known

    def _check_link(self, id: int, state: State, author: Author) -> None:
        source, target = state["source"], state["target"]
        if source == target:
            raise Conflict("A task cannot be linked to itself.")
        self._check_twins(id, state, author)
        if self._waits(target, source, id):
            refusal = _Overtaken if self._is_closed_by_others(id, state, author) else Conflict
            raise refusal(
                "This link would close a circle: the task where it begins already waits, "
                "directly or through others, for the task where it ends."
            )

    def _check_twins(self, id: int, state: State, author: Author) -> None:
        ends = {"source": state["source"], "target": state["target"], "but": id}
        for twin, fields in self._run(self._sql.twins, **ends).fetchall():
            if orjson.loads(fields).get("type") == state["type"]:
                refusal = _Overtaken if twin in self._linked_by_others(author) else Conflict
                raise refusal("These two tasks are linked in this way already.")

    def _waits(self, start: int, end: int, without: int) -> bool:
        """Whether a task is tied behind another, by links other than one."""
        links = {"source": start, "but": without}
        for (waiting,) in self._run(self._sql.waiting, **links):
            self._spend(1 / LOOKED_AT)
            if waiting == end:
                return True
        return False

    def _was_there(self, entity: Entity, id: int | str) -> bool:
        return isinstance(id, int) and 0 < id < 1 << 63 and self.journal.knows(entity, id)

    def _is_closed_by_others(self, id: int, state: State, author: Author) -> bool:
        """Whether a link that others have drawn lately is part of the circle that a new one
        would close."""
        start, end = state["target"], state["source"]
        for other in self._linked_by_others(author):
            try:
                link = self._find(LINK, other).state
            except NotFound:
                continue
            reached = link["source"] == start or self._waits(start, link["source"], id)
            if reached and (link["target"] == end or self._waits(link["target"], end, id)):
                return True
        return False

    def _linked_by_others(self, author: Author) -> list[int]:
        """The links that others have added or tied elsewhere in the last seconds."""
        lately = self.journal.lately(LINK, self._now() - LATELY)
        return [each.id for each in lately if author.is_other_than(each.author)]

    def _dates(self, present: State, sent: State, changed: AbstractSet[str]) -> State:
        try:
            return dates.complete(self._calendar, present, sent, changed)
        except ValueError as error:
            raise BadRequest(f"The dates do not fit: {error}.") from None

    # The order of rows.

    def _moved(self, entity: Entity, row: Row, state: State, target: str) -> State:
        """What a drop or a new parent changes in where the row stands."""
        moves: State = {}
        branch = _branch(entity, state)
        elsewhere = branch != _branch(entity, row.state)
        if target:
            moves["target"] = target
            current = None if elsewhere else row.state["sortorder"]
            place = self._place(entity, branch, target, row.id, current)
            if place:
                return {**moves, "sortorder": place}
        # Of tasks it says that the row is alone in its branch.
        to_the_end = target == LAST and entity is not TASK
        if elsewhere or to_the_end:
            moves["sortorder"] = self._end_of(entity, branch)
        return moves

    def _place(
        self, entity: Entity, branch: int, target: str, id: int, current: str | None
    ) -> str | None:
        """The sort key beside a target, or None when the target stands elsewhere by now.

        ``current`` is the key that the row has in this branch; it is kept where it fits.
        """
        below, neighbour = parse_target(target)
        if not neighbour or neighbour == id:
            return None
        try:
            beside = self._find(entity, neighbour).state
        except NotFound:
            return None
        if _branch(entity, beside) != branch:
            return None
        key = beside["sortorder"]
        order = self._orders[entity.name]
        sql = order.below if below else order.above
        found = self._one(sql, parent=branch, but=id, key=key, most=1)
        other = found[0] if found else None
        low, high = (key, other) if below else (other, key)
        if current and (low is None or low < current) and (high is None or current < high):
            return current
        return fractional_index.between(low, high)

    def _free(self, entity: Entity, state: State, id: int) -> str:
        """A sort key itself, or the next to it where another row has it by now."""
        order = self._orders[entity.name]
        sortorder: str = state["sortorder"]
        beside = {"parent": _branch(entity, state), "but": id, "key": sortorder}
        if not self._one(order.taken, **beside):
            return sortorder
        found = self._one(order.below, **beside, most=1)
        return fractional_index.between(sortorder, found[0] if found else None)

    def _make_room(
        self, entity: Entity, row: Row | None, state: State, author: Author
    ) -> list[Change]:
        """Space neighbours anew where a row would get a long key, and give it a short one.

        Their changes belong to its own, which has to be recorded next.
        """
        if not entity.ordered:
            return []
        key = state["sortorder"]
        if len(key) <= fractional_index.LONG or (row and row.state["sortorder"] == key):
            return []
        branch, order = _branch(entity, state), self._orders[entity.name]
        around = {
            "parent": branch,
            "but": row.id if row else 0,
            "key": key,
            "most": NEIGHBOURS // 2 + 1,
        }
        above = self._run(order.above, **around).fetchall()[::-1]
        below = self._run(order.below, **around).fetchall()
        low = above.pop(0)[0] if len(above) > NEIGHBOURS // 2 else None
        high = below.pop()[0] if len(below) > NEIGHBOURS // 2 else None
        rows = [*above, *below]
        keys = fractional_index.spread(low, high, len(rows) + 1)
        if max(map(len, keys)) > len(key) - WORTHWHILE or self._left < len(rows):
            return []
        if row and row.state["sortorder"] in keys:
            # It has this key until its own change.
            at = keys.index(row.state["sortorder"])
            keys[at] = fractional_index.between(
                keys[at], keys[at + 1] if at + 1 < len(keys) else high
            )
        state["sortorder"] = keys.pop(len(above))
        moved = [(id, old, new) for (old, id), new in zip(rows, keys, strict=True) if old != new]
        cause_seq = self.journal.seq() + len(moved) + 1
        olds = [low or "", *(old for old, _ in rows), high or _END]
        self.journal.space(entity, cause_seq, branch, olds, [olds[0], *keys, olds[-1]])
        # No two may have one key, nor change their places on the way.
        down = [each for each in moved if each[2] < each[1]]
        up = [each for each in reversed(moved) if each[2] > each[1]]
        changes = []
        for id, old, new in up + down:
            self._spend(1)
            found = self._find(entity, id)
            diff = {"sortorder": [old, new]}
            spaced = {**found.state, "sortorder": new}
            changes.append(self._save(entity, found, spaced, diff, author, cause_seq=cause_seq))
        return changes

    def _follow_spacings(self, entity: Entity, state: State, since: int) -> None:
        """Bring a key of an earlier day to where its neighbours are now."""
        key = state["sortorder"]
        for old, new in self.journal.spacings(entity, _branch(entity, state), since):
            if old[0] < key < old[-1]:
                at = bisect_right(old, key)
                low, high = new[at - 1], new[at]
                if not low < key < high:
                    key = fractional_index.between(low or None, None if high == _END else high)
        state["sortorder"] = key

    def _end_of(self, entity: Entity, branch: int) -> str:
        last = self._one(self._orders[entity.name].last, parent=branch)[0]
        return fractional_index.between(last, None)

    # Rows and journal.

    def _find(self, entity: Entity, id: int | str) -> Row:
        if isinstance(id, int) and 0 < id < 1 << 63:
            found = self._one(self._entities[entity.name].find, id=id)
            if found:
                rev, mark, fields, *columns = found
                return Row(id, rev, mark, self._state(entity, fields, columns))
            if self.journal.knows(entity, id):
                raise NotFound(f"This {entity.name} has been deleted.", deleted=True)
        raise NotFound(f"There is no such {entity.name}.")

    def _is_there(self, entity: Entity, id: int | str) -> bool:
        if not isinstance(id, int) or not 0 < id < 1 << 63:
            return False
        return self._one(self._entities[entity.name].find, id=id) is not None

    def _state(self, entity: Entity, fields: str, columns: list[Any]) -> State:
        state: State = orjson.loads(fields)
        if type(state) is not dict:
            raise ValueError("its fields are no JSON object")
        state.update(zip(self._entities[entity.name].columns, columns, strict=True))
        return state

    def _later(self, row: Row, edit: Patch, author: Author) -> list[tuple[Diff, bool]]:
        """The changes after the writer's ``_rev``, newest first, and which of them its
        screen shows all the same: its own, made since that very ``_rev`` came. An own
        one from before was overwritten by what brought the ``_rev``.

        Raises:
            Stale: it was no revision of this item, or what came since is forgotten; so what
                others changed cannot be told from what this writer changed.
        """
        if edit.rev is None or (edit.has_all and edit.rev >= row.rev):
            return []
        if edit.rev == row.rev:
            self._check_mark(edit, row.mark)
            return []
        changes = self.journal.later(row.id, edit.rev) if edit.rev < row.rev else []
        self._spend(len(changes) / LINES_READ)
        if not changes or changes[-1].previous > edit.rev:
            raise Stale(STALE)
        if not edit.has_all:
            if not 0 < edit.rev <= changes[-1].previous:
                raise Stale(STALE)
            self._check_mark(edit, changes[-1].previous_mark)
        return [
            (each.fields, bool(author.client_id) and each.is_of(author.client_id, edit.rev))
            for each in changes
        ]

    def _check_mark(self, edit: Patch, mark: int) -> None:
        """See that the revision from which a writer saves is one of this history."""
        if edit.mark is not None and edit.mark != marks.show(mark ^ self.shape):
            raise Stale(STALE)

    def _dependents(self, entity: Entity, row: Row) -> list[tuple[Entity, Row]]:
        """The row and all that goes with it, each before what it points to."""
        found = {row.id: (entity, row)}
        self._spend(1)
        waiting = deque(found.values())
        while waiting:
            pointed, above = waiting.popleft()
            for other, pointer in self.schema.pointing[pointed.name]:
                sql = self._entities[other.name].pointing[pointer]
                for (id,) in self._run(sql, pointed=above.id).fetchall():
                    if id not in found:
                        self._spend(1)
                        found[id] = (other, self._find(other, id))
                        waiting.append(found[id])
        # Links first, and below before above: so no client is ever told to keep a row
        # whose parent it has dropped, nor a link whose end it has dropped.
        rows = list(reversed(found.values()))
        rows.sort(key=lambda each: each[0] is TASK)
        return rows

    def _save(
        self,
        entity: Entity,
        row: Row | None,
        state: State,
        diff: Diff,
        author: Author,
        id: int | None = None,
        request: str = "",
        base_rev: int = 0,
        dropped: State | None = None,
        cause_seq: int = 0,
    ) -> Change:
        """Write a row and its line in the journal. A new item has its change's number
        for an id, unless it had one before it was deleted."""
        seq, mark = self.journal.next(), self._new_mark()
        id = row.id if row else id or seq
        sql = self._entities[entity.name]
        names = sql.columns
        values = {
            "project": self.project,
            "id": id,
            "rev": seq,
            "mark": mark,
            "fields": _fields(names, state),
        }
        if row is not None and diff.keys().isdisjoint(names):
            self._execute(sql.update_fields, values)
        else:
            for name in names:
                values[name] = state[name]
            self._execute(sql.update if row else sql.insert, values)
            if row and "parent" in diff:
                self._ancestors.moved(id)
        if sql.is_noted:
            self._note_references(entity, id, row.state if row else None, state)
        item = entity.encode(id, seq, mark ^ self.shape, state, self._calendar)
        change = Change(
            seq,
            cause_seq or seq,
            self.project,
            entity,
            id,
            "update" if row else "add",
            author,
            self._now(),
            diff if row else recorded(diff),
            base_rev,
            row.rev if row else 0,
            item,
            state["parent"] if entity is TASK else 0,
            state.get("sortorder", ""),
            self.wire(item),
            dropped or {},
            mark,
            row.mark if row else 0,
            self._group,
        )
        self.journal.record(change, request)
        return change

    def _note_references(self, entity: Entity, id: int, before: State | None, state: State) -> None:
        """Note to what an item points from now on; ``before`` is None for one that is new."""
        pointed = {state[field] for field in entity.references if state.get(field)}
        if before is not None:
            if pointed == {before[field] for field in entity.references if before[field]}:
                return
            self._run(self._references.forget, id=id)
        for each in pointed:
            self._run(self._references.note, pointed=each, item=id, entity=entity.name)

    def _remove(
        self, doomed: list[tuple[Entity, Row]], author: Author, request: str = ""
    ) -> WriteResult:
        """Delete rows; the last of them is the one that was to go."""
        numbers = [self.journal.next() for _ in doomed]
        at = self._now()
        changes = []
        for seq, (entity, row) in zip(numbers, doomed, strict=True):
            sql = self._entities[entity.name]
            self._run(sql.delete, id=row.id)
            if sql.is_noted:
                self._note_references(entity, row.id, row.state, {})
            self._ancestors.moved(row.id)
            fields = recorded(merge.diff(row.state, {}))
            change = Change(
                seq,
                numbers[-1],
                self.project,
                entity,
                row.id,
                "delete",
                author,
                at,
                fields,
                previous=row.rev,
                mark=self._new_mark(),
                previous_mark=row.mark,
                group_seq=self._group,
            )
            self.journal.record(change, request if seq == numbers[-1] else "")
            changes.append(change)
        entity, row = doomed[-1]
        return WriteResult(entity, row.id, author, tuple(changes))

    def _run(self, sql: Statement, **params: Any) -> Any:
        """Execute SQL on what is of this project."""
        params["project"] = self.project
        return self._execute(sql, params)

    def _one(self, sql: Statement, **params: Any) -> Any:
        return self._run(sql, **params).fetchone()


class _ChangedSince(Conflict):
    """What is to be undone was changed by somebody else since."""

    def __init__(self, message: str, author: Author) -> None:
        super().__init__(message)
        self.user = author.user


class _Overtaken(Conflict):
    """It breaks a rule only because others were faster."""


def _ties(entity: Entity, before: State, after: State) -> list[str]:
    """The fields in which an item is tied to others, as far as they are changed."""
    fields = (*entity.references, "type") if entity is LINK else entity.references
    return [field for field in fields if after[field] != before[field]]


def _undone_with(entity: Entity, fields: Iterable[str]) -> set[str]:
    """The fields that are taken back together with the given ones, and themselves."""
    found = merge.whole(fields)
    # A row's place is its sort key; where it was dropped is only how it came there.
    return found - {"target"} if entity.ordered else found


def _span(merged: State, sent: State) -> State:
    """The dates of an appointment.

    Raises:
        BadRequest: one is missing, or they contradict each other.
    """
    try:
        return dates.span(merged, sent, bool(merged.get("rrule") or merged.get("rec_type")))
    except ValueError as error:
        raise BadRequest(f"The dates do not fit: {error}.") from None


def _branch(entity: Entity, state: State) -> int:
    """Among whose children an item has its place: the order of all but tasks is one."""
    return state["parent"] if entity is TASK else 0


def _fields(columns: tuple[str, ...], state: State) -> str:
    """What of an item has no column."""
    rest = {name: value for name, value in state.items() if name not in columns}
    return orjson.dumps(rest).decode()


def _differs(edit: Patch, state: State) -> bool:
    """Whether a writer sent something that was not taken as it is."""
    return any(not merge.same(state.get(field), value) for field, value in edit.values.items())


def _is_stale(row: Row, edit: Patch, later: Sequence[tuple[Diff, bool]]) -> bool:
    """Whether the client only sends again a drop that has been carried out.

    It keeps ``target`` until an echo clears it. A page whose ``_rev`` is the latest has
    had that echo, so its target is a new drop even onto the same neighbour.
    """
    if edit.rev is None and edit.target == row.state.get("target"):
        return True
    return any(edit.target == fields["target"][1] for fields, _ in later if "target" in fields)
