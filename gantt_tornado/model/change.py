"""A committed change: what was written, by whom, and what became of the item. Pure.

What is made for each write is a named tuple: a frozen dataclass takes eight times as long.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import orjson

from gantt_tornado.model.entities import Entity
from gantt_tornado.model.merge import Diff

#: Of most writes nothing was dropped.
NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Author(NamedTuple):
    """Who writes: a user, and the page (``Remote-Device``) where it is known."""

    user: str
    client_id: str = ""

    def is_other_than(self, author: Author) -> bool:
        """Whether two changes are of different people, or of one at different pages."""
        if self.user != author.user:
            return True
        return bool(self.client_id and author.client_id) and self.client_id != author.client_id


#: For what a program writes on its own.
NOBODY: Final = Author("")


class Change(NamedTuple):
    """One change as the journal holds it, with the item as it is after it.

    ``cause_seq`` is the change that was asked for: its own ``seq``, but for what a delete
    took with it. ``base_rev`` is the ``_rev`` that the item had on the writer's screen, 0
    where it is unknown, and ``previous`` its revision before. ``item`` is the item's
    JSON and ``wire`` the same as clients get it, both empty for a delete; ``parent`` and
    ``sortorder`` say where a task stands. ``at`` is in milliseconds since 1970. ``dropped``
    holds what the writer sent besides and what others had made impossible by then. ``mark``
    says of which history ``seq`` is, and ``previous_mark`` the same of ``previous``.
    ``group_seq`` is the first of the changes of one batch or one undo, 0 for a write of its own.
    """

    seq: int
    cause_seq: int
    project: int
    entity: Entity
    id: int
    action: str
    author: Author
    at: int
    recorded: Diff | str
    base_rev: int = 0
    previous: int = 0
    item: bytes = b""
    parent: int = 0
    sortorder: str = ""
    wire: bytes = b""
    dropped: Mapping[str, Any] = NOTHING
    mark: int = 0
    previous_mark: int = 0
    group_seq: int = 0

    @property
    def group(self) -> int:
        """The same number for all changes that are undone together."""
        return self.group_seq or self.cause_seq

    @property
    def fields(self) -> Diff:
        """Field → [old, new]."""
        changed: Diff = (
            orjson.loads(self.recorded) if isinstance(self.recorded, str) else self.recorded
        )
        return changed

    @property
    def moved(self) -> bool:
        """Whether a row stands elsewhere than before."""
        if self.action != "update" or self.makes_room:
            return False
        return "sortorder" in self.fields or "parent" in self.fields

    @property
    def makes_room(self) -> bool:
        """Whether it only gave a row another key, in its old place, for the sake of another."""
        return made_room(self.action, self.cause_seq, self.seq)


class Touched(NamedTuple):
    """The last change of an item, also of one that is gone.

    ``reparented`` is the last change that gave it another parent, 0 for none. ``resent``
    tells that its state was sent again behind change ``seq``, which need not be its own.
    ``refused`` are names of fields that pages may show although the item lacks them.
    """

    seq: int
    entity: Entity
    deleted: bool
    reparented: int = 0
    resent: bool = False
    refused: AbstractSet[str] = frozenset()

    def is_after(self, seq: int) -> bool:
        """Whether a page that has all up to change ``seq`` may lack it."""
        return self.seq > seq or (self.resent and self.seq == seq)


def made_room(action: str, cause_seq: int, seq: int) -> bool:
    # A delete takes others with it; nothing else has a change that was not asked for.
    return action == "update" and cause_seq != seq


@dataclass(frozen=True, slots=True)
class Left:
    """An item that an undo left as it is: ``user`` has changed it since, empty where it is
    not known or a rule of the plan forbids it; ``message`` says which."""

    entity: Entity
    id: int
    user: str
    message: str


class WriteResult(NamedTuple):
    """What became of one write.

    ``item`` is the item's JSON now, and ``wire`` the same as clients get it, in which text
    is HTML. ``differs`` tells that it is not what the writer has on its screen, because
    others' edits were merged into it. ``dropped`` holds what others have made impossible,
    and ``gone`` tells that this was all: the item was added and deleted in one. ``left``
    holds what an undo did not take back, and ``repeats`` the change that the same request
    has made before.
    """

    entity: Entity
    id: int
    author: Author
    changes: tuple[Change, ...]
    item: bytes = b""
    differs: bool = False
    wire: bytes = b""
    dropped: Mapping[str, Any] = NOTHING
    gone: bool = False
    left: tuple[Left, ...] = ()
    repeats: int | None = None

    @property
    def change(self) -> int | None:
        """The number of the change that was made, None where nothing had to be changed. An
        undo of it undoes all that belongs to it."""
        return self.changes[-1].seq if self.changes else self.repeats


#: The client's words for what became of a row → the answer's.
ACTIONS: Final[Mapping[str, str]] = {
    "inserted": "inserted",
    "updated": "updated",
    "order": "updated",
    "deleted": "deleted",
}


@dataclass(frozen=True, slots=True)
class BatchRow:
    """One row of a batch: one of :data:`ACTIONS`, the id that the row has on the page, and
    its fields."""

    action: str
    id: str
    fields: dict[str, Any]
