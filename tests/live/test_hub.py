from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import orjson
import pytest

from gantt_tornado.live import hub as hub_module
from gantt_tornado.live.hub import CROWDED, FEW, Audience, Event, Hub, _one, coalesce, encode_event
from gantt_tornado.live.plan import Plan
from tests.support import Driven

#: Short, and nothing here depends on how long it takes.
WINDOW = 0.001


class Page:
    """A listener that keeps what it is sent, write by write."""

    def __init__(self, since: int | None = None, tab: str = "", user_name: str = "") -> None:
        self.since = since
        self.tab = tab
        self.user_name = user_name
        self.reloads = False
        self.writes: list[list[Any]] = []
        self.asked: list[int] = []
        #: Called after each write.
        self.sent: Callable[[], None] = lambda: None

    def known(self, channel: str) -> int | None:
        return self.since

    def ask(self, seq: int) -> None:
        self.asked.append(seq)

    def send(self, frames: bytes) -> None:
        self.writes.append([])
        while frames:
            head = {126: 4, 127: 10}.get(frames[1], 2)
            size = int.from_bytes(frames[2:head]) if head > 2 else frames[1]
            body = orjson.loads(frames[head : head + size])["body"]
            self.writes[-1].append(body["value"])
            frames = frames[head + size :]
        self.sent()

    def replay(self, slices: Iterator[bytes]) -> None:
        for frames in slices:
            self.send(frames)

    @property
    def had(self) -> list[Any]:
        return [value for write in self.writes for value in write]


class Broken(Page):
    def send(self, frames: bytes) -> None:
        raise OSError("gone")


def number(n: int, seq: int = 0, updates: int = 0, channel: str = "tasks") -> Event:
    return encode_event(channel, b"%d" % n, seq, updates, version=seq)


def hub_of(*pages: Page, channel: str = "tasks") -> Hub:
    hub = Hub(Plan(), WINDOW)
    for page in pages:
        hub.subscribe(page, channel)
    return hub


async def window() -> None:
    """Until a window that is open now is over: its timer is the earlier one."""
    await asyncio.sleep(WINDOW)


def run(scene: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scene)


@pytest.fixture
def plan() -> Iterator[Driven]:
    plan = Driven()
    yield plan
    plan.close()


# Pacing.


def test_the_first_event_goes_at_once() -> None:
    async def scene() -> None:
        page = Page()
        hub_of(page).publish([number(1)])
        assert page.had == [1]

    run(scene())


def test_what_comes_soon_after_is_collected_and_written_once() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        for n in range(5):
            hub.publish([number(n)])
        assert page.writes == [[0]]
        await window()
        assert page.writes == [[0], [1, 2, 3, 4]]

    run(scene())


def test_an_applications_own_event_holds_up_no_edit() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.subscribe(page, "presence")
        hub.publish([number(1, channel="presence")])
        hub.publish([number(2)])
        assert page.writes == [[1], [2]]

    run(scene())


def test_an_applications_own_event_waits_behind_an_edit() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.subscribe(page, "presence")
        hub.publish([number(1), number(2, channel="presence")])
        hub.publish([number(3, channel="presence")])
        await window()
        assert page.writes == [[1, 2], [3]]

    run(scene())


def test_pages_that_ask_for_the_same_are_replayed_the_same(plan: Driven) -> None:
    async def scene() -> None:
        task = plan.task()
        first, second, later = Page(since=0), Page(since=0), Page(since=0)
        hub = Hub(plan.plan, WINDOW)
        for page in (first, second):
            hub.subscribe(page, "tasks")
        plan.delete("task", task)
        hub.subscribe(later, "tasks")
        assert first.had == second.had != later.had
        assert [value["type"] for value in later.had] == ["delete-task"]

    run(scene())


def test_while_more_come_the_windows_go_on() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        for n in range(3):
            hub.publish([number(2 * n)])
            hub.publish([number(2 * n + 1)])
            await window()
        assert page.had == list(range(6))
        assert page.writes[1:3] == [[1], [2, 3]]

    run(scene())


def test_after_a_quiet_window_an_event_goes_at_once_again() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(1)])
        await window()
        hub.publish([number(2)])
        assert page.had == [1, 2]

    run(scene())


def test_events_published_together_go_together() -> None:
    async def scene() -> None:
        page = Page()
        hub_of(page).publish([number(1), number(2)])
        assert page.writes == [[1, 2]]

    run(scene())


def test_nothing_published_opens_no_window() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([])
        hub.publish([number(1)])
        assert page.had == [1]

    run(scene())


def test_what_is_too_large_for_a_window_goes_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LARGEST", 3 * len(number(0).frame))

    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(n) for n in range(8)])
        hub.publish([number(8)])
        assert page.writes == [[0, 1, 2]]
        await window()
        assert page.writes == [[0, 1, 2], [3, 4, 5]]
        await window()
        assert page.writes == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]

    run(scene())


def test_an_event_that_is_too_large_for_a_window_has_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "LARGEST", 1)

    async def scene() -> None:
        page = Page()
        hub_of(page).publish([number(1), number(2)])
        assert page.writes == [[1]]
        await window()
        assert page.writes == [[1], [2]]

    run(scene())


def test_what_an_application_publishes_goes_on_after_a_full_window(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hub_module, "LARGEST", 1)

    async def scene() -> None:
        page = Page()
        hub = hub_of(page, channel="news")
        hub.publish([number(1, channel="news"), number(2, channel="news")])
        await window()
        assert page.had == [1, 2]

    run(scene())


def test_closing_sends_all_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "LARGEST", 1)

    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(n) for n in range(5)])
        hub.close()
        assert page.had == list(range(5))

    run(scene())


def test_order_is_kept_through_all_windows() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        for n in range(100):
            hub.publish([number(n, seq=n + 1)])
            if n % 7 == 0:
                await window()
        hub.close()
        assert page.had == list(range(100))

    run(scene())


def test_the_end_sends_what_is_collected() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(1)])
        hub.publish([number(2)])
        hub.close()
        assert page.had == [1, 2]

    run(scene())


def test_the_same_bytes_go_to_every_page() -> None:
    async def scene() -> None:
        sent: list[bytes] = []

        class Raw(Page):
            def send(self, frames: bytes) -> None:
                sent.append(frames)

        hub_of(Raw(), Raw(), Raw()).publish([number(1)])
        assert len(sent) == 3 and len({id(frames) for frames in sent}) == 1

    run(scene())


# Who is told.


def test_a_page_hears_its_channels_alone() -> None:
    async def scene() -> None:
        tasks, links = Page(), Page()
        hub = hub_of(tasks)
        hub.subscribe(links, "links")
        hub.publish([number(1), number(2, channel="links"), number(3, channel="mine")])
        assert (tasks.had, links.had) == ([1], [2])

    run(scene())


def test_a_page_on_two_channels_hears_both_in_order() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.subscribe(page, "links")
        hub.publish([number(1), number(2, channel="links"), number(3)])
        assert page.writes == [[1, 2, 3]]

    run(scene())


def test_a_page_that_subscribed_twice_hears_once() -> None:
    async def scene() -> None:
        page = Page()
        hub_of(page, page).publish([number(1)])
        assert page.had == [1]

    run(scene())


def test_a_page_that_unsubscribed_hears_no_more() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.subscribe(page, "links")
        hub.unsubscribe(page, "tasks")
        hub.publish([number(1), number(2, channel="links")])
        assert page.had == [2]

    run(scene())


def test_channels_that_a_page_left_take_no_memory() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        for name in range(100):
            hub.subscribe(page, f"{name}")
            hub.unsubscribe(page, f"{name}")
        assert hub._listeners[page].joined_at.keys() == {"tasks"}

    run(scene())


def test_sets_of_many_channels_are_not_kept_for_others() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        _one.cache_clear()
        for name in range(30):
            hub.subscribe(page, f"{name}")
        assert _one.cache_info().currsize < FEW

    run(scene())


def test_a_page_that_left_hears_no_more_also_of_what_was_collected() -> None:
    async def scene() -> None:
        page, other = Page(), Page()
        hub = hub_of(page, other)
        hub.publish([number(1)])
        hub.publish([number(2)])
        hub.leave(page)
        await window()
        assert (page.had, other.had) == ([1], [1, 2])

    run(scene())


@pytest.mark.parametrize("goodbye", [lambda h, p: h.leave(p), lambda h, p: h.unsubscribe(p, "x")])
def test_leaving_what_was_never_joined_is_no_error(goodbye: Any) -> None:
    hub = hub_of(Page())
    goodbye(hub, Page())


def test_a_page_that_leaves_while_it_is_told_harms_nobody() -> None:
    async def scene() -> None:
        class Leaving(Page):
            def send(self, frames: bytes) -> None:
                hub.leave(self)

        others = [Page(), Page()]
        hub = hub_of(others[0], Leaving(), others[1])
        hub.publish([number(1)])
        assert [page.had for page in others] == [[1], [1]]

    run(scene())


def test_a_page_that_fails_harms_nobody() -> None:
    async def scene() -> None:
        before, after = Page(), Page()
        hub = hub_of(before, Broken(), after)
        hub.publish([number(1)])
        hub.publish([number(2)])
        await window()
        assert (before.had, after.had) == ([1, 2], [1, 2])

    run(scene())


def test_a_page_that_fails_harms_nobody_among_newcomers(plan: Driven) -> None:
    async def scene() -> None:
        plan.task()
        hub = Hub(plan.plan, WINDOW)
        after = Page()
        for page in (Broken(), after):
            hub.subscribe(page, "tasks")
        hub.publish([number(1, seq=1), number(2, seq=2)])
        # Logging a failure can take longer than a turn of sending may.
        await asyncio.sleep(0)
        assert after.had == [2]

    run(scene())


# Newcomers.


def told(plan: Driven, id: int) -> Event:
    """The event of an item's last change."""
    item = plan.item("task", id)
    return encode_event("tasks", orjson.dumps(item["text"]), item["_rev"], id, item["_rev"])


def join(plan: Driven, page: Page) -> None:
    async def scene() -> None:
        Hub(plan.plan).subscribe(page, "tasks")

    run(scene())


def test_a_page_without_a_since_is_replayed_nothing(plan: Driven) -> None:
    plan.task()
    page = Page()
    join(plan, page)
    assert page.writes == []


def test_a_page_with_a_since_is_replayed_before_it_joins(plan: Driven) -> None:
    plan.task()
    page = Page(since=0)
    join(plan, page)
    assert [value["type"] for value in page.had] == ["add-task", "update-task", "move-task"]


def test_a_replay_is_one_write(plan: Driven) -> None:
    for _ in range(5):
        plan.task()
    page = Page(since=0)
    join(plan, page)
    assert len(page.writes) == 1


@pytest.mark.parametrize("more, frames", [(0, [2, 2, 2, 1]), (1, [3, 3, 1])])
def test_a_slice_of_a_replay_ends_where_it_is_long_enough(
    monkeypatch: pytest.MonkeyPatch, more: int, frames: list[int]
) -> None:
    size = len(encode_event("tasks", b"1").frame)
    monkeypatch.setattr(hub_module, "REPLAYED_AT_ONCE", 2 * size + more)
    missed = [[b"1"]] * 7
    slices = [len(each) // size for each in hub_module.sliced("tasks", missed)]
    assert slices == frames


def test_what_was_replayed_is_not_told_again_from_the_window(plan: Driven) -> None:
    async def scene() -> None:
        old, new = Page(), Page(since=0)
        hub = Hub(plan.plan, WINDOW)
        hub.subscribe(old, "tasks")
        hub.publish([number(0)])
        hub.publish([told(plan, plan.task(text="Dig"))])
        hub.subscribe(new, "tasks")
        await window()
        assert old.had == [0, "Dig"]
        assert [value["type"] for value in new.had] == ["add-task", "update-task", "move-task"]

    run(scene())


def test_what_is_committed_and_not_yet_published_reaches_a_newcomer_once(plan: Driven) -> None:
    async def scene() -> None:
        page = Page(since=0)
        hub = Hub(plan.plan, WINDOW)
        task = plan.task()
        hub.subscribe(page, "tasks")
        hub.publish([told(plan, task)])
        hub.close()
        assert len(page.had) == 3

    run(scene())


def test_what_is_committed_after_joining_reaches_a_newcomer(plan: Driven) -> None:
    async def scene() -> None:
        page = Page(since=0)
        hub = Hub(plan.plan, WINDOW)
        hub.publish([number(0)])
        hub.subscribe(page, "tasks")
        hub.publish([told(plan, plan.task(text="Dig"))])
        await window()
        assert page.had == ["Dig"]

    run(scene())


def test_a_newcomer_to_one_channel_misses_nothing_on_another(plan: Driven) -> None:
    async def scene() -> None:
        page = Page(since=0)
        hub = Hub(plan.plan, WINDOW)
        hub.subscribe(page, "tasks")
        hub.publish([number(0)])
        hub.publish([told(plan, plan.task(text="Dig"))])
        hub.subscribe(page, "links")
        await window()
        assert page.had == [0, "Dig"]

    run(scene())


def test_what_no_journal_holds_reaches_newcomers_too(plan: Driven) -> None:
    async def scene() -> None:
        page = Page(since=0)
        hub = Hub(plan.plan, WINDOW)
        hub.publish([number(0)])
        hub.publish([number(1)])
        hub.subscribe(page, "tasks")
        await window()
        assert page.had == [1]

    run(scene())


def test_a_page_that_comes_back_is_replayed_from_where_it_says(plan: Driven) -> None:
    plan.task(text="Dig")
    page = Page(since=plan.plan.seq)
    plan.task(text="Fill")
    join(plan, page)
    assert {value["task"]["text"] for value in page.had if "text" in value["task"]} == {"Fill"}


# Many pages.


@pytest.fixture
def slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "SLICE", 2)
    monkeypatch.setattr(hub_module, "LONGEST", 0)


@pytest.mark.usefixtures("slices")
def test_many_pages_are_told_in_slices_and_in_order() -> None:
    async def scene() -> None:
        pages = [Page() for _ in range(7)]
        hub = hub_of(*pages)
        hub.publish([number(1)])
        hub.publish([number(2)])
        assert [bool(page.had) for page in pages] == [True] * 2 + [False] * 5
        hub.close()
        assert [page.had for page in pages] == [[1, 2]] * 7

    run(scene())


@pytest.mark.usefixtures("slices")
def test_between_two_slices_others_have_the_loop() -> None:
    async def scene() -> None:
        pages = [Page() for _ in range(7)]
        hub_of(*pages).publish([number(1)])
        told = []
        while not pages[-1].had:
            told.append(sum(bool(page.had) for page in pages))
            await asyncio.sleep(0)
        assert told == [2, 4, 6]

    run(scene())


@pytest.mark.usefixtures("slices")
def test_a_newcomer_between_two_slices_is_told_once(plan: Driven) -> None:
    async def scene() -> None:
        pages, new = [Page() for _ in range(5)], Page(since=0)
        hub = Hub(plan.plan, WINDOW)
        for page in pages:
            hub.subscribe(page, "tasks")
        hub.publish([told(plan, plan.task(text="Dig"))])
        hub.subscribe(new, "tasks")
        hub.close()
        assert [value["type"] for value in new.had] == ["add-task", "update-task", "move-task"]
        assert [page.had for page in pages] == [["Dig"]] * 5

    run(scene())


@pytest.mark.usefixtures("slices")
def test_a_page_that_joins_again_between_two_slices_is_not_put_back(plan: Driven) -> None:
    async def scene() -> None:
        pages = [Page() for _ in range(5)]
        hub = Hub(plan.plan, WINDOW)
        for page in pages:
            hub.subscribe(page, "tasks")
        task = plan.task(text="Dig")
        hub.publish([told(plan, task)])
        plan.update("task", task, {"text": "Fill"})
        pages[-1].since = 0
        hub.unsubscribe(pages[-1], "tasks")
        hub.subscribe(pages[-1], "tasks")
        hub.publish([told(plan, task)])
        hub.close()
        assert pages[-1].had[-1] != "Dig"

    run(scene())


@pytest.mark.usefixtures("slices")
def test_a_page_that_failed_does_not_stop_the_slices_for_ever() -> None:
    async def scene() -> None:
        pages = [Page() for _ in range(5)]
        hub = hub_of(Broken(), *pages)
        for n in (1, 2):
            with contextlib.suppress(OSError):
                hub.publish([number(n)])
            await window()
        await window()
        assert [page.had[-1:] for page in pages] == [[2]] * 5

    run(scene())


@pytest.mark.usefixtures("slices")
def test_a_page_is_not_asked_before_its_slice_is_sent() -> None:
    async def scene() -> None:
        pages = [Page() for _ in range(5)]
        hub = hub_of(*pages)
        hub.publish([number(1, seq=1)])
        hub.ask()
        assert not any(1 in page.asked and not page.had for page in pages)
        await window()
        assert [page.asked for page in pages] == [[1]] * 5

    run(scene())


# Crowded windows.


def test_in_a_crowded_window_only_the_last_update_of_an_item_is_told() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(0)])
        hub.publish([number(n, seq=n, updates=7) for n in range(1, CROWDED + 2)])
        await window()
        assert page.had == [0, CROWDED + 1]

    run(scene())


def test_in_any_other_window_each_update_is_told() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(n, seq=n + 1, updates=7) for n in range(CROWDED)])
        assert page.had == list(range(CROWDED))

    run(scene())


def test_updates_of_different_items_are_all_kept_in_order() -> None:
    events = [number(n, updates=n) for n in (1, 2, 3)]
    assert coalesce(events) == events


def test_the_last_update_of_each_item_stays_where_it_stood() -> None:
    a1, b1, a2, b2 = (number(n, updates=i) for n, i in enumerate((1, 2, 1, 2), 1))
    assert coalesce([a1, b1, a2, b2]) == [a2, b2]


def test_what_is_no_plain_update_is_never_left_out() -> None:
    events = [number(n) for n in (1, 1, 2, 2)]
    assert coalesce(events) == events


def test_an_update_before_an_add_is_not_replaced_by_one_after_it() -> None:
    events = [number(1, updates=7), number(2), number(3, updates=7)]
    assert coalesce(events) == events


def test_of_nothing_remains_nothing() -> None:
    assert coalesce([]) == []


# Acknowledgement.


def test_a_page_is_asked_for_what_was_published_last() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(1, seq=4), number(2, seq=5)])
        hub.publish([])
        hub.ask()
        assert page.asked == [5]

    run(scene())


def test_a_page_is_never_asked_for_what_still_waits() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(1, seq=1)])
        hub.publish([number(2, seq=2)])
        hub.ask()
        assert 2 not in page.asked
        await window()
        hub.ask()
        assert page.asked[-1] == 2

    run(scene())


def test_what_no_journal_holds_does_not_move_the_question() -> None:
    async def scene() -> None:
        page = Page()
        hub = hub_of(page)
        hub.publish([number(1, seq=3)])
        await window()
        hub.publish([number(2)])
        hub.ask()
        assert page.asked == [3]

    run(scene())


def test_nobody_is_asked_who_has_not_frames_for() -> None:
    page = Page()
    hub = hub_of(page)
    hub.leave(page)
    hub.ask()
    assert page.asked == []


# Telling a page again.


def test_what_a_page_is_told_again_comes_behind_what_waits_for_the_window(plan: Driven) -> None:
    async def scene() -> None:
        mine, other = Page(tab="mine"), Page(tab="other")
        hub = Hub(plan.plan, WINDOW)
        for page in (mine, other):
            hub.subscribe(page, "tasks")
        hub.publish([number(0)])
        hub.publish([told(plan, plan.task(text="Dig"))])
        hub.retell("mine", "tasks", lambda: [[b'"again"']])
        assert (mine.had, other.had) == ([0, "Dig", "again"], [0])
        await window()
        assert (mine.had, other.had) == ([0, "Dig", "again"], [0, "Dig"])

    run(scene())


def test_an_applications_own_event_is_told_once_behind_it(plan: Driven) -> None:
    async def scene() -> None:
        page = Page(tab="mine")
        hub = Hub(plan.plan, WINDOW)
        hub.subscribe(page, "tasks")
        hub.publish([number(0)])
        hub.publish([number(1), told(plan, plan.task(text="Dig"))])
        hub.retell("mine", "tasks", lambda: [[b'"again"']])
        await window()
        assert page.had == [0, "Dig", "again", 1]

    run(scene())


@pytest.mark.usefixtures("slices")
def test_what_is_on_its_way_to_a_page_is_not_overtaken() -> None:
    async def scene() -> None:
        pages = [Page(tab=f"{n}") for n in range(5)]
        hub = hub_of(*pages)
        hub.publish([number(1)])
        hub.retell("4", "tasks", lambda: [[b'"again"']])
        hub.close()
        assert pages[4].had == [1, "again"]

    run(scene())


def test_a_page_is_told_again_what_it_listens_to() -> None:
    async def scene() -> None:
        page = Page(tab="mine")
        hub_of(page, channel="links").retell("mine", "tasks", lambda: [[b"1"]])
        assert page.had == []

    run(scene())


# What a replay has drawn over.


def reconnects(plan: Driven, *reaches: int) -> Hub:
    hub = Hub(plan.plan, WINDOW)
    for since in reaches:
        hub.subscribe(Page(since), "tasks")
    return hub


def test_what_a_replay_held_was_replayed(plan: Driven) -> None:
    async def scene() -> None:
        a, b, c = plan.task(), plan.task(), plan.task()
        hub = reconnects(plan, a)
        assert [hub.replayed(seq) for seq in (a, b, c)] == [False, True, True]

    run(scene())


def test_of_several_replays_the_longest_counts(plan: Driven) -> None:
    async def scene() -> None:
        a, b = plan.task(), plan.task()
        for reaches in ((0, a), (a, 0)):
            hub = reconnects(plan, *reaches)
            assert hub.replayed(a) and hub.replayed(b)

    run(scene())


def test_who_missed_nothing_was_replayed_nothing(plan: Driven) -> None:
    async def scene() -> None:
        task = plan.task()
        assert not reconnects(plan, task).replayed(task)

    run(scene())


def test_a_replay_is_drawn_after_some_seconds(
    plan: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        task, now = plan.task(), loop.time()
        monkeypatch.setattr(loop, "time", lambda: now)
        hub = reconnects(plan, 0)
        monkeypatch.setattr(loop, "time", lambda: now + hub_module.DRAWN + 1)
        assert not hub.replayed(task)
        hub.subscribe(Page(task - 1), "tasks")
        assert hub.replayed(task)

    run(scene())


def test_of_two_replays_the_shorter_counts_when_the_longer_is_drawn(
    plan: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        loop = asyncio.get_running_loop()
        a, b, c = plan.task(), plan.task(), plan.task()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now)
        hub = reconnects(plan, 0)
        monkeypatch.setattr(loop, "time", lambda: now + 2)
        hub.subscribe(Page(b), "tasks")
        hub.subscribe(Page(a), "tasks")
        monkeypatch.setattr(loop, "time", lambda: now + hub_module.DRAWN + 1)
        assert [hub.replayed(seq) for seq in (a, b, c)] == [False, True, True]

    run(scene())


# Events for some.


def addressed(n: int, **audience: Audience) -> Event:
    return number(n)._replace(**audience)


MINE = Audience(tabs=frozenset(("mine",)))


def test_an_event_for_some_reaches_no_others() -> None:
    async def scene() -> None:
        mine, other, bare = Page(tab="mine"), Page(tab="other"), Page()
        hub = hub_of(mine, other, bare)
        hub.publish([number(1), addressed(2, only=MINE), number(3)])
        assert (mine.had, other.had, bare.had) == ([1, 2, 3], [1, 3], [1, 3])

    run(scene())


def test_an_event_reaches_all_but_some() -> None:
    async def scene() -> None:
        mine, other, bare = Page(tab="mine"), Page(tab="other"), Page()
        hub = hub_of(mine, other, bare)
        hub.publish([number(1), addressed(2, but=MINE), number(3)])
        assert (mine.had, other.had, bare.had) == ([1, 3], [1, 2, 3], [1, 2, 3])

    run(scene())


def test_some_of_those_meant_can_be_left_out() -> None:
    async def scene() -> None:
        mine, other = Page(tab="mine"), Page(tab="other")
        hub = hub_of(mine, other)
        both = Audience(listeners=frozenset((mine, other)))
        hub.publish([addressed(1, only=both, but=MINE)])
        assert (mine.had, other.had) == ([], [1])

    run(scene())


def test_every_socket_of_a_page_is_meant_by_its_tab() -> None:
    async def scene() -> None:
        first, second = Page(tab="mine"), Page(tab="mine")
        hub_of(first, second).publish([addressed(1, only=MINE)])
        assert first.had == second.had == [1]

    run(scene())


def test_newcomers_too_are_told_only_what_is_for_them(plan: Driven) -> None:
    async def scene() -> None:
        plan.task()
        hub = Hub(plan.plan, WINDOW)
        mine, other = Page(tab="mine"), Page(tab="other")
        for page in (mine, other):
            hub.subscribe(page, "tasks")
        new = number(1, seq=1)
        hub.publish([new, number(2, seq=2)._replace(but=MINE), number(3)._replace(only=MINE)])
        assert (mine.had, other.had) == ([3], [2])

    run(scene())


def test_those_who_are_told_the_same_share_a_buffer() -> None:
    async def scene() -> None:
        pages = [Page(tab=str(n)) for n in range(3)]
        hub = hub_of(*pages)
        hub.publish([number(0)])
        sent: list[int] = []
        for page in pages:
            page.send = lambda frames: sent.append(id(frames))  # type: ignore[method-assign]
        hub._groups_of_all = None
        hub.publish([number(1), addressed(2, but=Audience(tabs=frozenset("0")))])
        await window()
        assert len(sent) == 3 and len(set(sent)) == 2

    run(scene())


def test_audiences_add_up() -> None:
    mine, other, bare = Page(tab="mine"), Page(tab="other"), Page()
    both = MINE | Audience(listeners=frozenset((bare,)))
    assert [page in both for page in (mine, other, bare)] == [True, False, True]


def test_the_sockets_of_a_user_with_and_without_a_tab() -> None:
    async def scene() -> None:
        tab, bare, other = Page(tab="t", user_name="e"), Page(user_name="e"), Page(user_name="c")
        hub = hub_of(tab, bare, other)
        assert hub.sockets("e", with_tab=False) == {bare}
        assert hub.sockets("e", with_tab=True) == {tab, bare}
        assert hub.is_listening("t") and not hub.is_listening("u")

    run(scene())


def test_a_page_is_replayed_on_what_it_listens_to(plan: Driven) -> None:
    async def scene() -> None:
        a, b = plan.task(), plan.task()
        plan.link(a, b)
        hub = Hub(plan.plan, WINDOW)
        mine, other = Page(tab="mine"), Page(tab="other")
        for page in (mine, other):
            hub.subscribe(page, "tasks")
        hub.replay("mine", a)
        assert {value["event"]["id"] for value in mine.had} == {b}
        assert other.had == []

    run(scene())
