"""Changes and undos as clients are told of them. Pure.

Serves ``GET /data/history``, ``GET /data/changes`` and ``POST /data/undo/{seq}`` of
docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from gantt_tornado.model.change import Change, WriteResult
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import Entity

#: Changes in a page of the history, by default and at most.
USUAL: Final = 50
MOST: Final = 500


def page_size(wanted: int | None) -> int:
    """How many changes a page of the history may have."""
    return USUAL if wanted is None else min(wanted, MOST)


def history_page(changes: Iterable[Change], calendar: Calendar) -> bytes:
    """The body of a page of the history."""
    return orjson.dumps({"history": [line(change, calendar) for change in changes]})


def line(change: Change, calendar: Calendar) -> dict[str, Any]:
    """A change as the history shows it: ``at`` in UTC, ``fields`` as field → [old, new]."""
    fields = {
        field: [_shown(change.entity, field, value, calendar) for value in values]
        for field, values in change.fields.items()
        if field != "target" or not change.entity.ordered
    }
    return {
        "seq": change.seq,
        "group": change.group,
        "entity": change.entity.name,
        "id": change.id,
        "action": change.action,
        "user": change.author.user,
        "at": time_shown(change.at),
        "fields": fields,
        "dropped": {**change.dropped},
    }


def followed(change: Change, calendar: Calendar) -> dict[str, Any]:
    """The same for programs that follow all that is committed, also what nobody asked for:
    ``makes_room`` is true for a row that got another sort key for the sake of one beside it."""
    told = line(change, calendar)
    return told | {"makes_room": True} if change.makes_room else told


def _shown(entity: Entity, field: str, value: Any, calendar: Calendar) -> Any:
    # The journal has dates as they are stored; old lines may have None or another value there.
    dated = field in entity.dates and isinstance(value, str)
    return calendar.show(value) if dated else value


def time_shown(at: int) -> str:
    """A moment in UTC, of milliseconds since 1970."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")


def undone(result: WriteResult) -> dict[str, Any]:
    """What became of an undo."""
    item = orjson.loads(result.wire) if result.wire else None
    changes = [
        {"seq": each.seq, "entity": each.entity.name, "id": each.id, "action": each.action}
        for each in result.changes
    ]
    left = [
        {"entity": each.entity.name, "id": each.id, "user": each.user, "message": each.message}
        for each in result.left
    ]
    done = {"action": "undone", "tid": result.id, "change": result.change, "item": item}
    return {**done, "changes": changes, "left": left}
