"""The plan that a new database starts with: a small house, built around today."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from gantt_tornado.model.change import Author
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.store.items import Store

#: Key, parent's key, text, first day counted from today, days, share done, type.
_TASKS: Final = (
    ("design", "", "Design and permits", -24, 0, 0, "project"),
    ("survey", "design", "Site survey", -24, 4, 1, "task"),
    ("sketch", "design", "Architect's drawings", -20, 9, 1, "task"),
    ("structure", "design", "Structural calculations", -13, 6, 1, "task"),
    ("costs", "design", "Cost plan and financing", -14, 7, 1, "task"),
    ("permit", "design", "Building permit granted", -6, 0, 1, "milestone"),
    ("shell", "", "Groundwork and shell", -6, 0, 0, "project"),
    ("dig", "shell", "Excavation", -6, 4, 1, "task"),
    ("drains", "shell", "Drains and service ducts", -2, 2, 0.8, "task"),
    ("foundation", "shell", "Foundation slab", 0, 6, 0.3, "task"),
    ("walls", "shell", "Walls and ceilings", 6, 14, 0, "task"),
    ("roof", "shell", "Roof structure and tiles", 20, 9, 0, "task"),
    ("windows", "shell", "Windows and front door", 24, 5, 0, "task"),
    ("tight", "shell", "Weather-tight", 29, 0, 0, "milestone"),
    ("fitting", "", "Fitting out and handover", 29, 0, 0, "project"),
    ("electric", "fitting", "Electrical installation", 29, 8, 0, "task"),
    ("plumbing", "fitting", "Heating and plumbing", 29, 10, 0, "task"),
    ("plaster", "fitting", "Plaster and screed", 39, 8, 0, "task"),
    ("floors", "fitting", "Floors and tiles", 47, 7, 0, "task"),
    ("paint", "fitting", "Painting", 47, 6, 0, "task"),
    ("keys", "fitting", "Keys handed over", 55, 0, 0, "milestone"),
)

#: Source's key, target's key; all finish-to-start.
_LINKS: Final = (
    ("survey", "sketch"),
    ("sketch", "permit"),
    ("structure", "permit"),
    ("costs", "permit"),
    ("permit", "dig"),
    ("dig", "drains"),
    ("drains", "foundation"),
    ("foundation", "walls"),
    ("walls", "roof"),
    ("roof", "tight"),
    ("windows", "tight"),
    ("tight", "electric"),
    ("tight", "plumbing"),
    ("plumbing", "plaster"),
    ("electric", "plaster"),
    ("plaster", "floors"),
    ("plaster", "paint"),
    ("floors", "keys"),
    ("paint", "keys"),
)


def plant(store: Store, calendar: Calendar) -> None:
    """Add the demo project, inside the caller's transaction."""
    author = Author("demo")
    ids: dict[str, int] = {"": 0}

    def add(entity: str, **fields: Any) -> int:
        kind = ENTITIES[entity]
        return store.insert(kind, kind.read(fields, calendar), author).id

    for key, parent, text, first, days, progress, type in _TASKS:
        start, end = _span(key, first, days)
        ids[key] = add(
            "task",
            text=text,
            type=type,
            parent=ids[parent],
            progress=progress if type != "project" else _share(key),
            start_date=_day(calendar, start),
            end_date=_day(calendar, end),
            **({"open": True} if type == "project" else {}),
        )
    for source, target in _LINKS:
        add("link", source=ids[source], target=ids[target], type="0")


def _span(key: str, first: int, days: int) -> tuple[int, int]:
    """First and last day; a project reaches from its first task to the end of its last."""
    below = [task for task in _TASKS if task[1] == key]
    if not below:
        return first, first + days
    return min(task[3] for task in below), max(task[3] + task[4] for task in below)


def _share(key: str) -> float:
    below = [task for task in _TASKS if task[1] == key and task[4]]
    return round(sum(task[4] * task[5] for task in below) / sum(task[4] for task in below), 2)


def _day(calendar: Calendar, offset: int) -> str:
    moment = datetime.fromisoformat(calendar.today()) + timedelta(days=offset)
    return moment.strftime("%Y-%m-%d %H:%M")
