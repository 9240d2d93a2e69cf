"""The present state of a plan in memory, as the bytes that clients get.

It lives on the loop, and one owner, the backend, applies each committed change to it in
commit order. Load and replay are answered from here: no disk, no ``await``, so nothing
falls between what a page loads and what it is told afterwards.

Items are kept encoded, in blocks whose joined bytes are kept too, so that after one
change only its block is joined again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

import orjson

from gantt_tornado.model import protocol
from gantt_tornado.model.change import Change, Touched
from gantt_tornado.model.encoding import encode_json
from gantt_tornado.model.entities import TASK, Entity
from gantt_tornado.model.event import EVENT, SERIES
from gantt_tornado.model.marks import FOREIGN, Marks, Position
from gantt_tornado.model.schema import GANTT, Schema
from gantt_tornado.model.stored_plan import StoredPlan

#: Items in a block. Small enough to join at once, large enough that blocks are few.
BLOCK: Final = 256
#: Bytes up to which nobody loads again for what is told.
SMALL: Final = 64 << 10
#: Bytes that stand around an item in the events that tell it.
_AROUND: Final = 300


# Each is itself alone, so that one is found among thousands without comparing their items.
@dataclass(slots=True, eq=False)
class _Block:
    ids: list[int] = field(default_factory=list)
    joined: bytes | None = None


class Sequence:
    """Encoded items in an order, joined by commas block by block."""

    def __init__(self) -> None:
        self._items: dict[int, bytes] = {}
        self._blocks: list[_Block] = []
        self._block_of: dict[int, _Block] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, id: int) -> bool:
        return id in self._items

    def __getitem__(self, id: int) -> bytes:
        return self._items[id]

    def get(self, id: int) -> bytes | None:
        return self._items.get(id)

    def replace(self, id: int, item: bytes) -> None:
        self._items[id] = item
        self._block_of[id].joined = None

    def append(self, id: int, item: bytes) -> None:
        block = self._blocks[-1] if self._blocks else None
        if block is None or len(block.ids) >= BLOCK:
            block = _Block()
            self._blocks.append(block)
        self._put(block, len(block.ids), id, item)

    def insert_by_id(self, id: int, item: bytes) -> None:
        """Put an item where its id belongs among ascending ones."""
        if not self._blocks or self._blocks[-1].ids[-1] < id:
            self.append(id, item)
            return
        block = max(bisect_left(self._blocks, id, key=lambda block: block.ids[0]) - 1, 0)
        ids = self._blocks[block].ids
        at = bisect_left(ids, id)
        self.insert_after(ids[at - 1] if at else None, id, item)

    def insert_after(self, before: int | None, id: int, item: bytes) -> None:
        """Put an item behind another, or first."""
        if not self._blocks:
            self.append(id, item)
            return
        block = self._blocks[0] if before is None else self._block_of[before]
        self._put(block, 0 if before is None else block.ids.index(before) + 1, id, item)
        if len(block.ids) > 2 * BLOCK:
            self._split(block, BLOCK)

    def move(self, first: int, last: int, before: int | None) -> None:
        """Put a run of items behind another that is not of it, or first.

        Blocks go as they are, joined; only those at the ends of the run are split.
        """
        start = self._start(first)
        end = self._end(last)
        run = self._blocks[start:end]
        del self._blocks[start:end]
        at = 0 if before is None else self._end(before)
        self._blocks[at:at] = run
        self._merge()

    def remove(self, id: int) -> bytes:
        block = self._block_of.pop(id)
        block.ids.remove(id)
        block.joined = None
        if not block.ids:
            self._blocks.remove(block)
        return self._items.pop(id)

    def in_order(self, ids: Iterable[int]) -> list[int]:
        """Some of the items in their order. Only blocks that hold any of them are searched."""
        wanted = set(ids)
        blocks = {self._block_of[id] for id in wanted}
        return [id for block in self._blocks if block in blocks for id in block.ids if id in wanted]

    def chunks(self) -> list[bytes]:
        """The items as JSON, a chunk a block; a comma belongs between two chunks."""
        for block in self._blocks:
            if block.joined is None:
                block.joined = b",".join([self._items[id] for id in block.ids])
        return [block.joined for block in self._blocks if block.joined is not None]

    def _put(self, block: _Block, at: int, id: int, item: bytes) -> None:
        block.ids.insert(at, id)
        block.joined = None
        self._block_of[id] = block
        self._items[id] = item

    def _start(self, id: int) -> int:
        """Where the block stands that begins with an item; one is split for it."""
        block = self._block_of[id]
        at = block.ids.index(id)
        if at == 0:
            return self._blocks.index(block)
        self._split(block, at)
        return self._blocks.index(block) + 1

    def _end(self, id: int) -> int:
        """Behind which place a block stands that ends with an item; one is split for it."""
        block = self._block_of[id]
        at = block.ids.index(id) + 1
        if at < len(block.ids):
            self._split(block, at)
        return self._blocks.index(block) + 1

    def _merge(self) -> None:
        """Make one block of two that are small, or each move would leave more of them."""
        merged: list[_Block] = []
        for block in self._blocks:
            if merged and len(merged[-1].ids) + len(block.ids) <= BLOCK:
                merged[-1].ids += block.ids
                merged[-1].joined = None
                self._block_of.update(dict.fromkeys(block.ids, merged[-1]))
            else:
                merged.append(block)
        self._blocks = merged

    def _split(self, block: _Block, at: int) -> None:
        rest = _Block(block.ids[at:])
        del block.ids[at:]
        block.joined = None
        self._blocks.insert(self._blocks.index(block) + 1, rest)
        for id in rest.ids:
            self._block_of[id] = rest


#: What is remembered of an event to find it by its time.
SPAN: Final = ("start_date", "end_date", "is_exception")
Span = tuple[str, str, bool]


def _span(state: Mapping[str, Any]) -> Span:
    known = state.get("is_exception", False)
    pointers = [state[name] for name in SERIES if name in state]
    return state["start_date"], state["end_date"], any(pointers) if pointers else known


_Place = tuple[int, int, int | None, int | None]


class _Tree:
    """Who stands below whom, in which order."""

    def __init__(self) -> None:
        self.place: dict[int, tuple[int, str]] = {}
        self._children: dict[int, list[tuple[str, int]]] = {}

    def add(self, id: int, parent: int, sortorder: str) -> None:
        self.place[id] = (parent, sortorder)
        insort(self._children.setdefault(parent, []), (sortorder, id))

    def remove(self, id: int) -> None:
        parent, sortorder = self.place.pop(id)
        siblings = self._children[parent]
        del siblings[bisect_left(siblings, (sortorder, id))]
        if not siblings:
            del self._children[parent]

    def children(self, id: int) -> list[int]:
        return [child for _, child in self._children.get(id, ())]

    def index(self, id: int) -> int:
        parent, sortorder = self.place[id]
        return bisect_left(self._children[parent], (sortorder, id))

    def sibling(self, id: int, at: int) -> int | None:
        """The child of ``id``'s parent at a place, if there is one."""
        siblings = self._children[self.place[id][0]]
        return siblings[at][1] if 0 <= at < len(siblings) else None

    def subtree(self, id: int) -> list[int]:
        """The item and all below it, as they are drawn."""
        found = []
        waiting = [id]
        while waiting:
            id = waiting.pop()
            found.append(id)
            waiting.extend(child for _, child in reversed(self._children.get(id, ())))
        return found

    def last(self, id: int) -> int:
        """What is drawn last of the item and all below it."""
        while children := self._children.get(id):
            id = children[-1][1]
        return id

    def stands(self, id: int) -> _Place:
        """Where a task stands: its parent, its index, who is above and who below."""
        parent, sortorder = self.place[id]
        siblings = self._children[parent]
        index = bisect_left(siblings, (sortorder, id))
        above = siblings[index - 1][1] if index else None
        below = siblings[index + 1][1] if index + 1 < len(siblings) else None
        return parent, index, above, below

    def copy(self, ids: Iterable[int]) -> _Tree:
        """Where some tasks stand now among their siblings, whatever comes later."""
        copy = _Tree()
        copy.place = {id: self.place[id] for id in ids}
        parents = {parent for parent, _ in copy.place.values()}
        copy._children = {parent: self._children[parent].copy() for parent in parents}
        return copy

    def previous(self, id: int) -> int | None:
        """What is drawn on the row above: None for the first row of all."""
        at = self.index(id)
        if at == 0:
            return self.place[id][0] or None
        above = self.sibling(id, at - 1)
        assert above is not None
        return self.last(above)


def _move_value(id: int, parent: int, index: int, above: int | None, below: int | None) -> bytes:
    target = f"next:{'null' if above is None else above}"
    if above is None and below is not None:
        target = str(below)
    return protocol.move_value(id, parent, index, target)


def _values(entity: Entity, id: int, item: bytes | None, place: _Place | None) -> list[bytes]:
    """Event values after which any client has an item so; None for one that is gone."""
    if item is None:
        return entity.tell_gone(id)
    values = [entity.tell(action, item) for action in ("add", "update")]
    return values if place is None else [*values, _told_place(entity, id, item, place)]


def _told_place(entity: Entity, id: int, item: bytes, place: _Place) -> bytes:
    return _move_value(id, *place) if entity is TASK else entity.tell_place(id, item, place[3])


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Some items of an entity as they are at a moment, whatever comes later.

    Thousands of rows are copied at once, so it holds what can be copied without a step of
    ours for each. Event values are made while they are gone through, which may be done in
    slices, and several times.
    """

    entity: Entity
    ids: list[int]
    #: None for an item that is gone.
    items: list[bytes | None]
    #: Where those stand that have an order.
    tree: _Tree
    #: Tasks that a client may not show below their parent.
    lost: AbstractSet[int] = frozenset()
    #: What a client has as it is, or not at all.
    same: AbstractSet[int] = frozenset()

    def __iter__(self) -> Iterator[list[bytes]]:
        """For each item, event values after which any client has it so."""
        for id, item in zip(self.ids, self.items, strict=True):
            place = self.tree.stands(id) if id in self.tree.place else None
            values = _values(self.entity, id, item, place)
            if item is not None and id in self.lost:
                values.insert(1, _at_the_top(item))
            elif id in self.same:
                # More would be drawn over what its user does.
                del values[1:]
            yield values


def _at_the_top(item: bytes) -> bytes:
    """What a task is told as before it is told with its parent, to be shown below it.

    The stock client loses a row whose parent it has not got: it holds the row and does not
    show it, or shows it at the top, and an update with the same parent changes nothing.
    """
    return protocol.item_value(
        "update-task", "task", encode_json(orjson.loads(item) | {"parent": 0})
    )


class Plan:
    """All items of one project, and which change touched each of them last.

    ``seq`` is the last change contained, ``horizon`` the last one that the journal has
    forgotten: what happened after the horizon can be replayed. ``marks`` are those of the
    changes since, into which ``shape`` is folded for pages, and ``history`` to be noted.
    ``schema`` says which entities there are.
    """

    def __init__(
        self,
        seq: int = 0,
        horizon: int = 0,
        marks: Marks | None = None,
        shape: int = 0,
        history: int = 0,
        schema: Schema = GANTT,
    ) -> None:
        self.seq = seq
        self.schema = schema
        self._marks = marks or Marks(seq)
        self._shape = shape
        self._history = history
        #: Counts what the plan was told: changes, and states that were sent again.
        self.version = 0
        self.horizon = horizon
        self._sequences = {name: Sequence() for name in schema.entities}
        self._trees = {each.name: _Tree() for each in schema if each.ordered}
        self._tree = self._trees[TASK.name]
        # Event → its start, its end, and the series of which it is an exception.
        self._spans: dict[int, Span] = {}
        # In the order of the last touch, so that what changed since is its tail.
        self._touched: dict[int, Touched] = {}
        # Task → what points to it beside its children, and back.
        self._hanging: dict[int, dict[int, Entity]] = {}
        self._points: dict[int, set[int]] = {}

    @classmethod
    def of(cls, stored: StoredPlan, schema: Schema = GANTT) -> Plan:
        """The plan as it is stored. Call it where the database may be read."""
        plan = cls(stored.seq, stored.horizon, stored.marks, stored.shape, stored.history, schema)
        tasks = {}
        for entity, id, state, item in stored.items:
            if entity is TASK:
                tasks[id] = item
                plan._tree.add(id, state["parent"], state["sortorder"])
            else:
                if entity.ordered:
                    plan._trees[entity.name].add(id, 0, state["sortorder"])
                plan._sequences[entity.name].append(id, item)
                plan._hang(entity, id, state)
                if entity.spanned:
                    plan._spans[id] = _span(state)
        for root in plan._tree.children(0):
            for id in plan._tree.subtree(root):
                plan._sequences["task"].append(id, tasks[id])
        # Join all blocks here, off the loop; after a change only its own is joined again.
        plan.load()
        for id, seq, entity, reparented in stored.touched:
            # The rows say what is gone: a line of the journal may be damaged.
            deleted = plan.item(entity, id) is None
            plan._touched[id] = Touched(seq, entity, deleted, reparented)
        return plan

    def become(self, other: Plan) -> None:
        """Take over what another plan holds; whoever refers to this one sees it there."""
        version = self.version + 1
        vars(self).update(vars(other))
        self.version = version

    def apply(self, change: Change) -> None:
        """Bring the state on by one change. They must come in the order of ``seq``."""
        self.version += 1
        before = self._touched.pop(change.id, None)
        reparented = before.reparented if before else 0
        if change.action == "update" and "parent" in change.fields:
            reparented = change.seq
        deleted = change.action == "delete"
        refused = before.refused if before else frozenset()
        self._touched[change.id] = Touched(
            change.seq, change.entity, deleted, reparented, refused=refused
        )
        sequence = self._sequences[change.entity.name]
        if change.action == "delete":
            sequence.remove(change.id)
            if change.entity.ordered:
                self._trees[change.entity.name].remove(change.id)
        elif change.entity.ordered:
            self._apply_ordered(sequence, self._trees[change.entity.name], change)
        elif change.id in sequence:
            sequence.replace(change.id, change.wire)
        else:
            sequence.insert_by_id(change.id, change.wire)
        if change.entity is not TASK:
            item = orjson.loads(change.wire) if change.wire else {}
            self._hang(change.entity, change.id, item)
        if change.entity.spanned:
            self._note_span(change)
        self._marks.add(change.seq, change.mark)
        # Last, so that no load claims to have what could not be applied.
        self.seq = change.seq

    def _note_span(self, change: Change) -> None:
        if change.action == "delete":
            del self._spans[change.id]
            return
        before = self._spans.get(change.id)
        state = dict(zip(SPAN, before, strict=True)) if before else {}
        state |= {name: new for name, (_, new) in change.fields.items()}
        self._spans[change.id] = _span(state)

    def _hang(self, entity: Entity, id: int, item: Mapping[str, Any]) -> None:
        """Note to what an item points; a deleted one is empty and points to nothing."""
        for old in self._points.pop(id, ()):
            del self._hanging[old][id]
            if not self._hanging[old]:
                del self._hanging[old]
        pointed = {item[field] for field in entity.references if item.get(field)}
        if pointed:
            self._points[id] = pointed
            for new in pointed:
                self._hanging.setdefault(new, {})[id] = entity

    def _apply_ordered(self, items: Sequence, tree: _Tree, change: Change) -> None:
        place = (change.parent, change.sortorder)
        if tree.place.get(change.id) == place:
            items.replace(change.id, change.wire)
            return
        if change.id not in items:
            tree.add(change.id, *place)
            items.insert_after(tree.previous(change.id), change.id, change.wire)
            return
        last = tree.last(change.id)
        tree.remove(change.id)
        tree.add(change.id, *place)
        before = tree.previous(change.id)
        if last == change.id:
            items.remove(change.id)
            items.insert_after(before, change.id, change.wire)
        else:
            items.replace(change.id, change.wire)
            items.move(change.id, last, before)

    def forget(self, horizon: int) -> None:
        """The journal has forgotten all changes up to ``horizon``."""
        self.horizon = horizon
        self._marks.forget(horizon)
        self.version += 1
        while self._touched:
            id = next(iter(self._touched))
            if self._touched[id].seq > horizon:
                return
            del self._touched[id]

    # Reading.

    def __len__(self) -> int:
        """How many items there are."""
        return sum(map(len, self._sequences.values()))

    def __bool__(self) -> bool:
        return True

    def load(self, assignments: bool = True) -> list[bytes]:
        """The answer to ``GET /data`` in chunks, tasks as they are drawn.

        ``assignments`` are for those who ask: the free client would hang them up at each
        task under the name ``undefined``, and send them so with every edit.
        """
        chunks: list[bytes] = []
        for entity in self.schema:
            if not entity.in_load:
                continue
            sequence = self._sequences[entity.name]
            # The client takes an empty list of an optional entity for a switch.
            if not sequence and entity.name not in ("task", "link"):
                continue
            if entity.name == "assignment" and not assignments:
                continue
            chunks.append(b'%s"%s":' % (b"," if chunks else b"{", entity.channel.encode()))
            chunks += self.items(entity)
        chunks.append(b',"seq":"%s"}' % str(self.position()).encode())
        return chunks

    def items(self, entity: Entity) -> list[bytes]:
        """All items of an entity as a list, in chunks."""
        chunks = chain(*((chunk, b",") for chunk in self._sequences[entity.name].chunks()))
        return [b"[", *list(chunks)[:-1], b"]"]

    def load_events(self, since: str, until: str) -> list[bytes]:
        """The answer to ``GET /events`` in chunks: what takes place between two stored dates,
        "" for no limit, and all exceptions, since a page needs those of the series that it has.
        """
        sequence = self._sequences[EVENT.name]
        if since or until:
            chosen = [
                id
                for id, (start, end, is_exception) in self._spans.items()
                if is_exception or ((not until or start < until) and (not since or end > since))
            ]
            chunks = [b",".join([sequence[id] for id in chosen])]
        else:
            chunks = self.items(EVENT)[1:-1]
        return [b'{"data":[', *chunks, b'],"seq":"%s"}' % str(self.position()).encode()]

    def position(self, seq: int | None = None) -> Position:
        """A change as pages know it; the last one where none is named."""
        seq = self.seq if seq is None else seq
        return Position(seq, self._marks.get(seq) ^ self._shape)

    def stored_position(self) -> Position:
        """The last change as it is known at the next start, whatever pages are shown."""
        return Position(self.seq, self._marks.get(self.seq) ^ self._history)

    def number(self, position: Position) -> int:
        """The number of a change that a page names, :data:`~gantt_tornado.model.marks.FOREIGN`
        where it is of another history, or forgotten."""
        is_ours = self._marks.get(position.seq) ^ self._shape == position.mark
        return position.seq if is_ours else FOREIGN

    def item(self, entity: Entity, id: int) -> bytes | None:
        """The item's JSON, or None where there is none."""
        return self._sequences[entity.name].get(id)

    def knows(self, entity: Entity, id: int) -> bool:
        """Whether there is such an item, or was, as far as remembered."""
        touched = self._touched.get(id)
        return id in self._sequences[entity.name] or (
            touched is not None and touched.entity is entity
        )

    def touched(self, id: int) -> int:
        """The change at which an item was touched last, 0 where that is forgotten."""
        touched = self._touched.get(id)
        return touched.seq if touched else 0

    def points_to(self, entity: Entity, id: int) -> Iterable[int]:
        """The tasks to which an item points; a deleted one points to none."""
        if entity is not TASK:
            return self._points.get(id, ())
        place = self._tree.place.get(id)
        return place[:1] if place else ()

    def in_order(self, tasks: Iterable[int]) -> list[int]:
        """Tasks as they are drawn: parents before what is below them."""
        return self._sequences["task"].in_order(tasks)

    def stands_last(self, entity: Entity, id: int) -> bool:
        """Whether a task is the last in its branch, or another item the last of all."""
        tree = self._trees[entity.name]
        return tree.sibling(id, tree.index(id) + 1) is None

    def adjoin(self, above: int, below: int, but: int) -> bool:
        """Whether a task stands directly below another of its branch, if a third one that
        may stand between them is left out."""
        at = self._tree.index(above) + 1
        if self._tree.sibling(above, at) == but:
            at += 1
        return self._tree.sibling(above, at) == below

    def move_value(self, entity: Entity, id: int) -> bytes:
        """The ``move-task`` event that puts an item where it stands now."""
        item = self._sequences[entity.name][id]
        return _told_place(entity, id, item, self._trees[entity.name].stands(id))

    def upsert(
        self, entity: Entity, id: int, refused: AbstractSet[str] = frozenset()
    ) -> list[bytes]:
        """Event values after which any client has the item as it is, whatever it had, or gone.

        Of the fields that were ``refused`` those that the item lacks are null: clients
        cannot unlearn a field.
        """
        item = self._item_sent(entity, id, refused)
        place = self._trees[entity.name].stands(id) if item and entity.ordered else None
        return _values(entity, id, item, place)

    def added_since(self, seq: int) -> Iterator[int]:
        """The tasks that are there and were not at change ``seq``."""
        for id, touched in reversed(self._touched.items()):
            if not touched.is_after(seq):
                return
            # An id is the number of the change that added the item.
            if touched.entity is TASK and not touched.deleted and id > seq:
                yield id

    def below(self, tasks: Iterable[int]) -> set[int]:
        """All that is below some tasks, at any depth. Each is looked at once, whichever of
        the tasks are below others."""
        found: set[int] = set()
        waiting = list(tasks)
        while waiting:
            below = set(self._tree.children(waiting.pop())) - found
            found |= below
            waiting += below
        return found

    def whole(self, id: int) -> list[tuple[Entity, int]]:
        """An item with all that goes when the client drops it: tasks as they are drawn,
        then what hangs on them."""
        if id not in self._tree.place:
            return [(kind, id) for kind in self.schema if id in self._sequences[kind.name]]
        tasks = self._tree.subtree(id)
        hanging: dict[int, Entity] = {}
        for task in tasks:
            hanging |= self._hanging.get(task, {})
        return [*((TASK, task) for task in tasks), *((kind, id) for id, kind in hanging.items())]

    def resent(
        self, entity: Entity, id: int, refused: AbstractSet[str] = frozenset()
    ) -> list[bytes]:
        """Event values that bring any client to the item's state, or to its absence.

        Whoever is away just now misses them, so for a replay the item counts as touched
        once more, behind the last change.
        """
        deleted = self.item(entity, id) is None
        known = self._touched.get(id)
        if deleted and (known is None or known.entity is not entity):
            # It never was, or is something else.
            return []
        self.version += 1
        known = self._touched.pop(id, None)
        reparented = known.reparented if known else 0
        if known and not refused:
            refused = known.refused
        self._touched[id] = Touched(self.seq, entity, deleted, reparented, True, refused)
        return self.upsert(entity, id, refused)

    def reload_value(self) -> bytes:
        """The event value that tells pages to load again."""
        return protocol.reload_value(str(self.position()))

    def reaches(self, since: int) -> bool:
        """Whether all that happened since a change is remembered."""
        return self.horizon <= since <= self.seq

    def missed(
        self,
        channel: str,
        since: int,
        without: AbstractSet[int] = frozenset(),
        reloads: bool = False,
    ) -> Iterable[list[bytes]]:
        """Event values, item by item, that bring a page from ``since`` to ``seq``: as it is
        now, whatever comes later. Where the journal does not reach back, that is to load again;
        and for a page that ``reloads`` where it is told to, also where that would be less.

        Deletes come first, then add + update of what is there, parents before children;
        one that a page has already is harmless. What left a task that may have been
        deleted is there with all that hangs on it: the page may have dropped it. Of the
        items ``without`` nothing is told.
        """
        if channel not in self.schema.channels:
            return []
        if not self.reaches(since):
            return [[self.reload_value()]]
        touched = self._touched_after(since)
        if reloads and self._outgrows_load(touched):
            return [[self.reload_value()]]
        found = [
            self._missed_of(entity, since, touched, without)
            for entity in self.schema.told_on(channel)
        ]
        return found[0] if len(found) == 1 else list(chain(*found))

    def _missed_of(
        self,
        entity: Entity,
        since: int,
        touched: Mapping[int, Touched],
        without: AbstractSet[int],
    ) -> Snapshot:
        own = [id for id, each in touched.items() if each.entity is entity and id not in without]
        gone = [id for id in own if touched[id].deleted]
        there = [id for id in own if not touched[id].deleted]
        there += self._astray(entity, since, touched).difference(there, without)
        rescued = self._rescued(there, since, touched) if gone and entity is TASK else []
        ids = [*self._drawn(entity, rescued), *reversed(gone), *self._drawn(entity, there)]
        return self.snapshot(entity, ids)

    def snapshot(
        self,
        entity: Entity,
        ids: list[int],
        lost: AbstractSet[int] = frozenset(),
        same: AbstractSet[int] = frozenset(),
    ) -> Snapshot:
        """Some items as they are now, whatever comes later."""
        items = list(map(self._sequences[entity.name].get, ids))
        for index, id in enumerate(ids):
            if (touched := self._touched.get(id)) and touched.refused:
                items[index] = self._item_sent(entity, id, touched.refused)
        tree = self._trees[entity.name] if entity.ordered else _Tree()
        return Snapshot(entity, ids, items, tree.copy(tree.place.keys() & ids), lost, same)

    def _item_sent(self, entity: Entity, id: int, refused: AbstractSet[str]) -> bytes | None:
        """An item as pages are sent it: with null for refused fields that it lacks."""
        item = self._sequences[entity.name].get(id)
        if item and refused:
            lacks = refused - orjson.loads(item).keys()
            if lacks:
                # It may be of some megabytes, and is not written anew for a few names.
                item = encode_json(dict.fromkeys(sorted(lacks)))[:-1] + b"," + item[1:]
        return item

    def _touched_after(self, seq: int) -> dict[int, Touched]:
        """What a page that has all up to a change may lack; the last touched is the first."""
        found = {}
        for id, touched in reversed(self._touched.items()):
            if not touched.is_after(seq):
                break
            found[id] = touched
        return found

    def _outgrows_load(self, touched: Mapping[int, Touched]) -> bool:
        """Whether it would be less to load again than to be told these items; of what is
        little, it is not."""
        left = max(SMALL, sum(map(len, self.load())))
        for id, each in touched.items():
            left -= _AROUND + 4 * len(self._sequences[each.entity.name].get(id) or b"")
            if left < 0:
                return True
        return False

    def _astray(self, entity: Entity, since: int, touched: Mapping[int, Touched]) -> set[int]:
        """What a page may have dropped by itself, with a task that it deleted, below
        which it still showed others."""
        tasks = {id: each for id, each in touched.items() if each.entity is TASK}
        if not any(each.deleted for each in tasks.values()):
            return set()
        left = [id for id, each in tasks.items() if each.reparented > since and not each.deleted]
        whole = (self.whole(id) for id in left)
        return {id for each in whole for kind, id in each if kind is entity}

    def _rescued(self, there: list[int], since: int, touched: Mapping[int, Touched]) -> list[int]:
        """Tasks to be moved before others are deleted, with the new parents that they need.

        The client drops a deleted task's whole subtree with its links. A task that left
        that subtree in the meantime would go too, with rows below it that nobody touched.
        """
        rescued: set[int] = set()
        for id in there:
            # What hangs below a task that moved may have changed before all that is remembered.
            if id in touched and touched[id].reparented > since:
                while id not in rescued and id in touched:
                    rescued.add(id)
                    id = self._tree.place[id][0]
        return list(rescued)

    def _drawn(self, entity: Entity, ids: list[int]) -> list[int]:
        return self._sequences[entity.name].in_order(ids) if entity.ordered else ids[::-1]
