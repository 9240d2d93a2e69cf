"""Who is in a project, and which item each has open or selected. Lives on the loop.

Serves the channel ``presence`` of docs/protocol.md. Nothing of it is stored or replayed: it is
what the open sockets say, and ends with them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Protocol

import orjson

from gantt_tornado.errors import BadRequest, NotFound
from gantt_tornado.live.hub import Audience, Event, Listener, encode_event
from gantt_tornado.model.history import time_shown
from gantt_tornado.model.user import User

CHANNEL: Final = "presence"
#: Seconds between two tellings, at least.
EVERY: Final = 0.5
#: Bytes a second that all sockets together are told. Where many people come and go among many,
#: they are told less often.
RATE: Final = 4 << 20
#: People who are told by name. All are counted.
MOST_PEOPLE: Final = 200
#: Items of one person, those told last.
MOST_ITEMS: Final = 5
#: What a person may do with an item.
SELECTED: Final = "selected"
OPEN: Final = "open"


class Visitor(Listener, Protocol):
    """An open socket."""

    user: User | None


@dataclass(slots=True)
class _Tab:
    """What one socket has told; times are in milliseconds since 1970."""

    since: int
    item: int = 0
    how: str = SELECTED
    told: int = 0


class Presence:
    """The people of one project.

    Args:
        publish: tells events to the listeners.
        exists: whether there is an item of an id.
    """

    def __init__(
        self, publish: Callable[[Sequence[Event]], None], exists: Callable[[int], bool]
    ) -> None:
        self._publish = publish
        self._exists = exists
        self._tabs: dict[Visitor, _Tab] = {}
        # Counts what was told, to have it in order.
        self._told = 0
        self._timer: asyncio.TimerHandle | None = None
        # The loop's time before which nothing is told again.
        self._next = 0.0
        # What was answered as of a change, by whether it was to somebody with a name, until
        # something else is so.
        self._answers: dict[bool, tuple[int, bytes]] = {}

    def arrived(self, visitor: Visitor) -> None:
        self._tabs[visitor] = _Tab(int(time.time() * 1000))
        self._announce()

    def left(self, visitor: Visitor) -> None:
        if self._tabs.pop(visitor, None) is not None:
            self._announce()

    def here(self, visitor: object, item: int, how: str = SELECTED) -> None:
        """Note which item a page has open or selected, 0 for none.

        Raises:
            BadRequest: it is not told on an open socket.
            NotFound: there is no such item.
        """
        tab = self._tabs.get(visitor)  # type: ignore[call-overload]
        if tab is None:
            raise BadRequest("Only an open socket can say where its page is.")
        if item and not self._exists(item):
            raise NotFound("There is no such item.")
        if (tab.item, tab.how) != (item, how):
            self._told += 1
            tab.item, tab.how, tab.told = item, how, self._told
            self._announce()

    def subscribed(self, visitor: Visitor) -> None:
        """Tell one who has just joined the channel, unless all are about to be told."""
        loop = asyncio.get_running_loop()
        if self._timer is None or self._timer.when() > loop.time() + EVERY:
            only = Audience(listeners=frozenset((visitor,)))
            self._publish([_event(self.shown_to(visitor.user), only=only)])

    def shown_to(self, user: User | None) -> dict[str, Any]:
        """How many people there are and, to somebody with a name, who they are."""
        people = self._people()
        shown: dict[str, Any] = {"count": len(people)}
        if _name_of(user):
            named = (tabs for tabs in people.values() if _name_of(tabs[0][0].user))
            shown["people"] = [self._person(tabs) for tabs in islice(named, MOST_PEOPLE)]
        return shown

    def answer(self, user: User | None, seq: int) -> orjson.Fragment:
        """What :meth:`shown_to` says, as JSON, as of change ``seq``: a page may ask a thousand
        times in one frame."""
        is_named = bool(_name_of(user))
        known = self._answers.get(is_named)
        if known is None or known[0] != seq:
            known = self._answers[is_named] = (seq, orjson.dumps(self.shown_to(user)))
        return orjson.Fragment(known[1])

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _people(self) -> dict[object, list[tuple[Visitor, _Tab]]]:
        """The tabs of each person, in the order in which they came. One without a name is a
        person of their own in each."""
        people: dict[object, list[tuple[Visitor, _Tab]]] = {}
        for visitor, tab in self._tabs.items():
            people.setdefault(_name_of(visitor.user) or visitor, []).append((visitor, tab))
        return people

    def _person(self, tabs: list[tuple[Visitor, _Tab]]) -> dict[str, Any]:
        user = tabs[-1][0].user
        assert user is not None
        latest = sorted((tab for _, tab in tabs if tab.item), key=lambda tab: -tab.told)
        # What one has open in a tab and selected in another is open.
        items = {tab.item: tab.how for tab in reversed(latest) if self._exists(tab.item)}
        items |= {tab.item: OPEN for tab in latest if tab.how == OPEN and tab.item in items}
        told = list(items.items())[::-1][:MOST_ITEMS]
        return {
            **{"name": user.name, "display": user.display, "color": user.color},
            "since": time_shown(min(tab.since for _, tab in tabs)),
            "items": [{"id": item, "how": how} for item, how in told],
        }

    def _announce(self) -> None:
        self._answers.clear()
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(max(loop.time() + EVERY, self._next), self._tell)

    def _tell(self) -> None:
        self._timer = None
        if not self._tabs:
            # Collected for a moment, it would reach who comes then: "nobody is here".
            return
        strangers = frozenset(each for each in self._tabs if not _name_of(each.user))
        known = next((each.user for each in self._tabs if each not in strangers), None)
        but = Audience(listeners=strangers) if strangers else None
        events = [_event(self.shown_to(known), but=but)]
        if strangers:
            events.append(_event(self.shown_to(None), only=Audience(listeners=strangers)))
        self._next = (
            asyncio.get_running_loop().time() + len(events[0].frame) * len(self._tabs) / RATE
        )
        self._publish(events)


def _event(
    shown: dict[str, Any], only: Audience | None = None, but: Audience | None = None
) -> Event:
    return encode_event(CHANNEL, orjson.dumps({"type": CHANNEL, **shown}), only=only, but=but)


def _name_of(user: User | None) -> str:
    """The name of somebody who is signed in, "" of anybody else."""
    return user.name if user is not None else ""
