"""Whether a plan keeps its own rules, and whether the journal says the same as the rows.

No write of ours breaks them. A disk can, a program that writes to the file beside us, and an error
of ours. What can be mended is told with its cure, which changes as little as it can; pages must
load again afterwards. The rows are what is served, so where the journal disagrees, they win.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from peewee import SQL, fn

from gantt_tornado.model import cycles, fractional_index
from gantt_tornado.model.change import Author, Change
from gantt_tornado.model.entities import DEFAULT_PROJECT, LINK, TASK, Entity, kind_of
from gantt_tornado.model.project_info import DEFAULT, NAME
from gantt_tornado.store.database import Compile, Database, ReadError, Statement
from gantt_tornado.store.items import Damaged, Row, Store
from gantt_tornado.store.tables import ITEMS, JournalLine, Project, Setting
from gantt_tornado.store.text_conversion import WAYS

#: Who has changed what was mended.
MENDER: Final = Author("gantt-tornado check", "")
#: Lines of the journal that are read at once.
AT_ONCE: Final = 500

_BY_HAND: Final = "take a backup, or delete the row by hand"

Cure = Callable[[Store], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong, for people to read; ``cure`` is None where nothing helps but a
    backup."""

    text: str
    cure: Cure | None = None


#: By the name of the entity, then by id.
Rows = Mapping[str, Mapping[int, Row]]


def faults(store: Store) -> list[Fault]:
    """All that is wrong in one plan. Call it inside a transaction: rows and journal have to be of
    one moment."""
    rows, found = _rows(store)
    if found:
        # What is missing would be told of all that points to it.
        return found
    found += _bad_ids(rows)
    found += _bad_horizon(store)
    found += _unsound(store)
    found += _bad_places(rows)
    found += _bad_parents(rows)
    found += _bad_references(rows, store.schema)
    found += _bad_links(rows)
    # What was found before is mended first, and then the journal is read anew.
    return found or [*_disagreements(store, rows)]


def _statements(compile: Compile) -> tuple[Statement, Statement, list[tuple[str, Statement]]]:
    """Reads the settings, the projects, and of each table what belongs to no project."""
    known = Project.select(Project.id)
    models: tuple[Any, ...] = (*ITEMS, JournalLine)
    stray = []
    for model in models:
        lost = model.select(model.project, fn.COUNT(SQL("*"))).group_by(model.project)
        sql = compile(lost.where(model.project.not_in(known)))
        stray.append((str(model._meta.table_name), sql))
    settings = compile(Setting.select(Setting.value).where(Setting.name == "html"))
    return settings, compile(Project.select(Project.id, Project.name)), stray


def around(database: Database) -> list[str]:
    """What is wrong in a database beside its plans. Nothing helps but a backup, or a hand."""
    settings, projects, stray = database.prepared(_statements)
    named = dict(database.execute(projects).fetchall())
    found = []
    if named.get(DEFAULT_PROJECT) != DEFAULT:
        found.append(f"there is no project {DEFAULT!r}, and no server starts without it")
    if database.execute(settings).fetchone() not in ((way,) for way in WAYS):
        found.append("the setting html is missing, which says how text is kept")
    for name in named.values():
        if not NAME.fullmatch(str(name)):
            found.append(f"a project has the name {name!r}, which no address can have")
    for table, sql in stray:
        for project, count in database.execute(sql).fetchall():
            found.append(f"{count} rows of {table} belong to project {project}, which is not there")
    return found + [f"the index {name} is missing" for name in sorted(_missing(database))]


def _missing(database: Database) -> set[str]:
    """The indexes that a new database has, and this one has not."""
    new = Database("sqlite:///:memory:")
    new.open()
    try:
        return new.indexes() - database.indexes()
    finally:
        new.close()


def _rows(store: Store) -> tuple[Rows, list[Fault]]:
    rows: dict[str, dict[int, Row]] = {}
    found = []
    for entity in store.schema:
        own = rows[entity.name] = {}
        last = 0
        try:
            for row in store.rows(entity):
                own[row.id], last = row, row.id
                found += [Fault(text) for text in _wrong_columns(entity, row)]
        except ValueError as error:
            found.append(Fault(f"{error}: {_BY_HAND}"))
        except ReadError as error:
            found.append(Fault(f"{entity.name} behind {last} is damaged: {error}: {_BY_HAND}"))
    return rows, found


def _wrong_columns(entity: Entity, row: Row) -> Iterator[str]:
    for name in entity.place:
        if type(row.state[name]) is not kind_of(name):
            yield f"{entity.name} {row.id}: its {name} is {row.state[name]!r}"


def _bad_ids(rows: Rows) -> Iterator[Fault]:
    for name, own in rows.items():
        for id in own:
            if id < 1:
                yield Fault(f"{name} {id}: that is no id: {_BY_HAND}")


def _bad_horizon(store: Store) -> Iterator[Fault]:
    horizon, last = store.journal.horizon(), store.journal.seq()
    if horizon > last:
        yield Fault(f"changes up to {horizon} are forgotten, and the last one was {last}")


def _unsound(store: Store) -> Iterator[Fault]:
    for damaged in store.damaged():
        yield _replaced(damaged, "it has fields that no page can draw")
    for damaged in store.uncleaned():
        yield _replaced(damaged, "it has markup that is not let in: it could run as a script")


def _replaced(damaged: Damaged, text: str) -> Fault:
    entity, row, _ = damaged
    return Fault(f"{entity.name} {row.id}: {text}", lambda store: store.mend([damaged]))


def _bad_places(rows: Rows) -> Iterator[Fault]:
    taken = set()
    for id, row in rows[TASK.name].items():
        parent, key = row.state["parent"], row.state["sortorder"]
        if not fractional_index.is_key(key):
            yield Fault(f"task {id}: its sort key {key!r} is none", _to_the_end(id, parent))
        elif (parent, key) in taken:
            yield Fault(f"task {id}: another task has its place", _to_the_end(id, parent))
        taken.add((parent, key))


def _bad_parents(rows: Rows) -> Iterator[Fault]:
    parents = {id: row.state["parent"] for id, row in rows[TASK.name].items()}
    for id, parent in parents.items():
        if parent and parent not in parents:
            yield Fault(f"task {id}: its parent {parent} is not there", _to_the_end(id, 0))
    # 0 for those that lead to the top, or to what is not there.
    known = dict.fromkeys({0, *parents.values()} - parents.keys(), 0)
    for id in parents:
        way = []
        while id not in known:
            known[id] = 0
            way.append(id)
            id = parents[id]
        if way and id in way:
            yield Fault(f"task {id}: it stands below itself", _to_the_end(id, 0))


def _bad_references(rows: Rows, entities: Iterable[Entity]) -> Iterator[Fault]:
    for entity in entities:
        if entity is TASK:
            continue
        for id, row in rows[entity.name].items():
            for field, name in entity.references.items():
                is_free = field in entity.optional and not row.state[field]
                if not is_free and row.state[field] not in rows[name]:
                    text = f"{entity.name} {id}: its {field} {row.state[field]} is not there"
                    yield Fault(text, _out(entity, id))
                    break


def _bad_links(rows: Rows) -> Iterator[Fault]:
    good: dict[int, tuple[int, int]] = {}
    known = set()
    for id, row in rows[LINK.name].items():
        source, target = ends = (row.state["source"], row.state["target"])
        if not {source, target} <= rows[TASK.name].keys():
            continue
        if source == target:
            yield Fault(f"link {id}: it leads from a task to itself", _out(LINK, id))
        elif (ends, row.state.get("type")) in known:
            yield Fault(f"link {id}: there is another one of its kind", _out(LINK, id))
        else:
            known.add((ends, row.state.get("type")))
            good[id] = ends
    ids = list(good)
    for place in sorted(cycles.closing((), [*good.values()])):
        yield Fault(f"link {ids[place]}: it closes a circle", _out(LINK, ids[place]))


@dataclass(slots=True)
class _Known:
    """What the journal has of an item: its last change, and the last value of each field."""

    last: Change
    fields: dict[str, Any]
    is_whole: bool = False
    is_closed: bool = False


def _disagreements(store: Store, rows: Rows) -> Iterator[Fault]:
    known, unread = _known(store)
    for seq in unread:
        yield Fault(f"change {seq}: the journal cannot be read there")
    if unread:
        # What it said nobody knows.
        return
    horizon = store.journal.horizon()
    for entity in store.schema:
        for id, row in rows[entity.name].items():
            told = known.pop((entity.name, id), None)
            text = _disagreement(row, told, horizon)
            if text:
                yield Fault(f"{entity.name} {id}: {text}", _recorded(entity, id, told))
    for (_, id), told in known.items():
        if told.last.action != "delete":
            entity = told.last.entity
            cure = _gone(entity, id, told) if told.is_whole else None
            yield Fault(f"{entity.name} {id}: the journal has it, and there is no row", cure)


def _disagreement(row: Row, told: _Known | None, horizon: int) -> str:
    if told is None:
        return "its last change is not in the journal" if row.rev > horizon else ""
    if told.last.action == "delete":
        return f"it is there, and change {told.last.seq} deleted it"
    if told.last.seq != row.rev:
        return f"its last change is {told.last.seq} in the journal, and {row.rev} in its row"
    other = [name for name, value in told.fields.items() if row.state.get(name) != value]
    return f"the journal has other values of {', '.join(sorted(other))}" if other else ""


def _known(store: Store) -> tuple[dict[tuple[str, int], _Known], list[int]]:
    """What the journal has of each item, and which of its lines cannot be read."""
    journal = store.journal
    known: dict[tuple[str, int], _Known] = {}
    unread: list[int] = []
    before = journal.seq() + 1
    while changes := journal.every(before, AT_ONCE):
        for change in changes:
            unread += range(change.seq + 1, before)
            before = change.seq
            _note(known, change)
    # Below the last that can be read.
    unread += range(journal.horizon() + 1, before)
    foreign = journal.undeclared() if unread else ()
    return known, [seq for seq in unread if seq not in foreign]


def _note(known: dict[tuple[str, int], _Known], change: Change) -> None:
    """Take over what an earlier change says of an item."""
    told = known.setdefault((change.entity.name, change.id), _Known(change, {}))
    # What came before it was deleted belongs to an earlier life.
    told.is_closed = told.is_closed or change.action == "delete"
    if told.is_closed:
        return
    for name, (_, new) in change.fields.items():
        told.fields.setdefault(name, new)
    told.is_whole = told.is_closed = change.action == "add"


def _to_the_end(id: int, parent: int) -> Cure:
    return lambda store: store.put_last(id, parent, MENDER)


def _out(entity: Entity, id: int) -> Cure:
    return lambda store: store.take_out(entity, id, MENDER)


def _recorded(entity: Entity, id: int, told: _Known | None) -> Cure:
    is_there = told is not None and told.last.action != "delete"
    known = told.fields if told is not None and is_there else {}
    return lambda store: store.put_right(entity, id, {}, MENDER, known=known)


def _gone(entity: Entity, id: int, told: _Known) -> Cure:
    state = {name: value for name, value in told.fields.items() if value is not None}
    return lambda store: store.note_gone(entity, id, told.last.seq, state, MENDER)
