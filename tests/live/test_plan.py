from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.errors import GanttError
from gantt_tornado.live import plan as plan_module
from gantt_tornado.live.plan import Plan, Sequence
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.marks import FOREIGN, Position
from gantt_tornado.store.items import Store
from tests.live.test_hub import Page
from tests.support import ALICE, DATES, Driven, count_calls, replay

CHANNELS = [entity.channel for entity in ENTITIES.values()]
TASK, LINK = ENTITIES["task"], ENTITIES["link"]


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """Blocks are split and emptied with a few items already."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "BLOCK", 3)
        yield


@pytest.fixture
def plan() -> Iterator[Driven]:
    plan = Driven()
    yield plan
    plan.close()


def loaded(plan: Plan) -> dict[str, Any]:
    load: dict[str, Any] = orjson.loads(b"".join(plan.load()))
    return load


def replayed(plan: Plan, channel: str, since: int) -> list[dict[str, Any]]:
    return [orjson.loads(value) for value in replay(plan, channel, since)]


def reload_of(plan: Plan) -> dict[str, Any]:
    return {"type": "reload", "seq": loaded(plan)["seq"]}


def kinds(plan: Plan, channel: str, since: int) -> list[tuple[str, int]]:
    return [(value["type"], value["event"]["id"]) for value in replayed(plan, channel, since)]


class Client:
    """The released client's data, with the edges of its handlers."""

    def __init__(self, plan: Plan) -> None:
        load = loaded(plan)
        self.tasks = {task["id"]: task for task in load["tasks"]}
        self.links = {link["id"]: link for link in load["links"]}
        self.order: dict[int, list[int]] = {}
        for task in load["tasks"]:
            self.order.setdefault(task["parent"], []).append(task["id"])

    def take(self, values: list[bytes]) -> None:
        for value in map(orjson.loads, values):
            verb, entity = value["type"].split("-")
            item = value["event"]
            getattr(self, f"{verb}_{entity}")(item["id"], item)

    def add_task(self, id: int, item: dict[str, Any]) -> None:
        if id not in self.tasks:
            assert item["parent"] == 0 or item["parent"] in self.tasks, "a parent comes first"
            self.tasks[id] = item
            self.order.setdefault(item["parent"], []).append(id)

    def update_task(self, id: int, item: dict[str, Any]) -> None:
        assert id in self.tasks, "an update of an unknown task is an error in the client"
        before = self.tasks[id]["parent"]
        if before != item["parent"]:
            self.order[before].remove(id)
            self.order.setdefault(item["parent"], []).append(id)
        self.tasks[id] = item

    def move_task(self, id: int, place: dict[str, Any]) -> None:
        siblings = self.order[place["parent"]]
        siblings.remove(id)
        above = place["target"].removeprefix("next:")
        at = siblings.index(int(above)) + 1 if place["index"] and int(above) in siblings else 0
        siblings.insert(at, id)

    def delete_task(self, id: int, _: Any) -> None:
        if id not in self.tasks:
            return
        for child in list(self.order.get(id, ())):
            self.delete_task(child, None)
        self.order[self.tasks.pop(id)["parent"]].remove(id)
        for link in [k for k, v in self.links.items() if id in (v["source"], v["target"])]:
            del self.links[link]

    def add_link(self, id: int, item: dict[str, Any]) -> None:
        self.links.setdefault(id, item)

    def update_link(self, id: int, item: dict[str, Any]) -> None:
        assert id in self.links, "an update of an unknown link is an error in the client"
        self.links[id] = item

    def delete_link(self, id: int, _: Any) -> None:
        self.links.pop(id, None)

    def shown(self) -> Any:
        order = {parent: rows for parent, rows in self.order.items() if rows}
        return self.tasks, self.links, order


# Any sequence of changes.

OPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "text", "parent", "drop", "delete", "link", "side", "undo"]),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=25,
)


def change(plan: Driven, op: str, i: int, j: int) -> None:
    """One change, or none where the plan refuses it."""
    tasks, links = plan.ids("task"), plan.ids("link")
    task = tasks[i % len(tasks)] if tasks else 0
    other = tasks[j % len(tasks)] if tasks else 0
    seq = plan.store.journal.seq()
    try:
        if op == "add":
            plan.task(parent=other if i % 2 else 0, target=f"next:{task}")
        elif op == "text":
            plan.update("task", task, {"text": str(j)})
        elif op == "parent":
            plan.update("task", task, {"parent": other if j else 0})
        elif op == "drop":
            target = f"next:{other}" if i % 2 else str(other)
            parent = plan.item("task", other)["parent"] if other else 0
            rev = plan.rev(task)
            plan.update("task", task, {"parent": parent, "target": target, "_rev": rev})
        elif op == "delete" and i % 3:
            plan.delete("task", task)
        elif op == "delete":
            plan.delete("link", links[j % len(links)] if links else 0)
        elif op == "link" and links and not i % 3:
            plan.update("link", links[j % len(links)], {"source": task})
        elif op == "link":
            plan.link(task, other)
        elif op == "side":
            plan.insert("assignment", {"task_id": task, "n": j})
        elif seq:
            plan.undo(max(1, seq - i), ALICE)
    except GanttError:
        pass


def changed(ops: list[Any]) -> Driven:
    """A small plan after some changes."""
    plan = Driven()
    for parent in (0, 1, 0, 3, 0, 0):
        plan.task(parent=parent)
    plan.link(2, 4)
    for op in ops:
        change(plan, *op)
    return plan


@given(OPS)
def test_after_any_changes_the_plan_is_what_the_store_holds(ops: list[Any]) -> None:
    plan = changed(ops)
    stored = Plan.of(plan.store.read())
    assert loaded(plan.plan) == loaded(stored)
    for id in plan.ids("task"):
        assert plan.plan.move_value(TASK, id) == stored.move_value(TASK, id)
    plan.close()


@given(OPS)
def test_after_any_changes_a_restart_replays_the_same(ops: list[Any]) -> None:
    plan = changed(ops)
    stored = Plan.of(plan.store.read())
    for channel in CHANNELS:
        for since in range(plan.plan.seq + 1):
            assert replayed(plan.plan, channel, since) == replayed(stored, channel, since)
    plan.close()


@given(OPS)
def test_tasks_stand_below_their_parents_in_their_order(ops: list[Any]) -> None:
    plan = changed(ops)
    drawn: list[int] = []

    def draw(parent: int) -> None:
        for id in plan.branch(parent):
            drawn.append(id)
            draw(id)

    draw(0)
    assert [task["id"] for task in loaded(plan.plan)["tasks"]] == drawn
    plan.close()


@given(OPS, OPS)
def test_a_replay_brings_a_page_from_any_past_to_the_present(
    before: list[Any], after: list[Any]
) -> None:
    plan = changed(before)
    client, since = Client(plan.plan), plan.plan.seq
    for op in after:
        change(plan, *op)
    client.take(replay(plan.plan, "tasks", since))
    client.take(replay(plan.plan, "links", since))
    assert client.shown() == Client(plan.plan).shown()
    plan.close()


@given(OPS, OPS)
def test_a_replay_twice_changes_nothing_more(before: list[Any], after: list[Any]) -> None:
    plan = changed(before)
    client, since = Client(plan.plan), plan.plan.seq
    for op in after:
        change(plan, *op)
    for channel in ("tasks", "links", "tasks", "links"):
        client.take(replay(plan.plan, channel, since))
    assert client.shown() == Client(plan.plan).shown()
    plan.close()


# Loading.


def test_an_empty_plan_has_tasks_and_links() -> None:
    assert loaded(Plan()) == {"tasks": [], "links": [], "seq": "0-000000"}


def test_an_entity_with_rows_is_loaded_too(plan: Driven) -> None:
    plan.insert("resource", {"text": "Digger"})
    assert [item["text"] for item in loaded(plan.plan)["resources"]] == ["Digger"]


def test_a_load_says_which_change_it_contains(plan: Driven) -> None:
    plan.delete("task", plan.task())
    seq, mark = loaded(plan.plan)["seq"].split("-")
    assert (int(seq), len(mark)) == (2, 6)


def test_an_item_is_given_as_its_bytes(plan: Driven) -> None:
    task = plan.task()
    encoded = plan.plan.item(TASK, task)
    assert encoded is not None and orjson.loads(encoded) == plan.item("task", task)


def test_an_item_that_is_not_there_is_none(plan: Driven) -> None:
    task = plan.task()
    plan.delete("task", task)
    assert plan.plan.item(TASK, task) is None
    assert plan.plan.item(LINK, 99) is None


def test_an_item_of_another_kind_is_none(plan: Driven) -> None:
    assert plan.plan.item(LINK, plan.task()) is None


# Where a row stands.


def moved(plan: Driven, id: int) -> tuple[int, int, str]:
    place = orjson.loads(plan.plan.move_value(TASK, id))["task"]
    return place["parent"], place["index"], place["target"]


def test_a_row_stands_below_its_neighbour(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    assert moved(plan, b) == (0, 1, f"next:{a}")


def test_the_first_row_stands_above_its_neighbour(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    assert moved(plan, a) == (0, 0, str(b))


def test_a_row_alone_in_its_branch_has_no_neighbour(plan: Driven) -> None:
    a = plan.task()
    b = plan.task(parent=a)
    assert moved(plan, b) == (a, 0, "next:null")


# Replay.


def test_nothing_changed_is_nothing_to_replay(plan: Driven) -> None:
    plan.task()
    assert replay(plan.plan, "tasks", plan.plan.seq) == []


@pytest.mark.parametrize("channel", ["", "task", "mine", "presence"])
def test_a_channel_of_ones_own_has_nothing_to_replay(plan: Driven, channel: str) -> None:
    plan.task()
    assert replay(plan.plan, channel, 0) == []


def test_a_task_is_replayed_as_add_and_update_and_place(plan: Driven) -> None:
    task = plan.task()
    assert kinds(plan.plan, "tasks", 0) == [
        ("add-task", task),
        ("update-task", task),
        ("move-task", task),
    ]


@pytest.mark.parametrize("entity", [name for name in ENTITIES if name != "task"])
def test_any_other_item_is_replayed_as_add_and_update(plan: Driven, entity: str) -> None:
    fields = {field: plan.task() for field in ENTITIES[entity].references}
    id = plan.insert(entity, {**fields, **DATES}).id
    expected = [(f"add-{entity}", id), (f"update-{entity}", id)]
    assert kinds(plan.plan, ENTITIES[entity].channel, 0) == expected


def test_only_the_last_state_is_replayed(plan: Driven) -> None:
    task = plan.task()
    for text in "abc":
        plan.update("task", task, {"text": text})
    add, update, _ = replayed(plan.plan, "tasks", 0)
    assert add["task"] == update["task"] == plan.item("task", task)


def test_what_did_not_change_since_is_not_replayed(plan: Driven) -> None:
    plan.task()
    since = plan.plan.seq
    task = plan.task()
    assert {id for _, id in kinds(plan.plan, "tasks", since)} == {task}


def test_deletes_are_replayed_first_and_below_before_above(plan: Driven) -> None:
    top = plan.task()
    child = plan.task(parent=top)
    since = plan.plan.seq
    new = plan.task()
    plan.delete("task", top)
    replay = kinds(plan.plan, "tasks", since)
    assert replay[:3] == [("delete-task", child), ("delete-task", top), ("add-task", new)]


def test_parents_are_replayed_before_children_however_late_they_changed(plan: Driven) -> None:
    a = plan.task()
    b = plan.task()
    plan.update("task", a, {"parent": b})
    plan.update("task", b, {"text": "last"})
    adds = [id for kind, id in kinds(plan.plan, "tasks", 0) if kind == "add-task"]
    assert adds == [b, a]


def test_a_task_that_left_a_deleted_branch_is_replayed_before_the_delete(plan: Driven) -> None:
    top, home = plan.task(), plan.task()
    child = plan.task(parent=top)
    since = plan.plan.seq
    plan.update("task", child, {"parent": home})
    plan.delete("task", top)
    replay = kinds(plan.plan, "tasks", since)
    assert replay.index(("update-task", child)) < replay.index(("delete-task", top))


def test_rows_that_nobody_touched_keep_their_place_in_a_rescue(plan: Driven) -> None:
    a, b, p, x = plan.task(), plan.task(), plan.task(), plan.task()
    child = plan.task(parent=x)
    client, since = Client(plan.plan), plan.plan.seq
    plan.update("task", a, {"target": f"next:{b}"})
    plan.update("task", child, {"parent": p})
    plan.delete("task", x)
    client.take(replay(plan.plan, "tasks", since))
    assert client.order[0] == plan.branch() == [b, a, p]


@pytest.mark.parametrize("channel", CHANNELS)
@pytest.mark.parametrize("since", [-1, 4, 10**18])
def test_a_number_that_is_not_of_the_past_is_answered_with_a_reload(
    plan: Driven, channel: str, since: int
) -> None:
    for _ in range(3):
        plan.task()
    assert replayed(plan.plan, channel, since) == [reload_of(plan.plan)]


def test_what_the_journal_forgot_is_answered_with_a_reload_and_never_a_part(plan: Driven) -> None:
    for _ in range(5):
        plan.task()
    plan.prune(2)
    assert replayed(plan.plan, "tasks", 2) == [reload_of(plan.plan)]
    assert len(replayed(plan.plan, "tasks", 3)) == 6


def test_after_upkeep_a_restart_replays_the_same(plan: Driven) -> None:
    tasks = [plan.task() for _ in range(5)]
    plan.update("task", tasks[0], {"text": "last"})
    plan.prune(3)
    stored = Plan.of(plan.store.read())
    for since in range(7):
        assert replayed(plan.plan, "tasks", since) == replayed(stored, "tasks", since)


def test_when_an_item_was_touched_is_forgotten_with_its_change(plan: Driven) -> None:
    task = plan.task()
    plan.prune(0)
    assert plan.plan.touched(task) == 0


def test_a_journal_that_forgot_all_still_knows_that_nothing_happened(plan: Driven) -> None:
    plan.task()
    plan.prune(0)
    assert replay(plan.plan, "tasks", 1) == replay(Plan.of(plan.store.read()), "tasks", 1) == []


# Moves as they are told.


@pytest.mark.parametrize(
    "drops",
    [
        [("a", "next:{c}"), ("b", "next:{c}")],
        [("d", "{a}"), ("c", "{d}")],
        [("a", "next:{d}"), ("b", "next:{d}"), ("c", "next:{d}")],
        [("a", "next:{c}"), ("d", "{b}")],
    ],
)
def test_drops_of_one_batch_are_told_so_that_a_page_ends_right(drops: list[Any]) -> None:
    async def scene() -> None:
        backend = Backend(Config(database="sqlite:///:memory:"))
        await backend.start()
        ids = {name: (await backend.insert("task", DATES)).id for name in "abcd"}
        await asyncio.sleep(0)
        client, page = Client(backend.default.plan), Page()
        revs = {id: task["_rev"] for id, task in client.tasks.items()}
        backend.default.hub.subscribe(page, "tasks")
        updates = [
            backend.update(
                "task", ids[row], {"target": target.format(**ids), "_rev": revs[ids[row]]}
            )
            for row, target in drops
        ]
        await asyncio.gather(*updates)
        await backend.close()
        client.take([orjson.dumps(value) for value in page.had])
        assert client.order[0] == [task["id"] for task in backend.load()["tasks"]]

    asyncio.run(scene())


# Repetition.


def test_a_repetition_is_the_items_state_or_its_absence(plan: Driven) -> None:
    task = plan.task()
    assert len(plan.plan.resent(TASK, task)) == 3
    plan.delete("task", task)
    (value,) = plan.plan.resent(TASK, task)
    assert orjson.loads(value)["type"] == "delete-task"


def test_who_was_away_during_a_repetition_is_replayed_it(plan: Driven) -> None:
    task = plan.task()
    since = plan.plan.seq
    plan.plan.resent(TASK, task)
    assert ("update-task", task) in kinds(plan.plan, "tasks", since)


def test_who_came_after_a_repetition_is_replayed_only_what_followed(plan: Driven) -> None:
    plan.plan.resent(TASK, plan.task())
    new = plan.task()
    assert {id for _, id in kinds(plan.plan, "tasks", new)} == set()


@pytest.mark.parametrize("entity", [name for name in ENTITIES if name != "task"])
def test_a_repetition_under_a_wrong_name_loses_no_replay(plan: Driven, entity: str) -> None:
    task = plan.task()
    plan.plan.resent(ENTITIES[entity], task)
    assert ("update-task", task) in kinds(plan.plan, "tasks", 0)


def test_a_repetition_of_what_never_was_does_not_stay(plan: Driven) -> None:
    plan.plan.resent(TASK, 10**9)
    assert replay(plan.plan, "tasks", 0) == []


# What pages show although it was refused, and what they drop by themselves.


def test_a_refused_field_that_an_item_lacks_is_told_as_null(plan: Driven) -> None:
    task = plan.task(text="Dig")
    _, update, _ = map(orjson.loads, plan.plan.resent(TASK, task, {"note", "text"}))
    assert update["task"] == {**plan.item("task", task), "note": None}


def test_who_was_away_is_replayed_a_refused_field_as_null(plan: Driven) -> None:
    task = plan.task(text="Dig")
    since = plan.plan.seq
    plan.plan.resent(TASK, task, {"note"})
    plan.update("task", task, {"text": "Dug"})
    plan.plan.resent(TASK, task)
    _, update, _ = replayed(plan.plan, "tasks", since)
    assert update["task"] == {**plan.item("task", task), "note": None}


def test_a_whole_is_what_goes_with_an_item(plan: Driven) -> None:
    top, other = plan.task(), plan.task()
    a = plan.task(parent=top)
    b = plan.task(parent=a)
    link = plan.link(b, other)
    plan.link(other, plan.task())
    side = plan.insert("assignment", {"task_id": a}).id
    assert {id for _, id in plan.plan.whole(top)} == {top, a, b, link, side}
    assert [id for _, id in plan.plan.whole(top)][:3] == [top, a, b]


def test_a_whole_follows_a_link_to_its_new_end(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    link = plan.link(a, b)
    plan.update("link", link, {"target": c})
    assert (LINK, link) not in plan.plan.whole(b)
    assert (LINK, link) in plan.plan.whole(c)


def test_a_whole_has_no_link_that_is_deleted(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.delete("link", plan.link(a, b))
    assert plan.plan.whole(a) == [(TASK, a)]


def test_a_whole_is_the_same_after_a_restart(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.link(a, b)
    assert Plan.of(plan.store.read()).whole(a) == plan.plan.whole(a)


def test_a_whole_of_other_items_is_the_item(plan: Driven) -> None:
    link = plan.link(plan.task(), plan.task())
    assert plan.plan.whole(link) == [(LINK, link)]
    assert plan.plan.whole(99) == []


def test_who_deleted_a_row_with_one_that_had_left_it_gets_that_back_whole(plan: Driven) -> None:
    top, home = plan.task(), plan.task()
    child = plan.task(parent=top)
    below = plan.task(parent=child)
    plan.link(below, home)
    client, since = Client(plan.plan), plan.plan.seq
    plan.update("task", child, {"parent": home})
    # It still shows the child below the row.
    client.delete_task(top, None)
    plan.delete("task", top)
    client.take(replay(plan.plan, "tasks", since))
    client.take(replay(plan.plan, "links", since))
    assert client.shown() == Client(plan.plan).shown()


def test_a_row_that_left_a_deleted_one_is_replayed_whole_after_a_repetition_too(
    plan: Driven,
) -> None:
    top, home = plan.task(), plan.task()
    child = plan.task(parent=top)
    below = plan.task(parent=child)
    since = plan.plan.seq
    plan.update("task", child, {"parent": home})
    plan.delete("task", top)
    plan.plan.resent(TASK, child)
    assert ("add-task", below) in kinds(plan.plan, "tasks", since)


def test_what_hangs_below_a_move_may_be_older_than_all_that_is_remembered(plan: Driven) -> None:
    top = plan.task()
    child = plan.task(parent=top)
    below = plan.task(parent=child)
    plan.prune(0)
    client, since = Client(plan.plan), plan.plan.seq
    plan.update("task", child, {"parent": 0})
    plan.delete("task", top)
    for each in (plan.plan, Plan.of(plan.store.read())):
        assert {id for _, id in kinds(each, "tasks", since)} == {top, child, below}
    client.take(replay(plan.plan, "tasks", since))
    assert client.shown() == Client(plan.plan).shown()


def test_who_saw_no_delete_is_not_told_of_all_below_what_moved(plan: Driven) -> None:
    top, home = plan.task(), plan.task()
    plan.task(parent=top)
    since = plan.plan.seq
    plan.update("task", top, {"parent": home})
    assert {id for _, id in kinds(plan.plan, "tasks", since)} == {top}


@given(OPS, OPS)
def test_repetitions_between_changes_harm_no_replay(before: list[Any], after: list[Any]) -> None:
    plan = changed(before)
    client, since = Client(plan.plan), plan.plan.seq
    for number, op in enumerate(after):
        change(plan, *op)
        plan.plan.resent(TASK, number % 8 + 1 if number % 8 != 6 else 1)
    client.take(replay(plan.plan, "tasks", since))
    client.take(replay(plan.plan, "links", since))
    assert client.shown() == Client(plan.plan).shown()
    plan.close()


def test_a_plan_that_becomes_another_has_its_items_and_a_version_of_its_own(plan: Driven) -> None:
    stale, version = Plan.of(plan.store.read()), 7
    stale.version = version
    plan.task()
    stale.become(Plan.of(plan.store.read()))
    assert loaded(stale) == loaded(plan.plan)
    assert stale.version > version


# Blocks.


@given(st.lists(st.tuples(st.sampled_from("apir"), st.integers(0, 99)), max_size=80))
def test_a_sequence_is_the_list_it_stands_for(ops: list[tuple[str, int]]) -> None:
    sequence, ids = Sequence(), list[int]()
    for new, (op, at) in enumerate(ops, 1):
        at = at % len(ids) if ids else 0
        if op == "a" or not ids:
            sequence.append(new, b"%d" % new)
            ids.append(new)
        elif op == "p":
            sequence.insert_after(None, new, b"%d" % new)
            ids.insert(0, new)
        elif op == "i":
            sequence.insert_after(ids[at], new, b"%d" % new)
            ids.insert(at + 1, new)
        else:
            assert sequence.remove(ids[at]) == b"%d" % ids.pop(at)
        assert b",".join(sequence.chunks()) == b",".join(b"%d" % id for id in ids)
        assert len(sequence) == len(ids)


@given(st.permutations(range(1, 15)))
def test_a_sequence_by_id_ascends(ids: list[int]) -> None:
    sequence = Sequence()
    for id in ids:
        sequence.insert_by_id(id, b"%d" % id)
    assert b",".join(sequence.chunks()) == b",".join(b"%d" % id for id in sorted(ids))


@pytest.mark.parametrize("gone", [0, 3, 8])
def test_a_link_that_comes_back_stands_where_it_stood(plan: Driven, gone: int) -> None:
    tasks = [plan.task() for _ in range(10)]
    links = [plan.link(*ends) for ends in pairwise(tasks)]
    before = loaded(plan.plan)["links"]
    plan.undo(plan.delete("link", links[gone]).changes[0].seq)
    restored = loaded(plan.plan)["links"]
    assert [link["id"] for link in restored] == [link["id"] for link in before]


def test_after_one_change_only_its_block_is_joined_again() -> None:
    sequence = Sequence()
    for id in range(1, 10):
        sequence.append(id, b"%d" % id)
    before = sequence.chunks()
    sequence.replace(5, b"x")
    assert [a is b for a, b in zip(before, sequence.chunks(), strict=True)] == [True, False, True]


# A branch on its way.


def sequence(count: int) -> Sequence:
    items = Sequence()
    for id in range(count):
        items.append(id, b"%d" % id)
    return items


def ids(items: Sequence) -> list[int]:
    found: list[int] = orjson.loads(b"[%s]" % b",".join(items.chunks()))
    return found


@given(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29), st.integers(0, 29))))
def test_runs_moved_anywhere_stand_where_they_were_put(moves: list[tuple[int, int, int]]) -> None:
    items, expected = sequence(30), list(range(30))
    for start, length, to in moves:
        run = expected[start : start + length + 1]
        rest = [id for id in expected if id not in run]
        at = to % (len(rest) + 1)
        items.move(run[0], run[-1], rest[at - 1] if at else None)
        expected = rest[:at] + run + rest[at:]
        assert ids(items) == expected
    for id in expected:
        items.remove(id)
    assert ids(items) == []


def test_a_run_keeps_its_blocks_joined() -> None:
    items = sequence(900)
    items.chunks()
    items.move(100, 800, 850)
    assert len([block for block in items._blocks if block.joined is None]) <= 6


def test_moving_runs_to_and_fro_leaves_no_crumbs() -> None:
    items = sequence(300)
    for n in range(100):
        items.move(n, n + 50, 200 + n % 7)
        items.move(n, n + 50, n - 1 if n else None)
    assert ids(items) == list(range(300))
    # None is empty, and no two neighbours would fit into one.
    assert len(items._blocks) <= 2 * 300 // plan_module.BLOCK


# Which plan it is.


def test_a_change_is_known_by_its_number_and_mark(plan: Driven) -> None:
    for _ in range(3):
        plan.task()
    for seq in range(4):
        assert plan.plan.number(plan.plan.position(seq)) == seq


@pytest.mark.parametrize("seq", [-1, 0, 1, 2, 10**17])
def test_a_number_with_another_mark_is_of_another_history(plan: Driven, seq: int) -> None:
    plan.task()
    position = Position(seq, plan.plan.position(1).mark ^ 1)
    assert plan.plan.number(position) == FOREIGN


def test_what_spells_no_position_is_of_no_history(plan: Driven) -> None:
    plan.plan._shape = 0
    assert plan.plan.number(Position.read("1")) == FOREIGN


def test_marks_are_the_same_after_a_restart_and_upkeep(plan: Driven) -> None:
    for _ in range(5):
        plan.task()
    positions = [plan.plan.position(seq) for seq in range(6)]
    plan.prune(2)
    for each in (plan.plan, Plan.of(plan.store.read())):
        assert [each.number(position) for position in positions] == [FOREIGN] * 3 + [3, 4, 5]


def test_what_was_undone_leaves_no_mark(plan: Driven) -> None:
    with pytest.raises(ZeroDivisionError), plan.database.peewee.atomic("IMMEDIATE"):
        plan.store.insert(TASK, TASK.read(DATES, plan.calendar), ALICE)
        plan.database.undone += 1
        1 / 0  # noqa: B018
    plan.task()
    assert Plan.of(plan.store.read()).position() == plan.plan.position()
    assert plan.plan.position().seq == 1


@pytest.mark.parametrize("other", [Calendar("iso"), Calendar(zone="Europe/Berlin")])
def test_a_plan_shown_otherwise_is_another_to_pages(plan: Driven, other: Calendar) -> None:
    plan.task()
    stored = Plan.of(Store(plan.database, other).read())
    assert stored.number(plan.plan.position()) == FOREIGN


def test_a_replay_is_as_of_when_it_was_asked_for(plan: Driven) -> None:
    a = plan.task(text="old")
    missed = plan.plan.missed("tasks", 0)
    plan.update("task", a, {"text": "new"})
    plan.delete("task", a)
    told = [orjson.loads(value) for values in missed for value in values]
    assert [value["type"] for value in told] == ["add-task", "update-task", "move-task"]
    assert told[0]["task"]["text"] == "old"


def test_what_is_below_tasks_of_one_chain_is_found_in_one_walk(
    plan: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [plan.task()]
    for _ in range(20):
        ids.append(plan.task(parent=ids[-1]))
    looked_at = count_calls(monkeypatch, plan_module._Tree, "children")
    assert plan.plan.below(reversed(ids)) == {*ids[1:]}
    assert len(looked_at) <= 2 * len(ids)


def test_a_deep_chain_is_put_in_order_in_one_walk(plan: Driven) -> None:
    ids = [plan.task()]
    for _ in range(1200):
        ids.append(plan.task(parent=ids[-1]))
    assert plan.plan.in_order(reversed(ids)) == ids


@given(st.data())
def test_what_changes_while_a_replay_is_under_way_does_not_change_it(data: st.DataObject) -> None:
    with contextlib.closing(Driven()) as plan:
        ids: list[int] = []
        for _ in range(8):
            ids.append(plan.task(parent=data.draw(st.sampled_from([0, *ids]))))
        plan.delete("task", ids.pop())
        missed = plan.plan.missed("tasks", 0)
        asked_for = list(missed)
        plan.task(parent=data.draw(st.sampled_from([0, *ids])))
        moved, beside = data.draw(st.permutations(ids))[:2]
        with contextlib.suppress(GanttError):
            parent = plan.item("task", beside)["parent"]
            plan.update("task", moved, {"target": f"{beside}", "parent": parent})
        plan.delete("task", data.draw(st.sampled_from(ids)))
        assert list(missed) == asked_for


def test_where_rows_stand_is_worked_out_when_it_is_told(
    plan: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands of rows it takes too long to be done at once."""
    plan.task()
    monkeypatch.setattr(plan_module._Tree, "stands", lambda *_: 1 / 0)
    missed = plan.plan.missed("tasks", 0)
    with pytest.raises(ZeroDivisionError):
        list(missed)
