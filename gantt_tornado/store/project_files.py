"""A project as lines of JSON: the first says what it is, each other is an item.

Items have their ids and all their fields as they are stored, so that what is read in again is the
same plan, with the same rows in the same order. The history stays behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, BinaryIO, Final

import orjson
from peewee import IntegrityError

from gantt_tornado.errors import BadRequest, TooLarge
from gantt_tornado.model import marks, text
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import Entity, kind_of
from gantt_tornado.model.project_info import LONGEST_TITLE, ProjectInfo
from gantt_tornado.model.schema import OURS
from gantt_tornado.store.database import Compile, Database, Statement
from gantt_tornado.store.items import Store
from gantt_tornado.store.projects import Projects
from gantt_tornado.store.tables import Setting

#: Of the form of the file.
VERSION: Final = 1
#: How a file begins.
BEGINNING: Final = b'{"gantt-tornado":'
#: Ids from here on are none: those of what is added later come behind the largest, and pages count
#: exactly up to twice as many.
_NO_ID: Final = 1 << 52


def _html(compile: Compile) -> Statement:
    return compile(Setting.select(Setting.value).where(Setting.name == "html"))


def html_of(database: Database) -> str:
    """How text is kept, as the configuration spells it; "" where nothing says so."""
    found = database.execute(database.prepared(_html)).fetchone()
    return str(found[0]) if found else ""


def lines(database: Database, info: ProjectInfo, calendar: Calendar) -> Iterator[bytes]:
    """A project's lines, each with its line feed. Call it inside a transaction.

    Raises:
        ValueError: a row is not what we wrote; the text names it.
    """
    head = {
        "gantt-tornado": VERSION,
        **{"project": info.name, "title": info.title, "public": info.public},
        **{"timezone": calendar.zone, "duration_unit": calendar.unit},
        "html": html_of(database),
    }
    yield _line(head)
    store = Store(database, calendar, info.id, schema=OURS)
    for entity in OURS:
        for row in store.rows(entity):
            yield _line({"entity": entity.name, "id": row.id, "fields": row.state})


def _line(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)


def bounded(file: BinaryIO, most: int) -> Iterator[bytes]:
    """The lines of a file, none of which is read into memory beyond ``most`` bytes.

    Raises:
        BadRequest: one is longer.
    """
    for number in count(1):
        line = file.readline(most + 1)
        if not line:
            return
        if len(line) > most:
            raise BadRequest(f"line {number}: it has more than {most} bytes: see max_body")
        yield line


def read(
    database: Database,
    sent: Iterable[bytes],
    calendar: Calendar,
    name: str = "",
    most: int = 0,
) -> ProjectInfo:
    """Add a project from its lines, inside a transaction, which has to be undone where this raises.

    Where text is HTML, it is cleaned, as that of any write.

    Args:
        name: that it shall have; "" for the one in the file.
        most: items that a plan may have, 0 for any number.

    Raises:
        BadRequest: a line is not what :func:`lines` writes; the text has its number.
        Conflict: there is a project of this name.
        TooLarge: it has more items than a plan may.
    """
    numbered = enumerate(sent, 1)
    number, first = next(numbered, (1, b""))
    head = _object(number, first)
    html = html_of(database)
    _check_head(head, calendar, html)
    registry = Projects(database)
    info = registry.create(name or _text(head, "project"), _text(head, "title"))
    if head.get("public") is True:
        registry.set_public(info.name, True)
    store = Store(database, calendar, info.id, schema=OURS)
    last = 0
    mark = marks.source()()
    known: set[int] = set()
    for number, line in numbered:
        if not line.strip():
            continue
        entity, id, state = _item(number, _object(number, line), calendar)
        if id in known:
            raise BadRequest(f"line {number}: there is another item with the id {id}")
        known.add(id)
        if most and len(known) > most:
            raise TooLarge(f"line {number}: a plan may have {most} items: see max_items")
        if html == "clean":
            state = text.each(text.clean, state)
        last = max(last, id)
        try:
            store.put_in(entity, id, state, mark)
        except IntegrityError as error:
            raise BadRequest(f"line {number}: it cannot be kept: {error}") from None
    registry.begin_after(info.id, last, mark)
    return registry.named(info.name)


def _check_head(head: Mapping[str, Any], calendar: Calendar, html: str) -> None:
    if head.get("gantt-tornado") != VERSION:
        raise BadRequest(f"line 1: it is no project that version {VERSION} of export has written")
    here = {"timezone": calendar.zone, "duration_unit": calendar.unit, "html": html}
    for key, value in here.items():
        if head.get(key) != value:
            raise BadRequest(f"line 1: {key} is {head.get(key)!r} there, and {value!r} here")


def _text(head: Mapping[str, Any], field: str) -> str:
    value = head.get(field)
    if not isinstance(value, str):
        raise BadRequest(f"line 1: {field} is no text")
    if len(value) > LONGEST_TITLE:
        raise BadRequest(f"line 1: {field} is no text of up to {LONGEST_TITLE} characters")
    return value


def _object(number: int, line: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"line {number}: it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest(f"line {number}: it is no JSON object")
    return value


def _item(
    number: int, sent: Mapping[str, Any], calendar: Calendar
) -> tuple[Entity, int, dict[str, Any]]:
    entity = OURS.entities.get(sent["entity"]) if isinstance(sent.get("entity"), str) else None
    id, fields = sent.get("id"), sent.get("fields")
    if entity is None or not isinstance(fields, dict) or type(id) is not int:
        raise BadRequest(f"line {number}: entity, id and fields are needed")
    if not 0 < id < _NO_ID:
        raise BadRequest(f"line {number}: {id} is no id")
    if not fields.keys() >= set(entity.place):
        raise BadRequest(f"line {number}: {', '.join(entity.place)} are needed")
    if any(type(fields[name]) is not kind_of(name) for name in entity.place):
        raise BadRequest(f"line {number}: {', '.join(entity.place)}: one of them cannot be kept")
    if entity.sound(fields, calendar) is not fields:
        raise BadRequest(f"line {number}: no page could draw it")
    return entity, id, fields
