"""What a database holds of a plan, for the loop to begin with. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gantt_tornado.model.entities import Entity, State
from gantt_tornado.model.marks import Marks


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """A plan as it is stored; ``items`` and ``touched`` can be read once.

    ``seq`` is its last change, ``horizon`` the last that is forgotten, ``marks`` those of the
    changes since, ``shape`` what is folded into them for pages, and ``history`` to be noted.
    ``items`` holds entity,
    id, fields and what clients get, ``touched`` the last change of each item: id, ``seq``,
    entity and the last change that gave it another parent, 0 for none.
    """

    seq: int
    horizon: int
    marks: Marks
    shape: int
    history: int
    items: Iterable[tuple[Entity, int, State, bytes]]
    touched: Iterable[tuple[int, int, Entity, int]]
