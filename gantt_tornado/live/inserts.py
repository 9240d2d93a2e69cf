"""What a page cannot be told while it adds a row, and telling it afterwards.

HTTP and the socket are two connections, so the event of a new row can arrive at the page
that posted it before the answer does. The stock client then holds the row twice: under
the id of the event, and under the temporary one that the answer renames. It throws at the
next delete of a link's end, and saves nothing from then on. So what is new is withheld
from its writer's own page until the answer must have arrived.

While a page waits for the answer to a POST, the client puts others' new tasks off, until
all its requests are answered and none is refused, and adds them then as they were. So
what it was told in that time is remembered, and told again when the page has come to rest,
and once more with its own new rows some seconds later: a page that stood still has not
gone through the answer yet, and of a row that went meanwhile with another it throws then.
Of a row below one that was put off the client has lost the place.

A page is known by a uuid of its own: the ``Remote-Device`` of its writes, the ``tab`` of
its socket. Lives on the loop.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from gantt_tornado.errors import is_gone
from gantt_tornado.live.delayed import Delayed
from gantt_tornado.live.hub import Audience, Event, Hub, Listener, encode_event
from gantt_tornado.live.plan import Plan, Snapshot
from gantt_tornado.live.touches import Touches
from gantt_tornado.model.change import Change
from gantt_tornado.model.entities import LINK, TASK, Entity

#: Seconds after which an answer has arrived, and the page has done what follows from it.
ARRIVED: Final = 2.0
#: Seconds that a request may have been under way when it arrives here.
UNDER_WAY: Final = 2.0
#: Seconds by which an added link comes late to sockets without a ``tab`` that may be its
#: writer's. On an ordinary line the answer is there by then.
LATE: Final = 0.3
#: Seconds from there to telling it once more, for a page that stood still meanwhile.
STOOD_STILL: Final = 4.0
#: Seconds in which a page that lost its socket has another, and has sent something again.
RETURNED: Final = 60.0
#: New tasks told lately that are remembered; pages that miss the oldest are replayed more.
MOST_TOLD: Final = 10_000
#: Pages that are remembered for their refused rows, and rows of each.
MOST_PAGES: Final = 1_000
MOST_REFUSED: Final = 100
#: Stands for a refused POST, whose row has no id yet.
NEW: Final = 0


@dataclass(slots=True, eq=False)
class _Withheld:
    """A new item, from whom it is withheld, and what else they miss for its sake."""

    audience: Audience
    #: Item → its entity, and the change as of which they know it, 0 for none.
    missed: dict[int, tuple[Entity, int]]


@dataclass(slots=True)
class _Told:
    """When a new task was told last, the last change when it was told first, and the page
    that has added it."""

    at: float
    seq: int
    page: str
    entity: Entity = TASK


@dataclass(slots=True)
class _Adding:
    """A page that has been adding rows: it may have put off what it was told since."""

    since: float
    #: When it was told that again, and whether it still had a refused row.
    told_again: float = 0.0
    was_refused: bool = False
    #: A change since which it was replayed, or told what is not remembered; None for none.
    replay_from: int | None = None


class Request:
    """One request of a page, under way inside its ``with``."""

    __slots__ = ("_adds", "_id", "_inserts", "_page")

    def __init__(self, inserts: Inserts, page: str, id: int | None, adds: bool) -> None:
        self._inserts = inserts
        self._page = page
        self._id = id
        self._adds = adds

    def __enter__(self) -> None:
        if self._page:
            self._inserts.begin(self._page, adds=self._adds)

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if not self._page:
            return
        if isinstance(error, Exception):
            self._inserts.answered(self._page, self._id or NEW, error)
        elif error is None and self._id is not None:
            self._inserts.answered(self._page, self._id, None)
        self._inserts.end(self._page)


class Inserts:
    """The rows that pages are adding just now.

    Args:
        plan: what is stored.
        hub: tells it.
        touches: where to note that a client may draw what it is told over an edit.
        is_told: whether all that ``plan`` contains has been published.
    """

    def __init__(self, plan: Plan, hub: Hub, touches: Touches, is_told: Callable[[], bool]) -> None:
        self._plan = plan
        self._hub = hub
        self._touches = touches
        # Item → for the sake of which new items some are not told of it.
        self._held: dict[int, list[_Withheld]] = {}
        self._arrived: Delayed[int, _Withheld] = Delayed(ARRIVED, self._release, is_told)
        self._late: Delayed[int, _Withheld] = Delayed(LATE, self._release, is_told)
        # Links that their writer's page is told of as new.
        self._new: Delayed[int, _Withheld] = Delayed(STOOD_STILL, self._tell_new, is_told)
        # Page → its requests that are not answered yet.
        self._requests: dict[str, int] = {}
        self._adding: dict[str, _Adding] = {}
        self._rested: Delayed[str, None] = Delayed(ARRIVED, self._replay_first, is_told)
        self._replayed: Delayed[str, None] = Delayed(0, self._tell_again, is_told)
        # Page → since when it was adding.
        self._stood: Delayed[str, float] = Delayed(STOOD_STILL, self._tell_once_more, is_told)
        self._done: Delayed[str, None] = Delayed(RETURNED, self._forget)
        # Page → its refused rows, and how many. The last that was refused is the last here.
        self._refused: OrderedDict[str, dict[int, int]] = OrderedDict()
        # In the order of the last telling.
        self._told: OrderedDict[int, _Told] = OrderedDict()
        # Page → when it was replayed last, and since which change.
        self._replays: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def close(self) -> None:
        """Tell nothing any more."""
        waiting = (self._rested, self._replayed, self._stood, self._done)
        for delayed in (self._arrived, self._late, self._new, *waiting):
            delayed.close()

    # Requests of a page.

    def request(self, page: str, id: int | None = None, *, adds: bool = False) -> Request:
        """A request of a page has arrived: ``with inserts.request(…)`` until it is answered.

        Args:
            page: ``""`` for a program, or a page that does not say which it is.
            id: the row that it saves, :data:`NEW` for one that it adds, None for several,
                of which :meth:`answered` is told.
            adds: whether it adds rows.
        """
        return Request(self, page, id, adds)

    def begin(self, page: str, *, adds: bool) -> None:
        self._requests[page] = self._requests.get(page, 0) + 1
        if adds:
            self._open(page)

    def end(self, page: str) -> None:
        self._requests[page] -= 1
        if not self._requests[page]:
            del self._requests[page]
        if page in self._adding:
            self._rested.put(page, None)

    def answered(self, page: str, id: int, error: Exception | None) -> None:
        """Note what became of a row; the client keeps a refused one among those that it has
        to save."""
        if page and error is not None and not is_gone(error):
            self._refuse(page, id)
        elif page:
            self._save(page, id)

    def _refuse(self, page: str, id: int) -> None:
        rows = self._refused.setdefault(page, {})
        self._refused.move_to_end(page)
        if id in rows or len(rows) < MOST_REFUSED:
            rows[id] = rows.get(id, 0) + 1
        if len(self._refused) > MOST_PAGES:
            self._refused.popitem(last=False)

    def _save(self, page: str, id: int) -> None:
        rows = self._refused.get(page)
        if rows is None or id not in rows:
            return
        rows[id] -= 1
        # A row that has an id is one row, however often it was refused.
        if id != NEW or not rows[id]:
            del rows[id]
        if not rows:
            del self._refused[page]

    # Events.

    def events(
        self,
        entity: Entity,
        id: int,
        values: Sequence[bytes],
        *,
        change: Change | None = None,
        only: Audience | None = None,
    ) -> list[Event]:
        """The events of an item for all who can be told of it now.

        Args:
            values: the first of which says what became of it.
            change: the change of which they tell, None for the item's present state.
            only: the only ones who are told, None for everybody.
        """
        if entity.put_off and only is None and (change is None or change.action == "add"):
            self._note(entity, id, change.author.client_id if change else "")
        if change is not None and change.id == change.seq:
            self.withhold(change)
        but = self._without(entity, id, is_again=change is None) if self._held else None
        seq = change.seq if change else 0
        updates = id if change and change.action == "update" else 0
        version = self._plan.version
        events = [
            encode_event(entity.channel, value, seq, 0 if at else updates, version, only, but)
            for at, value in enumerate(values)
        ]
        fresh = self._new.get(id) if entity is LINK else None
        if fresh is not None and self._plan.item(LINK, id) is not None and not updates:
            # Its writer's page is told of it as new only later.
            own = fresh.audience
            events[0] = events[0]._replace(but=own | but if but else own)
        return events

    def replaying(self, listener: Listener, since: int | None) -> frozenset[int]:
        """Note that a page is being replayed what it missed since a change; None where it
        did not miss it. Returns the items of which it cannot be told now."""
        if listener.tab and since is not None:
            self._note_replay(listener.tab, since)
        return frozenset(
            id for id, held in self._held.items() if any(listener in w.audience for w in held)
        )

    # What is withheld.

    def withhold(self, change: Change) -> None:
        """Withhold a new item from the page that has posted it."""
        entity, author = change.entity, change.author
        if author.client_id:
            tab = frozenset((author.client_id,))
            self._hold(self._arrived, change, Audience(tabs=tab))
        if entity is LINK and author.user:
            # A page that does not send its Remote-Device may have a tab all the same.
            own = self._hub.sockets(author.user, with_tab=not author.client_id)
            if own:
                self._hold(self._late, change, Audience(listeners=own))

    def _hold(self, until: Delayed[int, _Withheld], change: Change, audience: Audience) -> None:
        withheld = _Withheld(audience, {change.id: (change.entity, change.seq)})
        self._held.setdefault(change.id, []).append(withheld)
        until.put(change.id, withheld)

    def _without(self, entity: Entity, id: int, *, is_again: bool) -> Audience | None:
        """Who cannot be told of an item now: it is new, or points to what is.

        Whoever misses what ``is_again`` told may show something else than what is stored.
        """
        audience: Audience | None = None
        for pointed in (id, *self._plan.points_to(entity, id)):
            for withheld in self._held.get(pointed, ()):
                if id not in withheld.missed:
                    self._held.setdefault(id, []).append(withheld)
                    withheld.missed[id] = (entity, 0)
                elif is_again:
                    withheld.missed[id] = (entity, 0)
                audience = withheld.audience | audience if audience else withheld.audience
        return audience

    def _release(self, new: int, withheld: _Withheld) -> None:
        """Tell what was withheld, as it is now."""
        for id in withheld.missed:
            self._held[id].remove(withheld)
            if not self._held[id]:
                del self._held[id]
        for id in self._in_order(withheld.missed):
            entity, seq = withheld.missed[id]
            is_there = self._plan.item(entity, id) is not None
            if withheld.audience.tabs and is_there and id == new and entity is LINK:
                # To have a link twice is the end of a page, and one that stands still has not
                # gone through the answer yet. It ignores the update of what it lacks.
                self._publish(entity, id, self._plan.upsert(entity, id)[1:], withheld.audience)
                self._new.put(id, withheld)
            # Those who were only told late have been told of a delete at once.
            elif withheld.audience.tabs or is_there:
                self._tell(entity, id, seq, withheld.audience)

    def _tell_new(self, id: int, withheld: _Withheld) -> None:
        """Tell a link as new, or as gone."""
        self._publish(LINK, id, self._plan.upsert(LINK, id)[:1], withheld.audience)

    # What was told while a page was adding.

    def _open(self, page: str) -> None:
        now = self._now()
        adding = self._adding.get(page)
        if adding is not None and (self._is_to_be_told(page) or adding.was_refused):
            return
        # What it was told again just now, it may have put off for the sake of this one.
        if adding is None or adding.told_again < now - UNDER_WAY:
            adding = self._adding[page] = _Adding(now - UNDER_WAY)
        replay = self._replays.get(page)
        if replay is not None and replay[0] >= adding.since:
            adding.replay_from = _earlier(adding.replay_from, replay[1])

    def _note(self, entity: Entity, id: int, page: str) -> None:
        """Note that an item was told as a new one."""
        now = self._now()
        told = self._told.pop(id, None)
        self._told[id] = (
            _Told(now, told.seq, told.page, entity)
            if told
            else _Told(now, self._plan.seq, page, entity)
        )
        if len(self._told) > MOST_TOLD:
            _, lost = self._told.popitem(last=False)
            for adding in self._adding.values():
                if lost.at >= adding.since:
                    adding.replay_from = _earlier(adding.replay_from, lost.seq - 1)

    def _note_replay(self, page: str, since: int) -> None:
        now = self._now()
        known = self._replays.pop(page, None)
        if known and known[0] >= now - UNDER_WAY:
            since = min(since, known[1])
        self._replays[page] = (now, since)
        while next(iter(self._replays.values()))[0] < now - UNDER_WAY:
            self._replays.popitem(last=False)
        adding = self._adding.get(page)
        if adding is not None:
            adding.replay_from = _earlier(adding.replay_from, since)
            self._rested.put(page, None)

    def _is_to_be_told(self, page: str) -> bool:
        return page in self._rested or page in self._replayed

    def _replay_first(self, page: str, _: None) -> None:
        """A page has come to rest: replay it what it was replayed while it was adding."""
        adding = self._adding.get(page)
        if adding is None or page in self._requests:
            return
        if adding.replay_from is None:
            self._tell_again(page, None)
            return
        self._hub.replay(page, adding.replay_from)
        # Either may take its time: in one turn of the loop they would be too long.
        self._replayed.put(page, None)

    def _tell_again(self, page: str, _: None) -> None:
        """Tell again what a page that has come to rest may have put off."""
        adding = self._adding.get(page)
        if adding is None or page in self._requests:
            return
        if not self._hub.is_listening(page):
            # It is told when its socket is there again.
            self._done.put(page, None)
            return
        refused = page in self._refused
        since = adding.told_again if refused and adding.was_refused else adding.since
        long_ago = min(adding.since, self._now() - RETURNED)
        told = {
            id: each.seq
            for id, each in self._told.items()
            # A refused row that its user deletes is no more heard of, nor is an answer at which
            # the page throws. What was put off for their sake is added after any later one as
            # it was: once more, where it is not so any more.
            if each.at >= (since if self._is_as(id, each.seq) else long_ago)
            and not (each.page == page and self._is_as(id, each.seq))
        }
        roots = [*told]
        if adding.replay_from is not None:
            roots += self._plan.added_since(adding.replay_from)
        self._retell(page, told, self._plan.below(roots))
        adding.told_again = self._now()
        adding.was_refused = refused
        # What is due is put off where the page has been adding since.
        self._stood.put(page, min(adding.since, self._stood.get(page) or adding.since))
        self._done.put(page, None)

    def _tell_once_more(self, page: str, since: float) -> None:
        if page in self._requests or self._is_to_be_told(page):
            self._stood.put(page, since)
            return
        lately = self._now() - ARRIVED - STOOD_STILL - UNDER_WAY
        told = {
            id: each.seq
            for id, each in self._told.items()
            if each.at >= (lately if each.page == page else since)
        }
        self._retell(page, told, frozenset())

    def _retell(self, page: str, told: Mapping[int, int], lost: AbstractSet[int]) -> None:
        """Tell a page tasks as they are now: those that it may have been told of first as they
        were at a change, and those that it may have been told of while it lacked their parent.
        There may be thousands below one."""
        kinds = {id: each.entity for id in told if (each := self._told.get(id))}
        for entity in {TASK: None, **dict.fromkeys(kinds.values())}:
            own = {id: seq for id, seq in told.items() if kinds.get(id, TASK) is entity}
            self._retell_of(entity, page, own, lost if entity is TASK else frozenset())

    def _retell_of(
        self, entity: Entity, page: str, told: Mapping[int, int], lost: AbstractSet[int]
    ) -> None:
        plan = self._plan
        ids = lost | told.keys()
        if any(page in each.audience.tabs for held in self._held.values() for each in held):
            ids = {id for id in ids if not self._is_withheld(entity, id, page)}
        gone = [id for id in told if id in ids and plan.item(entity, id) is None]
        same = {id for id, seq in told.items() if self._is_as(id, seq)}
        there = ids.difference(gone)
        ordered = [*gone, *(plan.in_order(there) if entity is TASK else sorted(there))]
        snapshot = plan.snapshot(entity, ordered, lost, same)
        if ordered:
            self._hub.retell(page, entity.channel, lambda: self._noting(snapshot))

    def _is_withheld(self, entity: Entity, id: int, page: str) -> bool:
        audience = self._without(entity, id, is_again=True)
        return audience is not None and page in audience.tabs

    def _noting(self, snapshot: Snapshot) -> Iterator[list[bytes]]:
        """Go through items that a client may draw over an edit."""
        for id, values in zip(snapshot.ids, snapshot, strict=True):
            if len(values) > 1:
                self._touches.note(id, "", self._now())
            yield values

    def _forget(self, page: str, _: None) -> None:
        busy = page in self._requests or self._is_to_be_told(page)
        if not busy and page not in self._refused:
            self._adding.pop(page, None)

    # Telling some of the listeners.

    def _tell(self, entity: Entity, id: int, seq: int, audience: Audience) -> None:
        """Tell an item's present state to those who may have been told of it first as it
        was at change ``seq``."""
        # Pages ignore the delete of what they lack.
        values = self._plan.upsert(entity, id)
        if self._is_as(id, seq):
            # They have it as it is, or not at all. More would be drawn over what they do.
            values = values[:1]
        elif len(values) > 1:
            self._touches.note(id, "", self._now())
        self._publish(entity, id, values, audience)

    def _publish(self, entity: Entity, id: int, values: list[bytes], audience: Audience) -> None:
        # Behind what they had when they joined.
        self._plan.version += 1
        self._hub.publish(self.events(entity, id, values, only=audience))

    def _is_as(self, id: int, seq: int) -> bool:
        """Whether an item has not been touched since a change."""
        return self._plan.touched(id) <= seq

    def _in_order(self, items: Mapping[int, tuple[Entity, int]]) -> list[int]:
        """Tasks as they are drawn, then what points to them; first what is gone."""
        gone = [id for id, (entity, _) in items.items() if self._plan.item(entity, id) is None]
        there = items.keys() - gone
        tasks = self._plan.in_order([id for id in there if items[id][0] is TASK])
        return [*gone, *tasks, *sorted(id for id in there if items[id][0] is not TASK)]

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _earlier(first: int | None, second: int) -> int:
    return second if first is None else min(first, second)
