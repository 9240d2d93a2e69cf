"""What a page is told while it adds a row: the real backend, on a clock that the tests turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import orjson
import pytest

from gantt_tornado import Backend, Config
from gantt_tornado.errors import GanttError
from gantt_tornado.live import hub as hub_module
from gantt_tornado.live import inserts as inserts_module
from gantt_tornado.live.hub import Hub
from gantt_tornado.live.inserts import ARRIVED, LATE, RETURNED, STOOD_STILL, UNDER_WAY
from gantt_tornado.live.plan import _Tree
from gantt_tornado.live.touches import Touches
from gantt_tornado.model.change import Author, BatchRow
from gantt_tornado.model.entities import ENTITIES
from tests.support import DATES, Loop, count_calls

#: Two pages of one user, one of another; each has a socket with its ``tab``.
MINE, ALSO_MINE, THEIRS = Author("eve", "mine"), Author("eve", "also mine"), Author("carl", "his")
#: Until nothing is told any more for the sake of what was just done.
LONG = 2 * ARRIVED + 1
#: Until a window of the hub is over.
SHORT = 0.1


class Socket:
    """A listener of all that pages listen to. It keeps what it is told."""

    def __init__(self, tab: str, user_name: str, since: int | None = None) -> None:
        self.tab = tab
        self.user_name = user_name
        self.since = since
        self.reloads = False
        self.told: list[tuple[str, int]] = []
        self.items: list[dict[str, Any]] = []
        self.asked: list[int] = []

    def known(self, channel: str) -> int | None:
        return self.since

    def ask(self, seq: int) -> None:
        self.asked.append(seq)

    def send(self, frames: bytes) -> None:
        while frames:
            head = {126: 4, 127: 10}.get(frames[1], 2)
            size = int.from_bytes(frames[2:head]) if head > 2 else frames[1]
            value = orjson.loads(frames[head : head + size])["body"]["value"]
            if value["type"] != "presence":
                self.told.append((value["type"], value["event"]["id"]))
                self.items.append(value["event"])
            frames = frames[head + size :]

    def replay(self, slices: Iterator[bytes]) -> None:
        for frames in slices:
            self.send(frames)

    def clear(self) -> None:
        self.told.clear()
        self.items.clear()


class Stage:
    """A backend with its listeners, on a clock of its own."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.asking = 0
        self.backend = Backend(Config(database="sqlite:///:memory:", demo=False))
        loop.clock.busy = lambda: self.asking > 0

    async def ask(self, call: Coroutine[Any, Any, Any]) -> Any:
        self.asking += 1
        try:
            return await call
        finally:
            self.asking -= 1

    def listen(self, tab: str, user_name: str, since: int | None = None, *channels: str) -> Socket:
        socket = Socket(tab, user_name, since)
        for channel in channels or ("tasks", "links"):
            self.backend.default.hub.subscribe(socket, channel)
        return socket

    async def task(self, author: Author, **fields: Any) -> int:
        fields = {"text": "Dig", **DATES, **fields}
        return int((await self.ask(self.backend.insert("task", fields, author=author))).id)

    async def link(self, author: Author, source: int, target: int) -> int:
        fields = {"source": source, "target": target}
        return int((await self.ask(self.backend.insert("link", fields, author=author))).id)

    async def put(self, author: Author, id: int, **fields: Any) -> None:
        await self.ask(self.backend.update("task", id, fields, author=author))

    async def delete(self, author: Author, id: int, entity: str = "task") -> None:
        await self.ask(self.backend.delete(entity, id, author=author))

    async def refused(self, author: Author, id: int) -> None:
        with pytest.raises(GanttError):
            await self.put(author, id, progress="x")


Scene = Callable[[Stage], Coroutine[Any, Any, None]]


@pytest.fixture
def play() -> Iterator[Callable[[Scene], None]]:
    def play(scene: Scene) -> None:
        loop = Loop()
        stage = Stage(loop)

        async def run() -> None:
            await stage.ask(stage.backend.start())
            try:
                await scene(stage)
            finally:
                await stage.ask(stage.backend.close())

        try:
            loop.run_until_complete(run())
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    yield play


# What is new is withheld from its writer's page.


@pytest.mark.parametrize("device", ["mine", "", "a page without a tab"])
def test_others_are_told_of_what_is_new_at_once(play, device) -> None:
    async def scene(stage: Stage) -> None:
        other = stage.listen("his", "carl")
        a, b = [await stage.task(Author("eve", device)) for _ in range(2)]
        link = await stage.link(Author("eve", device), a, b)
        await asyncio.sleep(SHORT)
        assert other.told == [("add-task", a), ("add-task", b), ("add-link", link)]

    play(scene)


@pytest.mark.parametrize("seconds, told", [(ARRIVED - 0.1, False), (ARRIVED + 0.1, True)])
def test_a_page_is_told_of_its_own_row_when_the_answer_must_have_arrived(
    play, seconds, told
) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        a = await stage.task(MINE)
        await asyncio.sleep(seconds)
        assert own.told == [("add-task", a)] * told

    play(scene)


def test_another_page_of_the_same_user_is_told_at_once(play) -> None:
    async def scene(stage: Stage) -> None:
        other = stage.listen("also mine", "eve")
        a, b = await stage.task(MINE), await stage.task(MINE)
        link = await stage.link(MINE, a, b)
        await asyncio.sleep(SHORT)
        assert ("add-link", link) in other.told

    play(scene)


def test_what_others_do_to_a_new_row_is_told_its_page_with_it(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        a = await stage.task(MINE)
        await stage.put(THEIRS, a, text="Fill")
        await asyncio.sleep(1)
        assert own.told == []
        await asyncio.sleep(LONG)
        assert own.told[:2] == [("add-task", a), ("update-task", a)]
        assert own.items[0]["text"] == own.items[1]["text"] == "Fill"

    play(scene)


def test_what_points_to_a_new_row_comes_after_it(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        a = await stage.task(MINE)
        b = await stage.task(THEIRS, parent=a)
        c = await stage.task(THEIRS, parent=b)
        link = await stage.link(THEIRS, c, b)
        await asyncio.sleep(1)
        assert own.told == []
        await asyncio.sleep(LONG)
        adds = [each for each in own.told if each[0].startswith("add-")]
        assert adds[:4] == [("add-task", a), ("add-task", b), ("add-task", c), ("add-link", link)]

    play(scene)


def test_a_known_row_that_was_moved_below_a_new_one_is_moved_when_that_is_told(play) -> None:
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        await asyncio.sleep(LONG)
        own = stage.listen("mine", "eve")
        a = await stage.task(MINE)
        await stage.put(THEIRS, known, parent=a)
        await asyncio.sleep(1)
        assert own.told == []
        await asyncio.sleep(LONG)
        assert own.told.index(("add-task", a)) < own.told.index(("update-task", known))
        assert own.items[own.told.index(("update-task", known))]["parent"] == a

    play(scene)


def test_a_new_row_that_somebody_deleted_is_told_its_page_as_deleted(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        a = await stage.task(MINE)
        await stage.delete(THEIRS, a)
        await asyncio.sleep(1)
        assert own.told == []
        await asyncio.sleep(LONG)
        assert set(own.told) == {("delete-task", a)}

    play(scene)


def test_a_new_row_is_not_sent_again_to_its_page_before_that(play) -> None:
    async def scene(stage: Stage) -> None:
        own, other = stage.listen("mine", "eve"), stage.listen("his", "carl")
        a = await stage.task(MINE)
        await stage.put(THEIRS, a, text="one")
        await stage.put(ALSO_MINE, a, text="two")
        await asyncio.sleep(1.5)
        assert ("add-task", a) in other.told[1:], "it was sent again"
        assert own.told == []

    play(scene)


def test_a_new_row_is_not_replayed_to_its_page_before_that(play) -> None:
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        a = await stage.task(MINE)
        b = await stage.task(THEIRS, parent=a)
        own, other = stage.listen("mine", "eve", 0), stage.listen("another", "carl", 0)
        assert {id for _, id in other.told} == {known, a, b}
        assert {id for _, id in own.told} == {known}
        await asyncio.sleep(LONG)
        assert {id for _, id in own.told} == {known, a, b}

    play(scene)


def test_what_undo_brings_back_is_told_everybody_at_once(play) -> None:
    async def scene(stage: Stage) -> None:
        a = await stage.task(THEIRS)
        await stage.delete(THEIRS, a)
        await asyncio.sleep(LONG)
        own = stage.listen("mine", "eve")
        await stage.ask(stage.backend.undo(stage.backend.default.plan.seq, author=MINE))
        await asyncio.sleep(SHORT)
        assert own.told == [("add-task", a)]

    play(scene)


def test_nothing_is_remembered_of_what_was_withheld(play) -> None:
    async def scene(stage: Stage) -> None:
        a = await stage.task(MINE)
        b = await stage.task(THEIRS, parent=a)
        await stage.link(MINE, a, b)
        inserts = stage.backend.default._inserts
        assert inserts._held
        await asyncio.sleep(RETURNED + LONG)
        assert not (inserts._held or inserts._requests or inserts._adding)

    play(scene)


# Sockets without a tab.


@pytest.mark.parametrize("seconds, told", [(LATE - 0.1, False), (LATE + 0.1, True)])
@pytest.mark.parametrize("device", ["mine", ""])
def test_a_socket_that_may_be_the_writers_is_told_of_a_link_a_little_late(
    play, device, seconds, told
) -> None:
    async def scene(stage: Stage) -> None:
        a, b = await stage.task(THEIRS), await stage.task(THEIRS)
        await asyncio.sleep(LONG)
        own = stage.listen("", "eve")
        link = await stage.link(Author("eve", device), a, b)
        await asyncio.sleep(seconds)
        assert own.told == [("add-link", link)] * told

    play(scene)


def test_a_page_with_a_tab_may_be_that_of_a_writer_without_a_device(play) -> None:
    async def scene(stage: Stage) -> None:
        a, b = await stage.task(THEIRS), await stage.task(THEIRS)
        await asyncio.sleep(LONG)
        own = stage.listen("mine", "eve")
        await stage.link(Author("eve"), a, b)
        await asyncio.sleep(LATE - 0.1)
        assert own.told == []

    play(scene)


def test_a_link_that_is_gone_by_then_is_not_told_late(play) -> None:
    async def scene(stage: Stage) -> None:
        a, b = await stage.task(THEIRS), await stage.task(THEIRS)
        await asyncio.sleep(LONG)
        own = stage.listen("", "eve")
        link = await stage.link(Author("eve"), a, b)
        await stage.delete(THEIRS, link, "link")
        await asyncio.sleep(LATE + 0.1)
        assert ("add-link", link) not in own.told

    play(scene)


def test_a_page_is_asked_for_the_change_of_which_it_was_told_last(play) -> None:
    async def scene(stage: Stage) -> None:
        his = stage.listen("his", "carl")
        a = await stage.task(MINE)
        await asyncio.sleep(SHORT)
        stage.backend.default.hub.ask()
        assert his.asked[-1] == a

    play(scene)


@pytest.mark.parametrize("seconds, told", [(ARRIVED - 0.1, False), (ARRIVED + 0.1, True)])
def test_a_new_link_whose_end_was_deleted_is_told_as_deleted_when_the_answer_has_arrived(
    play, seconds, told
) -> None:
    async def scene(stage: Stage) -> None:
        a, b = await stage.task(THEIRS), await stage.task(THEIRS)
        await stage.delete(THEIRS, b)
        await asyncio.sleep(LONG)
        own = stage.listen("mine", "eve")
        link = await stage.link(MINE, a, b)
        await asyncio.sleep(seconds)
        assert [each for each in own.told if each[1] == link] == [("delete-link", link)] * told

    play(scene)


def test_tasks_are_told_at_once_without_a_tab(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("", "eve")
        a = await stage.task(Author("eve"))
        await asyncio.sleep(SHORT)
        assert own.told == [("add-task", a)]

    play(scene)


def test_a_socket_that_came_after_the_link_waits_for_nothing(play) -> None:
    async def scene(stage: Stage) -> None:
        a, b = await stage.task(THEIRS), await stage.task(THEIRS)
        await asyncio.sleep(LONG)
        link = await stage.link(Author("eve"), a, b)
        late = stage.listen("", "eve")
        await asyncio.sleep(LATE + 0.1)
        assert ("add-link", link) not in late.told

    play(scene)


# What a page was told while it was adding a row.


def told_again(own: Socket, id: int) -> list[str]:
    return [type for type, told in own.told if told == id]


def test_others_new_rows_are_told_again_when_a_page_has_added_its_own(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await asyncio.sleep(UNDER_WAY / 2)
        await stage.task(MINE)
        later = await stage.task(THEIRS)
        await asyncio.sleep(SHORT)
        own.clear()
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == told_again(own, later) == ["add-task"]

    play(scene)


def places_again(own: Socket, id: int) -> list[int]:
    """The parents with which an update was told."""
    told = zip(own.told, own.items, strict=True)
    return [item["parent"] for what, item in told if what == ("update-task", id)]


def test_a_row_below_one_that_was_put_off_is_attached_again(play) -> None:
    # The client shows it at the top, or no more: it was told while its parent was put off.
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        below = await stage.task(THEIRS, parent=theirs)
        await asyncio.sleep(SHORT)
        own.clear()
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == ["add-task"]
        assert told_again(own, below)[0] == "add-task"
        assert places_again(own, below) == [0, theirs]

    play(scene)


def test_rows_that_came_below_one_that_was_put_off_are_attached_again(play) -> None:
    async def scene(stage: Stage) -> None:
        moved = await stage.task(THEIRS)
        below = await stage.task(THEIRS, parent=moved)
        await asyncio.sleep(UNDER_WAY + LONG)
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        await stage.put(THEIRS, moved, parent=theirs)
        await asyncio.sleep(SHORT)
        own.clear()
        await asyncio.sleep(LONG)
        assert places_again(own, moved)[:2] == [0, theirs]
        assert places_again(own, below) == [0, moved]

    play(scene)


def test_what_is_below_a_replayed_row_that_was_put_off_is_attached_again(play) -> None:
    async def scene(stage: Stage) -> None:
        theirs = await stage.task(THEIRS)
        below = await stage.task(THEIRS, parent=theirs)
        await asyncio.sleep(UNDER_WAY + LONG)
        await stage.task(MINE)
        own = stage.listen("mine", "eve", 0)
        own.clear()
        await asyncio.sleep(LONG)
        assert places_again(own, below)[-2:] == [0, theirs]

    play(scene)


class Slow(Socket):
    """One that has not yet read what it is replayed."""

    def __init__(self, tab: str, user_name: str) -> None:
        super().__init__(tab, user_name)
        self.slices: list[Iterator[bytes]] = []

    def replay(self, slices: Iterator[bytes]) -> None:
        self.slices.append(slices)


def test_a_replay_and_what_is_told_again_share_no_turn(play, monkeypatch) -> None:
    """Either may take its time."""
    done = []
    for name in ("replay", "retell"):

        def noting(*args: Any, name: str = name) -> None:
            done.append(name)
            asyncio.get_running_loop().call_soon(done.append, "others")

        monkeypatch.setattr(Hub, name, noting)

    async def scene(stage: Stage) -> None:
        await stage.task(THEIRS)
        await stage.task(MINE)
        stage.listen("mine", "eve", 0)
        await asyncio.sleep(LONG)
        assert done == ["replay", "others", "retell", "others"]

    play(scene)


def test_thousands_of_rows_are_told_again_while_they_are_read(play, monkeypatch) -> None:
    """As they were, whatever comes meanwhile, and no row before it is read."""
    monkeypatch.setattr(hub_module, "REPLAYED_AT_ONCE", 1)
    worked_out = count_calls(monkeypatch, _Tree, "stands")

    async def scene(stage: Stage) -> None:
        own = Slow("mine", "eve")
        stage.backend.default.hub.subscribe(own, "tasks")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        below = [await stage.task(THEIRS, parent=theirs) for _ in range(3)]
        await asyncio.sleep(LONG)
        worked_out.clear()
        (slices,) = own.slices
        own.clear()
        while ("add-task", theirs) not in own.told:
            own.send(next(slices))
        assert len(worked_out) == 1
        await stage.delete(THEIRS, below[1])
        for frames in slices:
            own.send(frames)
        assert [id for what, id in own.told if what == "add-task"][-4:] == [theirs, *below]

    play(scene)


def test_rows_count_as_touched_when_they_are_told_again(play, monkeypatch) -> None:
    """The client may draw them over an edit that is begun just then."""
    noted = count_calls(monkeypatch, Touches, "note")

    async def scene(stage: Stage) -> None:
        own = Slow("mine", "eve")
        stage.backend.default.hub.subscribe(own, "tasks")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        below = [await stage.task(THEIRS, parent=theirs) for _ in range(3)]
        await asyncio.sleep(LONG)
        noted.clear()
        list(own.slices[0])
        assert [id for _, id, *_ in noted] == below

    play(scene)


def test_other_pages_are_not_told_again(play) -> None:
    async def scene(stage: Stage) -> None:
        other = stage.listen("also mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        await asyncio.sleep(LONG)
        assert told_again(other, theirs) == ["add-task"]

    play(scene)


def test_who_only_edits_is_told_nothing_again(play) -> None:
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        await asyncio.sleep(LONG)
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.put(MINE, known, text="Fill")
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == ["add-task"]

    play(scene)


def test_who_may_have_stood_still_is_told_once_more_with_the_own_row(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs, mine = await stage.task(THEIRS), await stage.task(MINE)
        await asyncio.sleep(ARRIVED + SHORT)
        own.clear()
        await asyncio.sleep(STOOD_STILL)
        assert own.told == [("add-task", theirs), ("add-task", mine)]
        await asyncio.sleep(LONG)
        assert len(own.told) == 2

    play(scene)


def test_who_adds_again_meanwhile_is_told_once_more_after_that(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        await asyncio.sleep(ARRIVED + STOOD_STILL - 1)
        own.clear()
        await stage.task(MINE)
        await asyncio.sleep(ARRIVED + STOOD_STILL + SHORT)
        assert told_again(own, theirs) == ["add-task"]

    play(scene)


def test_of_a_long_row_of_new_ones_only_the_last_are_told_once_more(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        mine = []
        for _ in range(12):
            mine.append(await stage.task(MINE))
            await asyncio.sleep(1)
        await asyncio.sleep(ARRIVED + SHORT)
        own.clear()
        await asyncio.sleep(STOOD_STILL)
        assert ("add-task", mine[-1]) in own.told
        assert ("add-task", mine[0]) not in own.told

    play(scene)


def test_what_was_told_long_before_is_not_told_again(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await asyncio.sleep(UNDER_WAY + LONG)
        own.clear()
        await stage.task(MINE)
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == []

    play(scene)


def test_a_new_row_that_was_changed_meanwhile_is_told_as_it_is(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        await stage.put(THEIRS, theirs, text="Fill")
        await asyncio.sleep(SHORT)
        own.clear()
        await asyncio.sleep(LONG)
        assert told_again(own, theirs)[:2] == ["add-task", "update-task"]
        texts = {item["text"] for item in own.items if item["id"] == theirs and "text" in item}
        assert texts == {"Fill"}

    play(scene)


def test_an_own_new_link_is_told_as_new_only_to_who_cannot_stand_still_any_more(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        link = await stage.link(MINE, await stage.task(THEIRS), await stage.task(THEIRS))
        await asyncio.sleep(ARRIVED + SHORT)
        assert told_again(own, link) == ["update-link"]
        await asyncio.sleep(STOOD_STILL)
        assert told_again(own, link) == ["update-link", "add-link"]

    play(scene)


def test_an_own_new_link_that_is_sent_again_is_not_told_as_new(play) -> None:
    async def scene(stage: Stage) -> None:
        own, other = stage.listen("mine", "eve"), stage.listen("his", "carl")
        link = await stage.link(MINE, await stage.task(THEIRS), await stage.task(THEIRS))
        await asyncio.sleep(ARRIVED - 0.5)
        stage.backend.default._resend.touch(ENTITIES["link"], link, "", disputed=True)
        await asyncio.sleep(0.5 + SHORT)
        own.clear()
        other.clear()
        await asyncio.sleep(0.5)
        assert told_again(own, link) == ["update-link"]
        assert told_again(other, link) == ["add-link", "update-link"]

    play(scene)


def test_an_own_new_link_that_is_gone_is_not_told_as_new(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        link = await stage.link(MINE, await stage.task(THEIRS), await stage.task(THEIRS))
        await asyncio.sleep(ARRIVED + SHORT)
        await stage.delete(THEIRS, link, "link")
        await asyncio.sleep(STOOD_STILL)
        assert "add-link" not in told_again(own, link)

    play(scene)


def test_what_may_be_put_off_since_an_older_row_is_told_as_gone(play) -> None:
    """The page threw at the answer to that one, and has not come to rest since."""

    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        await asyncio.sleep(LONG)
        await stage.delete(THEIRS, theirs)
        await asyncio.sleep(2 * LONG)
        await stage.task(MINE)
        own.clear()
        await asyncio.sleep(ARRIVED + SHORT)
        assert told_again(own, theirs) == ["delete-task"]

    play(scene)


def test_an_own_new_row_that_was_corrected_is_told_as_it_is(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        mine = await stage.task(MINE, duration=10, end_date="2026-11-12 00:00")
        await asyncio.sleep(ARRIVED + SHORT)
        assert told_again(own, mine)[:2] == ["add-task", "update-task"]

    play(scene)


def test_a_new_row_that_was_deleted_meanwhile_is_told_as_deleted(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        await stage.delete(THEIRS, theirs)
        await asyncio.sleep(ARRIVED - 0.1)
        own.clear()
        await asyncio.sleep(1)
        assert told_again(own, theirs) == ["delete-task"]

    play(scene)


def test_what_was_sent_again_meanwhile_is_told_again_too(play) -> None:
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        await asyncio.sleep(UNDER_WAY + LONG)
        own = stage.listen("mine", "eve")
        await stage.put(THEIRS, known, text="one")
        await stage.put(ALSO_MINE, known, text="two")
        await asyncio.sleep(1.1)
        assert "add-task" in told_again(own, known)
        await stage.task(MINE)
        own.clear()
        await asyncio.sleep(LONG)
        assert "add-task" in told_again(own, known)

    play(scene)


def test_a_page_that_goes_on_writing_is_told_when_it_rests(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        mine = await stage.task(MINE)
        theirs = await stage.task(THEIRS)
        for n in range(4):
            await asyncio.sleep(ARRIVED - 0.5)
            await stage.put(MINE, mine, text=str(n))
        assert told_again(own, theirs) == ["add-task"]
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == ["add-task"] * 2

    play(scene)


def test_a_page_whose_request_is_under_way_is_told_when_it_is_answered(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        await stage.task(MINE)
        theirs = await stage.task(THEIRS)
        with stage.backend.default._inserts.request("mine"):
            await asyncio.sleep(LONG)
            assert told_again(own, theirs) == ["add-task"]
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == ["add-task"] * 2

    play(scene)


def test_a_row_that_is_added_just_after_may_have_put_off_what_was_told_again(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        await asyncio.sleep(ARRIVED + UNDER_WAY / 2)
        assert told_again(own, theirs) == ["add-task"] * 2
        await stage.task(MINE)
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == ["add-task"] * 3

    play(scene)


def test_a_page_with_a_refused_row_is_told_once_more_when_that_is_saved(play) -> None:
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        own = stage.listen("mine", "eve")
        await stage.refused(MINE, known)
        await stage.task(MINE)
        theirs = await stage.task(THEIRS)
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == ["add-task"] * 2
        await asyncio.sleep(LONG)
        await stage.delete(THEIRS, theirs)
        await asyncio.sleep(RETURNED + LONG)
        own.clear()
        await stage.put(MINE, known, progress=1)
        await asyncio.sleep(LONG)
        assert told_again(own, theirs) == ["delete-task"]

    play(scene)


def test_what_is_gone_is_told_a_page_with_a_refused_row_whenever_it_rests(play) -> None:
    # Its user may have deleted the refused row, of which nobody hears.
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        await asyncio.sleep(UNDER_WAY + LONG)
        own = stage.listen("mine", "eve")
        with pytest.raises(GanttError):
            await stage.task(MINE, parent=10**12)
        there, gone = await stage.task(THEIRS), await stage.task(THEIRS)
        await stage.delete(THEIRS, gone)
        await asyncio.sleep(LONG)
        own.clear()
        await stage.put(MINE, known, text="Fill")
        await asyncio.sleep(LONG)
        assert told_again(own, gone) == ["delete-task"]
        assert told_again(own, there) == []

    play(scene)


def test_a_row_whose_writer_hung_up_is_not_refused(play) -> None:
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        put = asyncio.create_task(stage.put(MINE, known, text="Fill"))
        await asyncio.sleep(0)
        put.cancel()
        await asyncio.wait([put])
        assert put.cancelled() and not stage.backend.default._inserts._refused

    play(scene)


def test_a_refused_row_that_is_deleted_counts_as_saved(play) -> None:
    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        await stage.refused(MINE, known)
        assert stage.backend.default._inserts._refused
        await stage.delete(MINE, known)
        assert not stage.backend.default._inserts._refused

    play(scene)


def test_a_refused_post_counts_until_one_is_accepted(play) -> None:
    async def scene(stage: Stage) -> None:
        for _ in range(2):
            with pytest.raises(GanttError):
                await stage.task(MINE, parent="a row that is on its way")
        known = await stage.task(MINE)
        assert stage.backend.default._inserts._refused
        await stage.put(MINE, known, text="Fill")
        assert stage.backend.default._inserts._refused
        await stage.task(MINE)
        assert not stage.backend.default._inserts._refused

    play(scene)


def test_a_refused_row_of_a_batch_counts_until_one_is_accepted(play) -> None:
    async def scene(stage: Stage) -> None:
        # As the client names a row that has no id yet.
        write = BatchRow("inserted", "1700000000001", {"text": "Dig", **DATES, "parent": 99})
        await stage.ask(stage.backend.batch("task", [write], author=MINE))
        assert stage.backend.default._inserts._refused
        await stage.task(MINE)
        assert not stage.backend.default._inserts._refused

    play(scene)


def test_a_page_that_is_away_is_told_when_it_is_back(play) -> None:
    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        theirs = await stage.task(THEIRS)
        await stage.task(MINE)
        stage.backend.default.hub.leave(own)
        await asyncio.sleep(LONG)
        back = stage.listen("mine", "eve", stage.backend.default.plan.seq)
        assert back.told == []
        await asyncio.sleep(LONG)
        assert "add-task" in told_again(back, theirs)

    play(scene)


def test_what_a_page_was_replayed_while_it_was_adding_is_replayed_again(play) -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.task(THEIRS)
        await asyncio.sleep(UNDER_WAY + LONG)
        own = stage.listen("mine", "eve", 0)
        assert "add-task" in told_again(own, old)
        await asyncio.sleep(UNDER_WAY / 2)
        await stage.task(MINE)
        own.clear()
        await asyncio.sleep(LONG)
        assert "add-task" in told_again(own, old)

    play(scene)


def test_where_not_all_is_remembered_the_page_is_replayed(play, monkeypatch) -> None:
    monkeypatch.setattr(inserts_module, "MOST_TOLD", 2)

    async def scene(stage: Stage) -> None:
        own = stage.listen("mine", "eve")
        await stage.task(MINE)
        theirs = [await stage.task(THEIRS) for _ in range(4)]
        await asyncio.sleep(SHORT)
        own.clear()
        await asyncio.sleep(LONG)
        assert all("add-task" in told_again(own, id) for id in theirs)
        assert len(stage.backend.default._inserts._told) == 2

    play(scene)


def test_a_program_that_adds_rows_is_no_page(play) -> None:
    async def scene(stage: Stage) -> None:
        await stage.task(Author("eve"))
        inserts = stage.backend.default._inserts
        assert not (inserts._held or inserts._requests or inserts._adding)

    play(scene)


def test_refused_rows_are_remembered_within_bounds(play, monkeypatch) -> None:
    monkeypatch.setattr(inserts_module, "MOST_PAGES", 2)
    monkeypatch.setattr(inserts_module, "MOST_REFUSED", 3)

    async def scene(stage: Stage) -> None:
        ids = [await stage.task(THEIRS) for _ in range(5)]
        for page in "abcd":
            for id in ids:
                await stage.refused(Author("eve", page), id)
        assert {
            page: len(rows) for page, rows in stage.backend.default._inserts._refused.items()
        } == {
            "c": 3,
            "d": 3,
        }

    play(scene)


def test_of_the_pages_that_were_refused_those_that_were_not_for_longest_are_forgotten(
    play, monkeypatch
) -> None:
    monkeypatch.setattr(inserts_module, "MOST_PAGES", 2)

    async def scene(stage: Stage) -> None:
        known = await stage.task(THEIRS)
        for page in "abac":
            await stage.refused(Author("eve", page), known)
        assert list(stage.backend.default._inserts._refused) == ["a", "c"]

    play(scene)
