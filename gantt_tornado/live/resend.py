"""Sending pages again what they may show although it is not what is stored.

The stock client drops what arrives for an item while its own request for that item is in
flight, draws what arrives over an edit that was just begun, keeps what was refused, and
drops with a deleted task whatever it still shows below it. In each of these cases the
item's present state is sent to all once more, about a second after the last touch. Where
an answer came that late, or a page stood still for so long, the client drops that too; so
it is sent a third time some seconds later. Lives on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from gantt_tornado.live.delayed import Delayed, Steps
from gantt_tornado.live.hub import Hub
from gantt_tornado.live.inserts import STOOD_STILL, Inserts
from gantt_tornado.live.plan import Plan
from gantt_tornado.live.touches import Touches
from gantt_tornado.model.change import Author, WriteResult
from gantt_tornado.model.entities import TASK, Entity, is_name

#: Seconds from the last touch of an item to its resending.
DELAY: Final = 1.0
#: Names of refused fields that are remembered of an item. A row has some twenty.
MOST_REFUSED: Final = 100
#: Seconds after which every page that is connected has heard of a move.
REMEMBERED: Final = 60.0


@dataclass(slots=True)
class _Due:
    """An item that is to be resent, and the names of fields that were refused of it."""

    entity: Entity
    refused: set[str] = field(default_factory=set)


class Resend:
    """Decides which items are sent again, and when.

    Args:
        plan: what is stored.
        hub: tells it.
        inserts: knows who can be told of what is new.
        touches: who touched what.
        is_told: whether all that ``plan`` contains has been published. As long as it is
            ahead, where a row stands now, and what it points to, would come before the
            news that it depends on.
        delay: in seconds.
        stood_still: seconds from there to sending it a third time.
    """

    def __init__(
        self,
        plan: Plan,
        hub: Hub,
        inserts: Inserts,
        touches: Touches,
        is_told: Callable[[], bool],
        delay: float = DELAY,
        stood_still: float = STOOD_STILL,
    ) -> None:
        self._plan = plan
        self._hub = hub
        self._inserts = inserts
        self._touches = touches
        self._former_parents = FormerParents()
        # A branch that is deleted can have been left by thousands.
        self._due: Delayed[int, _Due] = Delayed(delay, self._resend, is_told)
        self._third: Delayed[int, _Due] = Delayed(stood_still, self._resend_third, is_told)
        # Deleted task → having sent again what was refused to be below it.
        self._gathering: Steps[int] = Steps()

    def written(self, outcome: WriteResult) -> Iterator[None]:
        """A write has been answered and told. In steps, for it may have thousands of rows."""
        for change in outcome.changes:
            yield
            if change.action == "update":
                for pointer in change.entity.references.keys() & change.fields.keys():
                    self._left(change.id, change.fields[pointer][0])
            # Whoever adds counts as unknown: a page that was adding a row itself just
            # then has put this one off, and would miss its first edit.
            writer = "" if change.action == "add" else change.author.client_id
            # The client draws a replay over an edit that was begun just then.
            drawn_over = self._hub.replayed(change.previous)
            self.touch(change.entity, change.id, writer, disputed=drawn_over)
        # The writer has on its screen what was merged or dropped, or what is gone. And where
        # nothing was to be changed, the client may have dropped what others did meanwhile.
        if outcome.differs or outcome.gone:
            item = outcome.entity, outcome.id
            yield from self._gather(self._dispute(*item, outcome.author, outcome.dropped))
        elif not outcome.changes and self._plan.knows(outcome.entity, outcome.id):
            self.touch(outcome.entity, outcome.id, outcome.author.client_id)
        gone = [each.id for each in outcome.changes if each.action == "delete"]
        yield from self._gather(gone)

    def refused(self, entity: Entity, id: int, author: Author, sent: Mapping[str, Any]) -> None:
        """A write has left an item as it was, and its writer's page shows what was sent."""
        # A request under a wrong name must not take the place of what is due.
        if not self._plan.knows(entity, id):
            return
        deleted = self._dispute(entity, id, author, sent)
        due = self._due.get(id)
        assert due is not None
        names = entity.own({name: None for name in sent if is_name(name)})
        due.refused |= set(islice(names, MOST_REFUSED))
        for parent in deleted:
            self._gathering.put(parent, self._gather([parent]))

    def _dispute(
        self, entity: Entity, id: int, author: Author, shown: Mapping[str, Any]
    ) -> list[int]:
        """A page shows something else of an item than what is stored. Returns the deleted task
        below which it shows it, if it does."""
        self.touch(entity, id, author.client_id, disputed=True)
        parent = shown.get("parent")
        if (
            entity is TASK
            and isinstance(parent, int)
            and parent not in self._plan.points_to(TASK, id)
        ):
            self._left(id, parent)
            if self._plan.item(TASK, parent) is None:
                return [parent]
        return []

    def touch(self, entity: Entity, id: int, writer: str, *, disputed: bool = False) -> None:
        """Note that ``writer`` touched an item.

        A writer that cannot be told from others is ``""`` and counts as another each
        time. ``disputed`` has the item resent whoever came before: what is stored is
        not what somebody has on the screen. What is touched in one turn of the loop is
        resent in the same order.
        """
        now = asyncio.get_running_loop().time()
        together = self._touches.note(id, writer, now)
        due = self._due.get(id)
        if disputed or together or due:
            self._due.put(id, due or _Due(entity))

    def close(self) -> None:
        self._due.close()
        self._third.close()
        self._gathering.close()

    def _left(self, id: int, parent: int) -> None:
        # Nobody can delete the top of the plan.
        if parent:
            self._former_parents.left(id, parent, asyncio.get_running_loop().time())

    def _gather(self, deleted: list[int]) -> Iterator[None]:
        """Have sent again what pages may have dropped with what was deleted. In steps."""
        now = asyncio.get_running_loop().time()
        found: set[int] = set()
        while deleted:
            for task in self._former_parents.of(deleted.pop(), now):
                for entity, id in self._plan.whole(task):
                    if id not in found:
                        found.add(id)
                        deleted.append(id)
                        self.touch(entity, id, "", disputed=True)
                        yield

    def _resend(self, id: int, due: _Due) -> None:
        self._send(id, due)
        self._third.put(id, due)

    def _resend_third(self, id: int, due: _Due) -> None:
        # What was touched meanwhile is sent again anyway.
        if id not in self._due:
            self._send(id, due)

    def _send(self, id: int, due: _Due) -> None:
        # A client that begins an edit just now draws the resent state over it, and may
        # drop the echo.
        self._touches.note(id, "", asyncio.get_running_loop().time())
        self._hub.counts.resends += 1
        values = self._plan.resent(due.entity, id, due.refused)
        self._hub.publish(self._inserts.events(due.entity, id, values))


class FormerParents:
    """Where tasks, links and what else hangs on tasks were attached until lately."""

    def __init__(self, remembered: float = REMEMBERED) -> None:
        self._remembered = remembered
        # Former parent → what left it, and when; the last that was left is the last here.
        self._left: dict[int, dict[int, float]] = {}

    def left(self, id: int, parent: int, now: float) -> None:
        """Note that pages may show an item below a task, where it is not."""
        ids = self._left.pop(parent, {})
        ids.pop(id, None)
        ids[id] = now
        self._left[parent] = ids
        # The oldest stand first, of the parents and at each parent.
        while ids[next(iter(ids))] < now - self._remembered:
            del ids[next(iter(ids))]
        while self._latest(next(iter(self._left))) < now - self._remembered:
            del self._left[next(iter(self._left))]

    def of(self, parent: int, now: float) -> list[int]:
        """What pages may show below a task although it is not there any more."""
        since = now - self._remembered
        return [id for id, when in self._left.get(parent, {}).items() if when >= since]

    def _latest(self, parent: int) -> float:
        return next(reversed(self._left[parent].values()))
