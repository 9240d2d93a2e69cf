"""Who is here: people, not sockets; by name to those who have one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest

from gantt_tornado.errors import BadRequest, NotFound
from gantt_tornado.live import presence
from gantt_tornado.live.hub import Event
from gantt_tornado.live.presence import EVERY, MOST_ITEMS, OPEN, Presence
from gantt_tornado.model.user import Role, User
from tests.support import Loop, count_calls

ANN = User("ann", Role.viewer, display="Ann Lee", color="#102030")
BOB = User("bob", Role.editor)
NOBODY = User("", Role.viewer)


class Tab:
    """A visitor, of whom nothing but the user counts here."""

    tab = user_name = ""
    reloads = False

    def __init__(self, user: User | None) -> None:
        self.user = user


class Room:
    """Presence in a project with the items 1 to 20, and what is told."""

    def __init__(self) -> None:
        self.items = set(range(1, 21))
        self.events: list[Event] = []
        self.presence = Presence(self.publish, lambda id: id in self.items)

    def publish(self, events: Sequence[Event]) -> None:
        self.events += events

    def enter(self, *users: User | None) -> list[Any]:
        tabs = [Tab(user) for user in users]
        for tab in tabs:
            self.presence.arrived(tab)
        return tabs

    def told(self, tab: Any) -> list[dict[str, Any]]:
        """What one was told since the last look."""
        events = [event for event in self.events if event.is_for(tab)]
        self.events = []
        return [
            orjson.loads(event.frame[event.frame.index(b"{") :])["body"]["value"]
            for event in events
        ]

    def names(self) -> list[str]:
        return [each["name"] for each in self.presence.shown_to(BOB)["people"]]

    def items_of(self, user: User) -> list[dict[str, Any]]:
        people = self.presence.shown_to(BOB)["people"]
        return next(each["items"] for each in people if each["name"] == user.name)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture
def room(loop: Loop) -> Iterator[Room]:
    """A room on a loop whose clock is turned."""

    asyncio._set_running_loop(loop)
    room = Room()
    yield room
    room.presence.close()
    asyncio._set_running_loop(None)


def test_one_with_two_tabs_is_one_person(room: Room) -> None:
    room.enter(ANN, ANN, BOB)
    shown = room.presence.shown_to(BOB)
    assert (shown["count"], room.names()) == (2, ["ann", "bob"])


def test_a_person_has_a_name_to_read_a_color_and_a_time(room: Room) -> None:
    room.enter(ANN)
    (person,) = room.presence.shown_to(BOB)["people"]
    since = person.pop("since")
    assert person == {"name": "ann", "display": "Ann Lee", "color": "#102030", "items": []}
    assert since.startswith("20") and since.endswith("+00:00")


def test_the_first_tab_says_since_when(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence.time, "time", lambda: 1000.0)
    first, _ = room.enter(ANN, BOB)
    monkeypatch.setattr(presence.time, "time", lambda: 2000.0)
    room.enter(ANN)
    since = [each["since"] for each in room.presence.shown_to(BOB)["people"]]
    assert since == ["1970-01-01T00:16:40.000+00:00"] * 2
    room.presence.left(first)
    assert "1970-01-01T00:33:20" in str(room.presence.shown_to(BOB))


def test_who_leaves_with_the_last_tab_is_gone(room: Room) -> None:
    first, second, _ = room.enter(ANN, ANN, BOB)
    room.presence.left(first)
    assert room.names() == ["ann", "bob"]
    room.presence.left(second)
    assert room.names() == ["bob"]


def test_those_without_a_name_are_counted_and_not_told_who_is_here(room: Room) -> None:
    room.enter(ANN, NOBODY, None)
    assert room.presence.shown_to(NOBODY) == room.presence.shown_to(None) == {"count": 3}
    assert room.names() == ["ann"]


def test_no_more_people_are_named_than_may_be(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MOST_PEOPLE", 2)
    room.enter(*(User(str(each), Role.viewer) for each in range(4)))
    assert (room.presence.shown_to(BOB)["count"], room.names()) == (4, ["0", "1"])


class TestItems:
    def test_an_item_goes_with_its_tab(self, room: Room) -> None:
        first, _ = room.enter(ANN, ANN)
        room.presence.here(first, 7)
        assert room.items_of(ANN) == [{"id": 7, "how": "selected"}]
        room.presence.left(first)
        assert room.items_of(ANN) == []

    def test_a_tab_is_at_one_item(self, room: Room) -> None:
        (tab,) = room.enter(ANN)
        room.presence.here(tab, 7)
        room.presence.here(tab, 8, OPEN)
        assert room.items_of(ANN) == [{"id": 8, "how": "open"}]
        room.presence.here(tab, 0)
        assert room.items_of(ANN) == []

    def test_of_two_tabs_at_one_item_one_has_it_open(self, room: Room) -> None:
        first, second = room.enter(ANN, ANN)
        room.presence.here(first, 7, OPEN)
        room.presence.here(second, 7)
        assert room.items_of(ANN) == [{"id": 7, "how": "open"}]

    def test_the_last_told_comes_first_and_not_all_are_told(self, room: Room) -> None:
        tabs = room.enter(*[ANN] * (MOST_ITEMS + 2))
        for item, tab in enumerate(tabs, 1):
            room.presence.here(tab, item)
        ids = [each["id"] for each in room.items_of(ANN)]
        assert ids == list(range(MOST_ITEMS + 2, 2, -1))

    def test_a_deleted_item_is_not_told(self, room: Room) -> None:
        (tab,) = room.enter(ANN)
        room.presence.here(tab, 7)
        room.items.remove(7)
        assert room.items_of(ANN) == []

    def test_no_item_that_is_not_there(self, room: Room) -> None:
        (tab,) = room.enter(ANN)
        with pytest.raises(NotFound):
            room.presence.here(tab, 99)

    def test_nobody_is_anywhere_without_a_socket(self, room: Room) -> None:
        with pytest.raises(BadRequest, match="open socket"):
            room.presence.here(None, 7)


class TestTelling:
    def test_many_changes_are_told_once(self, room: Room, loop: Loop) -> None:
        tab, *_ = room.enter(ANN, BOB)
        for item in range(1, 10):
            room.presence.here(tab, item)
        assert room.told(tab) == []
        turn(loop, EVERY)
        (value,) = room.told(tab)
        assert (value["type"], value["count"]) == ("presence", 2)

    def test_nothing_is_told_where_nothing_changed(self, room: Room, loop: Loop) -> None:
        (tab,) = room.enter(ANN)
        room.presence.here(tab, 7)
        turn(loop, EVERY)
        room.told(tab)
        room.presence.here(tab, 7)
        turn(loop, 10 * EVERY)
        assert room.told(tab) == []

    def test_each_is_told_what_they_may_know(self, room: Room, loop: Loop) -> None:
        ann, stranger = room.enter(ANN, NOBODY)
        turn(loop, EVERY)
        events = room.events
        assert "people" in room.told(ann)[0]
        room.events = events
        assert room.told(stranger) == [{"type": "presence", "count": 2}]

    def test_what_is_much_for_many_is_told_less_often(
        self, room: Room, loop: Loop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(presence, "RATE", 10)
        (tab,) = room.enter(ANN)
        turn(loop, EVERY)
        (event,) = room.events
        room.events = []
        room.enter(BOB)
        turn(loop, len(event.frame) / 10 - 2 * EVERY)
        assert room.told(tab) == []
        turn(loop, 2 * EVERY)
        assert len(room.told(tab)) == 1

    def test_who_joins_while_nothing_is_about_to_be_told_is_told_at_once(
        self, room: Room, loop: Loop
    ) -> None:
        ann, bob = room.enter(ANN, BOB)
        room.presence.subscribed(bob)
        assert room.told(bob) == []
        turn(loop, EVERY)
        room.told(bob)
        room.presence.subscribed(bob)
        events = room.events
        assert [value["count"] for value in room.told(bob)] == [2]
        room.events = events
        assert room.told(ann) == []


def turn(loop: Loop, seconds: float) -> None:
    """Let time pass."""
    asyncio._set_running_loop(None)
    loop.run_until_complete(asyncio.sleep(seconds))
    asyncio._set_running_loop(loop)


def test_who_comes_after_the_last_has_left_is_not_told_of_nobody(loop: Loop) -> None:
    async def run() -> list[Event]:
        room = Room()
        (tab,) = room.enter(ANN)
        room.presence.left(tab)
        await asyncio.sleep(2 * EVERY)
        return room.events

    assert loop.run_until_complete(run()) == []


class TestAnswers:
    """What a call is answered is made once, until something changes."""

    def test_the_same_is_not_made_twice(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        async def run() -> None:
            room = Room()
            room.enter(ANN, BOB)
            made = count_calls(monkeypatch, Presence, "shown_to")
            first = [dumped(room.presence.answer(ANN, 1)) for _ in range(1000)]
            assert {*first} == {orjson.dumps(room.presence.shown_to(BOB))}
            assert dumped(room.presence.answer(NOBODY, 1)) == b'{"count":2}'
            assert len(made) == 3

        loop.run_until_complete(run())

    def test_what_changes_is_told_at_once(self, loop: Loop) -> None:
        async def run() -> None:
            room = Room()

            def answer(seq: int = 1) -> bytes:
                told = dumped(room.presence.answer(BOB, seq))
                assert told == orjson.dumps(room.presence.shown_to(BOB))
                return told

            answers = [answer()]
            (tab,) = room.enter(ANN)
            answers.append(answer())
            room.presence.here(tab, 7)
            answers.append(answer())
            # Somebody deletes the item.
            room.items.remove(7)
            answers.append(answer(2))
            room.presence.left(tab)
            answers.append(answer(2))
            assert len({*answers}) == 3
            assert answers[1] == answers[3] and answers[0] == answers[4]

        loop.run_until_complete(run())


def dumped(answer: orjson.Fragment) -> bytes:
    return orjson.dumps(answer)
