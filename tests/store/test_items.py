from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any
from unittest import mock

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.errors import BadRequest, Conflict, NotFound, Stale, TooLarge
from gantt_tornado.live.plan import Plan
from gantt_tornado.model import fractional_index
from gantt_tornado.model.change import NOBODY, Author, WriteResult
from gantt_tornado.model.dates import ISO, Calendar
from gantt_tornado.model.entities import ENTITIES, LINK, TASK
from gantt_tornado.store.items import LATELY, LINES_READ, LOOKED_AT, Store
from gantt_tornado.store.journal import MOST_LATER
from tests.support import ALICE, BOB, DATES, Driven, value

#: What differs in two items that hold the same.
UNLIKE = {"_rev": 0, "_mark": ""}
EVERY = pytest.mark.parametrize("entity", ENTITIES)
POINTERS = [(name, field) for name, entity in ENTITIES.items() for field in entity.references]
POINTING = pytest.mark.parametrize("entity, field", POINTERS)


@pytest.fixture
def plan() -> Iterator[Driven]:
    plan = Driven()
    yield plan
    plan.close()


def item_of(plan: Driven, entity: str) -> dict[str, Any]:
    """Fields with which an item of this kind can be added."""
    kind = ENTITIES[entity]
    fields = {field: plan.task() for field in kind.references}
    return {**fields, **(DATES if kind.dated else {})}


# Adding.


@EVERY
def test_what_was_added_is_there(plan: Driven, entity: str) -> None:
    fields = {**item_of(plan, entity), "colour": {"deep": ["red"]}}
    outcome = plan.insert(entity, fields)
    assert {**value(outcome), **fields, "id": outcome.id} == plan.item(entity, outcome.id)


@EVERY
def test_an_added_item_has_the_number_of_its_change(plan: Driven, entity: str) -> None:
    outcome = plan.insert(entity, item_of(plan, entity))
    (change,) = outcome.changes
    assert outcome.id == change.seq == value(outcome)["_rev"]


def test_ids_are_unique_across_entities(plan: Driven) -> None:
    outcomes = [plan.insert(entity, item_of(plan, entity)) for entity in ENTITIES]
    ids = [id for entity in ENTITIES for id in plan.ids(entity)]
    assert len(set(ids)) == len(ids) >= len(outcomes)


def test_an_id_is_never_given_twice(plan: Driven) -> None:
    first = plan.task()
    plan.delete("task", first)
    assert plan.task() > first


def test_what_the_writer_left_out_has_a_default(plan: Driven) -> None:
    item = value(plan.insert("task", DATES))
    assert (item["text"], item["progress"], item["type"], item["parent"]) == ("", 0, "task", 0)


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"start_date": "2026-03-02"},
        {"end_date": "2026-03-02"},
        {"duration": 3},
        {"start_date": "2026-03-02", "unscheduled": True},
        {"start_date": "2026-03-05", "end_date": "2026-03-02"},
        {"start_date": "2026-03-02", "duration": 1e9},
    ],
)
def test_a_task_without_its_dates_is_refused(plan: Driven, sent: dict[str, Any]) -> None:
    with pytest.raises(BadRequest, match="dates"):
        plan.insert("task", sent)
    assert plan.ids("task") == []


@pytest.mark.parametrize("sent", [{"unscheduled": True}, {"type": "project"}])
def test_a_task_that_needs_no_dates_gets_some(plan: Driven, sent: dict[str, Any]) -> None:
    item = value(plan.insert("task", sent))
    assert item["start_date"] and item["end_date"] and item["duration"] == 1


def test_dates_are_told_in_the_form_of_the_server() -> None:
    plan = Driven(calendar=Calendar(ISO))
    assert value(plan.insert("task", DATES))["start_date"] == "2026-03-02T00:00:00Z"
    plan.close()


def test_a_refused_item_leaves_no_trace(plan: Driven) -> None:
    with pytest.raises(Conflict):
        plan.task(parent=99)
    assert (plan.journal(), plan.store.journal.seq()) == ([], 0)


@POINTING
@pytest.mark.parametrize("pointer", [99, "1697c0ff33", -1, 1 << 70])
def test_an_item_that_points_to_nothing_is_refused(
    plan: Driven, entity: str, field: str, pointer: Any
) -> None:
    with pytest.raises(Conflict, match="not there"):
        plan.insert(entity, {**item_of(plan, entity), field: pointer})


@POINTING
def test_an_item_that_points_to_another_kind_is_refused(
    plan: Driven, entity: str, field: str
) -> None:
    other = plan.insert("resource", {}).id
    with pytest.raises(Conflict, match="not there"):
        plan.insert(entity, {**item_of(plan, entity), field: other})


@POINTING
def test_an_update_cannot_point_to_nothing(plan: Driven, entity: str, field: str) -> None:
    id = plan.insert(entity, item_of(plan, entity)).id
    with pytest.raises(Conflict, match="not there"):
        plan.update(entity, id, {field: 99})


@pytest.mark.parametrize("sent", [{}, {"source": 1}, {"target": 1}])
def test_a_link_needs_both_ends(plan: Driven, sent: dict[str, Any]) -> None:
    plan.task()
    with pytest.raises(Conflict):
        plan.insert("link", sent)


# Races: what is impossible only because others were faster.


@pytest.mark.parametrize("entity, field", [each for each in POINTERS if each != ("task", "parent")])
def test_what_points_to_what_was_deleted_came_just_before(
    plan: Driven, entity: str, field: str
) -> None:
    fields = item_of(plan, entity)
    plan.delete("task", fields[field])
    outcome = plan.insert(entity, fields, ALICE)
    assert outcome.gone and value(outcome)["id"] == outcome.id
    assert [change.action for change in outcome.changes] == ["add", "delete"]
    assert plan.ids(entity) == []
    assert plan.plan.item(ENTITIES[entity], outcome.id) is None


def test_the_same_request_again_is_gone_too(plan: Driven) -> None:
    fields = item_of(plan, "link")
    plan.delete("task", fields["source"])
    edit = LINK.read(fields, plan.calendar)
    first, again = [
        plan.write(lambda: plan.store.insert(LINK, edit, ALICE, request="r")) for _ in range(2)
    ]
    assert (again.id, again.item, again.gone) == (first.id, first.item, True)


def test_a_task_below_a_deleted_one_goes_to_the_nearest_that_is_left(plan: Driven) -> None:
    top = plan.task()
    middle = plan.task(parent=top)
    low = plan.task(parent=middle)
    plan.delete("task", low)
    plan.delete("task", middle)
    outcome = plan.insert("task", {**DATES, "parent": low}, ALICE)
    assert value(outcome)["parent"] == top and outcome.differs


def test_a_task_below_a_branch_that_was_deleted_whole_goes_to_the_top(plan: Driven) -> None:
    top = plan.task()
    low = plan.task(parent=plan.task(parent=top))
    plan.delete("task", top)
    assert value(plan.insert("task", {**DATES, "parent": low}))["parent"] == 0


def test_a_task_below_another_kind_that_was_deleted_is_refused(plan: Driven) -> None:
    link = plan.link(plan.task(), plan.task())
    plan.delete("link", link)
    with pytest.raises(Conflict, match="not there"):
        plan.task(parent=link)


@POINTING
def test_a_pointer_to_what_was_deleted_is_dropped_and_the_rest_kept(
    plan: Driven, entity: str, field: str
) -> None:
    item = value(plan.insert(entity, item_of(plan, entity)))
    gone = plan.task()
    plan.delete("task", gone)
    outcome = plan.update(entity, item["id"], {field: gone, "colour": "red"}, BOB)
    assert value(outcome)[field] == item[field] and value(outcome)["colour"] == "red"
    assert (outcome.differs, outcome.dropped) == (True, {field: gone})
    assert plan.store.journal.line(value(outcome)["_rev"]).dropped == {field: gone}


def test_what_was_dropped_is_in_the_journal_although_nothing_else_was_changed(
    plan: Driven,
) -> None:
    task, gone = plan.task(), plan.task()
    plan.delete("task", gone)
    (change,) = plan.update("task", task, {"parent": gone}).changes
    assert (change.fields, change.dropped) == ({}, {"parent": gone})


def test_a_drop_beside_a_row_of_a_deleted_parent_leaves_the_row_where_it_is(plan: Driven) -> None:
    a, b, gone = plan.task(), plan.task(), plan.task()
    beside = plan.task(parent=gone)
    plan.delete("task", gone)
    plan.update("task", b, {"parent": gone, "target": f"next:{beside}"})
    assert plan.branch() == [a, b]


def test_a_task_below_what_others_moved_below_it_stays_where_it_is(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    seen = plan.item("task", a)
    plan.update("task", b, {"parent": a}, BOB)
    outcome = plan.update("task", a, {**seen, "parent": b, "text": "Fill"}, ALICE)
    assert (value(outcome)["parent"], value(outcome)["text"]) == (0, "Fill")
    assert outcome.dropped == {"parent": b}


def test_so_does_one_below_a_row_further_down(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    c = plan.task(parent=b)
    seen = plan.item("task", a)
    plan.update("task", b, {"parent": a}, BOB)
    assert plan.update("task", a, {**seen, "parent": c}, ALICE).dropped == {"parent": c}


def test_a_circle_of_ones_own_making_is_refused(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    seen = plan.item("task", a)
    plan.update("task", b, {"parent": a}, ALICE)
    with pytest.raises(Conflict, match="inside itself"):
        plan.update("task", a, {**seen, "parent": b}, ALICE)


def test_a_circle_that_the_writer_has_seen_coming_is_refused(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.update("task", b, {"parent": a}, BOB)
    plan.update("task", a, {"text": "Fill"}, BOB)
    with pytest.raises(Conflict, match="inside itself"):
        plan.update("task", a, {**plan.item("task", a), "parent": b}, ALICE)


@pytest.mark.parametrize("later, dropped", [(LATELY - 1, True), (LATELY + 1, False)])
def test_without_a_revision_the_last_seconds_count(
    plan: Driven, monkeypatch: pytest.MonkeyPatch, later: int, dropped: bool
) -> None:
    a, b = plan.task(), plan.task()
    plan.update("task", b, {"parent": a}, BOB)
    now = plan.store._now()
    monkeypatch.setattr(plan.store, "_now", lambda: now + later)
    if dropped:
        assert plan.update("task", a, {"parent": b}, ALICE).dropped == {"parent": b}
        return
    with pytest.raises(Conflict, match="inside itself"):
        plan.update("task", a, {"parent": b}, ALICE)


def tied(plan: Driven, author: Author, source: int, target: int) -> WriteResult:
    return plan.insert("link", {"source": source, "target": target, "type": "0"}, author)


def test_a_link_that_somebody_else_has_just_drawn_came_just_before(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    tied(plan, BOB, a, b)
    assert tied(plan, ALICE, a, b).gone
    assert len(plan.ids("link")) == 1


@pytest.mark.parametrize("length", [2, 3, 5])
@pytest.mark.parametrize("theirs", [0, 1, -1])
def test_a_circle_that_somebody_else_has_just_drawn_most_of(
    plan: Driven, length: int, theirs: int
) -> None:
    tasks = [plan.task() for _ in range(length)]
    pairs = list(itertools.pairwise(tasks))
    for number, pair in enumerate(pairs):
        tied(plan, BOB if number == theirs % len(pairs) else ALICE, *pair)
    assert tied(plan, ALICE, tasks[-1], tasks[0]).gone


def test_a_circle_beside_which_somebody_else_has_drawn_a_link_is_refused(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    tied(plan, ALICE, a, b)
    tied(plan, BOB, b, c)
    with pytest.raises(Conflict, match="circle"):
        tied(plan, ALICE, b, a)


def test_a_link_that_was_drawn_long_ago_is_refused_again(
    plan: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = plan.task(), plan.task()
    tied(plan, BOB, a, b)
    now = plan.store._now()
    monkeypatch.setattr(plan.store, "_now", lambda: now + LATELY + 1)
    with pytest.raises(Conflict, match="already"):
        tied(plan, ALICE, a, b)


def test_a_link_that_is_tied_onto_one_that_others_have_just_drawn_stays(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    link = plan.link(a, c)
    tied(plan, BOB, a, b)
    outcome = plan.update("link", link, {"target": b, "colour": "red"}, ALICE)
    assert (value(outcome)["target"], value(outcome)["colour"]) == (c, "red")


# Links.


def test_a_task_is_not_linked_to_itself(plan: Driven) -> None:
    task = plan.task()
    with pytest.raises(Conflict, match="itself"):
        plan.link(task, task)


def test_two_tasks_are_linked_once_in_one_way(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.link(a, b, "0")
    with pytest.raises(Conflict, match="already"):
        plan.link(a, b, "0")


def test_two_tasks_may_be_linked_in_two_ways(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.link(a, b, "0")
    assert plan.link(a, b, "1")


@pytest.mark.parametrize("length", [2, 3, 10])
def test_a_circle_of_links_is_refused(plan: Driven, length: int) -> None:
    tasks = [plan.task() for _ in range(length)]
    for source, target in itertools.pairwise(tasks):
        plan.link(source, target)
    with pytest.raises(Conflict, match="circle"):
        plan.link(tasks[-1], tasks[0])


def test_links_that_meet_again_are_no_circle(plan: Driven) -> None:
    a, b, c, d = (plan.task() for _ in range(4))
    for source, target in ((a, b), (a, c), (b, d), (c, d)):
        plan.link(source, target)
    assert plan.link(a, d)


def test_a_link_may_be_turned_round(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    link = plan.link(a, b)
    assert value(plan.update("link", link, {"source": b, "target": a}))["source"] == b


def test_a_link_cannot_be_moved_into_a_circle(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    plan.link(a, b)
    link = plan.link(c, b)
    with pytest.raises(Conflict, match="circle"):
        plan.update("link", link, {"source": b, "target": a})


def test_a_link_cannot_be_moved_onto_its_twin(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    plan.link(a, b)
    link = plan.link(a, c)
    with pytest.raises(Conflict, match="already"):
        plan.update("link", link, {"target": b})


def test_a_link_cannot_become_its_twin_by_type(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.link(a, b, "0")
    link = plan.link(a, b, "1")
    with pytest.raises(Conflict, match="already"):
        plan.update("link", link, {"type": "0"})


def test_a_link_that_was_deleted_may_be_drawn_again(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.delete("link", plan.link(a, b))
    assert plan.link(a, b)


# The tree.


def test_a_task_is_not_placed_inside_itself(plan: Driven) -> None:
    task = plan.task()
    with pytest.raises(Conflict, match="inside itself"):
        plan.update("task", task, {"parent": task})


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_task_is_not_placed_inside_its_own_subtasks(plan: Driven, depth: int) -> None:
    top = below = plan.task()
    for _ in range(depth):
        below = plan.task(parent=below)
    with pytest.raises(Conflict, match="inside itself"):
        plan.update("task", top, {"parent": below})
    assert plan.branch() == [top]


def test_a_task_moves_with_its_subtasks(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    child = plan.task(parent=b)
    plan.update("task", b, {"parent": a})
    assert (plan.branch(), plan.branch(a), plan.branch(b)) == ([a], [b], [child])


# The order of rows.


def test_a_new_task_stands_last_in_its_branch(plan: Driven) -> None:
    tasks = [plan.task() for _ in range(3)]
    assert plan.branch() == tasks


@pytest.mark.parametrize(
    "target, order",
    [("{a}", "dabc"), ("next:{a}", "adbc"), ("next:{c}", "abcd"), ("next:null", "abcd")],
)
@pytest.mark.parametrize("number", [False, True])
def test_a_row_is_dropped_in_each_spelling(
    plan: Driven, target: str, order: str, number: bool
) -> None:
    ids = {name: plan.task() for name in "abcd"}
    sent: Any = target.format(**ids)
    plan.update("task", ids["d"], {"target": int(sent) if number and sent.isdigit() else sent})
    assert plan.branch() == [ids[name] for name in order]


def test_a_new_row_may_say_where_it_stands(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    new = plan.task(target=f"next:{a}")
    assert plan.branch() == [a, new, b]


def test_a_row_is_dropped_into_another_branch(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    first, second = plan.task(parent=a), plan.task(parent=a)
    plan.update("task", b, {"parent": a, "target": str(second)})
    assert plan.branch(a) == [first, b, second]


def test_a_row_without_a_target_is_appended_to_its_new_branch(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    first = plan.task(parent=a)
    plan.update("task", b, {"parent": a})
    assert plan.branch(a) == [first, b]


@pytest.mark.parametrize("target", ["99", "next:99", "next:null", "soon", "{self}", "{below}"])
def test_a_target_that_is_not_in_the_branch_leaves_the_row(plan: Driven, target: str) -> None:
    a, b = plan.task(), plan.task()
    below = plan.task(parent=a)
    plan.update("task", b, {"target": target.format(self=b, below=below)})
    assert plan.branch() == [a, b]


@pytest.mark.parametrize("target", ["99", "next:null", "{elsewhere}"])
def test_a_row_whose_target_left_the_branch_is_appended(plan: Driven, target: str) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    first = plan.task(parent=a)
    plan.update("task", b, {"parent": a, "target": target.format(elsewhere=c)})
    assert plan.branch(a) == [first, b]


def test_a_row_in_the_middle_whose_target_is_in_another_branch_stays(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    first, second = plan.task(parent=c), plan.task(parent=c)
    for target in (str(first), f"next:{first}", str(second), f"next:{second}"):
        plan.update("task", b, {"target": target})
        assert plan.branch() == [a, b, c]


def test_a_row_that_stands_there_already_does_not_move(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    (change,) = plan.update("task", b, {"target": f"next:{a}"}).changes
    assert not change.moved


def test_a_drop_is_cleared_in_the_answer(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    assert value(plan.update("task", b, {"target": str(a)}))["target"] == ""


def test_only_the_dropped_row_changes(plan: Driven) -> None:
    a, _, c = plan.task(), plan.task(), plan.task()
    assert [change.id for change in plan.update("task", c, {"target": str(a)}).changes] == [c]


def test_two_who_drag_at_once_end_with_one_order(plan: Driven) -> None:
    a, b, c, d = (plan.task() for _ in range(4))
    plan.update("task", d, {"target": str(b), "_rev": d}, ALICE)
    plan.update("task", c, {"target": str(b), "_rev": c}, BOB)
    assert plan.branch() == [a, d, c, b]


def test_sort_keys_survive_a_thousand_drops_at_one_spot(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    for _ in range(500):
        b, c = c, b
        plan.update("task", c, {"target": f"next:{a}", "_rev": plan.rev(c)})
        assert plan.branch() == [a, c, b]


# A target that the client only sends again.


def test_a_target_sent_again_without_a_revision_is_stale(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    plan.update("task", c, {"target": str(a)}, ALICE)
    plan.update("task", b, {"target": str(a)}, BOB)
    plan.update("task", c, {"target": str(a), "text": "Fill"}, ALICE)
    assert (plan.branch(), plan.item("task", c)["text"]) == ([c, b, a], "Fill")


def test_a_target_sent_again_before_the_echo_is_stale(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    rev = plan.item("task", c)["_rev"]
    plan.update("task", c, {"target": str(a), "_rev": rev}, ALICE)
    plan.update("task", b, {"target": str(a)}, BOB)
    plan.update("task", c, {"target": str(a), "text": "Fill", "_rev": rev}, ALICE)
    assert plan.branch() == [c, b, a]


def test_a_drop_by_a_page_that_has_had_the_echo_is_new(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    plan.update("task", c, {"target": str(a)}, ALICE)
    plan.update("task", b, {"target": str(a)}, BOB)
    plan.update("task", c, {"target": str(a), "_rev": plan.item("task", c)["_rev"]}, ALICE)
    assert plan.branch() == [b, c, a]


def test_the_target_of_a_new_row_sent_again_is_stale(plan: Driven) -> None:
    a = plan.task()
    outcome = plan.insert("task", {**DATES, "target": str(a)}, ALICE)
    b = plan.task(target=str(a))
    plan.update("task", outcome.id, {"target": str(a), "text": "Fill"}, ALICE)
    assert plan.branch() == [outcome.id, b, a]


def test_a_second_drop_onto_one_neighbour_sent_again_is_stale(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    plan.update("task", c, {"target": str(a)}, ALICE)
    plan.update("task", b, {"target": str(a)}, BOB)
    rev = plan.item("task", c)["_rev"]
    plan.update("task", c, {"target": str(a), "_rev": rev}, ALICE)
    plan.update("task", a, {"target": str(b), "_rev": a}, BOB)
    assert plan.branch() == [a, b, c]
    plan.update("task", c, {"target": str(a), "text": "Fill", "_rev": rev}, ALICE)
    assert plan.branch() == [a, b, c]


# Merging.


@EVERY
def test_an_update_without_a_revision_applies_all_its_fields(plan: Driven, entity: str) -> None:
    id = plan.insert(entity, {**item_of(plan, entity), "a": 1, "b": 1}).id
    plan.update(entity, id, {"a": 2})
    item = value(plan.update(entity, id, {"a": 3, "b": 3}))
    assert (item["a"], item["b"]) == (3, 3)


@EVERY
def test_two_who_edit_different_fields_both_keep_their_edit(plan: Driven, entity: str) -> None:
    sent = value(plan.insert(entity, {**item_of(plan, entity), "a": 1, "b": 1}))
    plan.update(entity, sent["id"], {**sent, "a": 2}, ALICE)
    item = value(plan.update(entity, sent["id"], {**sent, "b": 2}, BOB))
    assert (item["a"], item["b"]) == (2, 2)


@EVERY
def test_on_the_same_field_the_later_wins_and_the_journal_keeps_both(
    plan: Driven, entity: str
) -> None:
    sent = value(plan.insert(entity, {**item_of(plan, entity), "a": 1}))
    plan.update(entity, sent["id"], {**sent, "a": 2}, ALICE)
    (change,) = plan.update(entity, sent["id"], {**sent, "a": 3}, BOB).changes
    assert (plan.item(entity, sent["id"])["a"], change.fields) == (3, {"a": [2, 3]})


def test_a_merge_tells_that_it_differs_from_what_was_sent(plan: Driven) -> None:
    sent = value(plan.insert("task", {**DATES, "a": 1, "b": 1}))
    assert not plan.update("task", sent["id"], {**sent, "a": 2}, ALICE).differs
    assert plan.update("task", sent["id"], {**sent, "b": 2}, BOB).differs


def test_a_merge_in_a_field_that_was_not_sent_tells_that_it_differs(plan: Driven) -> None:
    sent = value(plan.insert("task", {**DATES, "a": 1, "b": 1}))
    plan.update("task", sent["id"], {"a": 2}, ALICE)
    assert plan.update("task", sent["id"], {"b": 2, "_rev": sent["_rev"]}, BOB).differs


def test_dates_that_were_corrected_tell_that_they_differ_from_what_was_sent(plan: Driven) -> None:
    sent = value(plan.insert("task", DATES))
    outcome = plan.update("task", sent["id"], {**sent, "end_date": "2026-03-09 00:00"})
    assert value(outcome)["duration"] != sent["duration"]
    assert outcome.differs


def test_nothing_new_is_no_change(plan: Driven) -> None:
    sent = value(plan.insert("task", DATES))
    outcome = plan.update("task", sent["id"], sent)
    assert (outcome.changes, outcome.differs, value(outcome)) == ((), False, sent)


def test_a_form_that_changes_nothing_is_no_change(plan: Driven) -> None:
    sent = value(plan.insert("task", {**DATES, "open": True, "a": 0.5, "b": None}))
    form = {key: "" if each is None else str(each).lower() for key, each in sent.items()}
    assert plan.update("task", sent["id"], {**form, "text": sent["text"]}).changes == ()


def test_a_page_keeps_its_second_edit_before_the_echo_of_its_first(plan: Driven) -> None:
    sent = value(plan.insert("task", {**DATES, "a": 1, "b": 1}))
    plan.update("task", sent["id"], {**sent, "a": 2}, ALICE)
    plan.update("task", sent["id"], {**sent, "a": 2, "b": 2}, ALICE)
    plan.update("task", sent["id"], {**sent, "a": 1, "b": 2}, ALICE)
    assert (plan.item("task", sent["id"])["a"], plan.item("task", sent["id"])["b"]) == (1, 2)


def test_a_page_without_a_name_does_not_take_back_by_accident(plan: Driven) -> None:
    sent = value(plan.insert("task", {**DATES, "a": 1, "b": 1}))
    plan.update("task", sent["id"], {**sent, "a": 2}, Author("ann"))
    plan.update("task", sent["id"], {**sent, "b": 2}, Author("ann"))
    assert plan.item("task", sent["id"])["a"] == 2


def test_the_dates_of_two_writers_are_never_mixed(plan: Driven) -> None:
    sent = value(plan.insert("task", DATES))
    plan.update("task", sent["id"], {**sent, "start_date": "2026-03-01 00:00"}, ALICE)
    item = value(plan.update("task", sent["id"], {**sent, "end_date": "2026-03-09 00:00"}, BOB))
    assert (item["start_date"], item["end_date"], item["duration"]) == (
        "2026-03-02 00:00",
        "2026-03-09 00:00",
        7,
    )


def test_a_text_and_a_date_of_two_writers_are_both_kept(plan: Driven) -> None:
    sent = value(plan.insert("task", DATES))
    plan.update("task", sent["id"], {**sent, "duration": 5, "end_date": "2026-03-07"}, ALICE)
    item = value(plan.update("task", sent["id"], {**sent, "text": "Fill"}, BOB))
    assert (item["text"], item["duration"], item["end_date"]) == ("Fill", 5, "2026-03-07 00:00")


def test_one_date_alone_moves_the_others_with_it(plan: Driven) -> None:
    task = plan.task()
    item = value(plan.update("task", task, {"duration": 5}))
    assert item["end_date"] == "2026-03-07 00:00"
    item = value(plan.update("task", task, {"start_date": "2026-03-03"}))
    assert (item["end_date"], item["duration"]) == ("2026-03-08 00:00", 5)


def test_contradicting_dates_are_refused_and_change_nothing(plan: Driven) -> None:
    task = plan.task()
    before = plan.item("task", task)
    with pytest.raises(BadRequest):
        plan.update("task", task, {"end_date": "2026-01-01"})
    assert plan.item("task", task) == before


def test_a_new_parent_survives_an_edit_by_somebody_who_has_not_seen_it(plan: Driven) -> None:
    a = plan.task()
    sent = value(plan.insert("task", DATES))
    plan.update("task", sent["id"], {**sent, "parent": a}, ALICE)
    plan.update("task", sent["id"], {**sent, "text": "Fill"}, BOB)
    assert plan.branch(a) == [sent["id"]]


def test_what_a_page_wrote_without_a_revision_is_not_on_its_screen_at_the_first(
    plan: Driven,
) -> None:
    sent = value(plan.insert("task", {**DATES, "a": 1, "b": 1}, BOB))
    assert sent["_rev"] == 1
    plan.update("task", 1, {"a": 2}, ALICE)
    item = value(plan.update("task", 1, {**sent, "b": 2}, ALICE))
    assert (item["a"], item["b"]) == (2, 2)


def test_what_is_no_revision_of_the_item_is_nothing_to_save_from(plan: Driven) -> None:
    first, second = plan.task(), plan.task()
    plan.update("task", first, {"text": "Fill"})
    for rev in (0, second, plan.rev(first) + 1, 10**6):
        with pytest.raises(Stale):
            plan.update("task", first, {"text": "Lost", "_rev": rev})
    assert plan.item("task", first)["text"] == "Fill"


# Of which history a revision is.


@EVERY
@pytest.mark.parametrize("later", [False, True])
def test_a_revision_with_another_mark_is_of_another_history(
    plan: Driven, entity: str, later: bool
) -> None:
    item = value(plan.insert(entity, item_of(plan, entity)))
    if later:
        plan.update(entity, item["id"], {"a": 1}, BOB)
    with pytest.raises(Stale):
        plan.update(entity, item["id"], {**item, "b": 2, "_mark": "000000"}, ALICE)
    plan.update(entity, item["id"], {**item, "b": 2}, ALICE)
    assert plan.item(entity, item["id"])["b"] == 2


@EVERY
def test_a_page_saves_again_from_what_it_was_answered(plan: Driven, entity: str) -> None:
    item = value(plan.insert(entity, item_of(plan, entity)))
    for number in range(3):
        item = value(plan.update(entity, item["id"], {**item, "a": number}, ALICE))
        assert item == plan.item(entity, item["id"])


@pytest.mark.parametrize("sent", ["", "x", 7, ["000000"]])
def test_a_mark_that_is_none_is_of_no_history(plan: Driven, sent: Any) -> None:
    item = value(plan.insert("task", DATES))
    with pytest.raises(Stale):
        plan.update("task", item["id"], {**item, "text": "Fill", "_mark": sent}, ALICE)


def test_a_revision_that_the_journal_forgot_is_known_by_what_came_after(plan: Driven) -> None:
    item = value(plan.insert("task", DATES))
    plan.prune(0)
    plan.update("task", item["id"], {"text": "Fill"}, BOB)
    with pytest.raises(Stale):
        plan.update("task", item["id"], {**item, "progress": 1, "_mark": "000000"}, ALICE)
    assert value(plan.update("task", item["id"], {**item, "progress": 1}, ALICE))["text"] == "Fill"


def test_a_row_shown_in_another_form_is_nothing_to_save_from(plan: Driven) -> None:
    item = value(plan.insert("task", DATES))
    plan.store = Store(plan.database, Calendar(zone="Europe/Berlin"))
    with pytest.raises(Stale):
        plan.update("task", item["id"], {**item, "text": "Fill"})


def test_who_has_the_whole_plan_saves_from_any_number(plan: Driven) -> None:
    task = plan.task()
    plan.task()
    edit = TASK.read({"text": "Fill"}, plan.calendar)._replace(rev=2, has_all=True)
    assert value(plan.write(lambda: plan.store.update(TASK, task, edit, ALICE)))["text"] == "Fill"


@given(st.data())
def test_no_field_that_only_one_page_edits_is_lost(data: st.DataObject) -> None:
    plan = Driven()
    sent = value(plan.insert("task", {**DATES, "a": 0, "b": 0}))
    pages = {"a": (ALICE, dict(sent)), "b": (BOB, dict(sent))}
    for number in range(1, data.draw(st.integers(2, 12))):
        field = data.draw(st.sampled_from("ab"))
        author, screen = pages[field]
        screen[field] = number
        answer = value(plan.update("task", sent["id"], screen, author))
        for other, (_, page) in pages.items():
            if data.draw(st.booleans(), label=f"{other} gets the echo"):
                page.update(answer)
        assert {f: page[f] for f, (_, page) in pages.items()}.items() <= answer.items()
    plan.close()


# Items that are not there.


@EVERY
def test_an_update_of_what_never_was_is_not_found(plan: Driven, entity: str) -> None:
    with pytest.raises(NotFound) as missing:
        plan.update(entity, 99, {"a": 1})
    assert not missing.value.deleted


@EVERY
def test_an_update_of_what_was_deleted_is_told_so(plan: Driven, entity: str) -> None:
    id = plan.insert(entity, item_of(plan, entity)).id
    plan.delete(entity, id)
    with pytest.raises(NotFound, match="deleted") as missing:
        plan.update(entity, id, {"a": 1})
    assert missing.value.deleted


def test_a_task_is_no_link_that_was_deleted(plan: Driven) -> None:
    with pytest.raises(NotFound) as missing:
        plan.update("link", plan.task(), {"type": "1"})
    assert not missing.value.deleted


@EVERY
@pytest.mark.parametrize("id", [0, -1, 99, 1 << 63, 1 << 70])
def test_a_delete_of_what_is_not_there_is_no_error(plan: Driven, entity: str, id: int) -> None:
    assert plan.delete(entity, id).changes == ()


# Deleting.


@EVERY
def test_what_was_deleted_is_gone(plan: Driven, entity: str) -> None:
    id = plan.insert(entity, item_of(plan, entity)).id
    outcome = plan.delete(entity, id)
    assert [(change.action, change.id) for change in outcome.changes] == [("delete", id)]
    assert id not in plan.ids(entity)


@POINTING
def test_what_points_to_a_deleted_task_goes_with_it(plan: Driven, entity: str, field: str) -> None:
    outcome = plan.insert(entity, item_of(plan, entity))
    target = value(outcome)[field]
    assert outcome.id in [change.id for change in plan.delete("task", target).changes]
    assert outcome.id not in plan.ids(entity)


def test_a_whole_subtree_goes_links_first_and_below_before_above(plan: Driven) -> None:
    top = plan.task()
    child = plan.task(parent=top)
    leaf = plan.task(parent=child)
    other = plan.task()
    link = plan.link(leaf, other)
    assert [change.id for change in plan.delete("task", top).changes] == [link, leaf, child, top]
    assert (plan.ids("task"), plan.ids("link")) == ([other], [])


def test_a_link_within_a_deleted_subtree_goes_once(plan: Driven) -> None:
    top = plan.task()
    a, b = plan.task(parent=top), plan.task(parent=top)
    link = plan.link(a, b)
    assert [change.id for change in plan.delete("task", top).changes].count(link) == 1


def test_the_deletes_that_the_client_sends_for_each_child_succeed(plan: Driven) -> None:
    top = plan.task()
    child = plan.task(parent=top)
    plan.delete("task", top)
    assert plan.delete("task", child).changes == ()


# The journal's lines.


@EVERY
def test_each_change_is_in_the_journal(plan: Driven, entity: str) -> None:
    id = plan.insert(entity, item_of(plan, entity)).id
    plan.update(entity, id, {"a": 1})
    plan.delete(entity, id)
    lines = [(action, name) for _, action, name, item in plan.journal() if item == id]
    assert lines == [("add", entity), ("update", entity), ("delete", entity)]


def test_changes_are_numbered_without_a_gap(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.link(a, b)
    with pytest.raises(Conflict):
        plan.link(a, b)
    plan.delete("task", a)
    assert [line[0] for line in plan.journal()] == [1, 2, 3, 4, 5]


def test_a_change_names_its_author_and_its_fields(plan: Driven) -> None:
    task = plan.task(colour="red")
    (change,) = plan.update("task", task, {"colour": "blue"}, ALICE).changes
    assert (change.author, change.fields) == (ALICE, {"colour": ["red", "blue"]})


# Undo.


@EVERY
def test_an_undone_update_gives_the_item_as_it_was(plan: Driven, entity: str) -> None:
    before = value(plan.insert(entity, {**item_of(plan, entity), "a": 1}))
    (change,) = plan.update(entity, before["id"], {"a": 2, "b": 3}, ALICE).changes
    item = value(plan.undo(change.seq, ALICE))
    # A field that was not there becomes null: clients cannot unlearn one.
    assert {**item, **UNLIKE} == {**before, "b": None, **UNLIKE}


@EVERY
@pytest.mark.parametrize("field", ["parent", "duration", "sortorder"])
def test_undo_gives_an_item_no_fields_that_nobody_changed(
    plan: Driven, entity: str, field: str
) -> None:
    before = value(plan.insert(entity, {**item_of(plan, entity), field: 0}))
    changes = plan.update(entity, before["id"], {field: plan.task()}, ALICE).changes
    for change in changes:
        assert value(plan.undo(change.seq, ALICE)).keys() == before.keys()


@EVERY
def test_an_undone_add_is_gone(plan: Driven, entity: str) -> None:
    outcome = plan.insert(entity, item_of(plan, entity), ALICE)
    plan.undo(outcome.changes[0].seq, ALICE)
    assert outcome.id not in plan.ids(entity)


@EVERY
def test_an_undone_delete_is_back_as_it_was(plan: Driven, entity: str) -> None:
    before = value(plan.insert(entity, {**item_of(plan, entity), "a": None, "b": [1]}, ALICE))
    (change,) = plan.delete(entity, before["id"], ALICE).changes
    item = value(plan.undo(change.seq, ALICE))
    assert {**item, **UNLIKE} == {**before, **UNLIKE}


def whole(plan: Driven) -> dict[str, list[dict[str, Any]]]:
    """All items, without what says how they came to be so."""
    items = {e: [plan.item(e, id) for id in plan.ids(e)] for e in ENTITIES}
    passing = {"task": {*UNLIKE, "target"}}
    return {
        e: [{k: v for k, v in each.items() if k not in passing.get(e, UNLIKE)} for each in found]
        for e, found in items.items()
    }


def test_a_deleted_task_comes_back_with_all_that_hung_on_it(plan: Driven) -> None:
    top = plan.task()
    child, other = plan.task(parent=top), plan.task()
    plan.link(child, other)
    plan.insert("assignment", {"task_id": child})
    before = whole(plan)
    plan.undo(plan.delete("task", top, ALICE).changes[-1].seq, ALICE)
    assert whole(plan) == before


def test_any_line_of_a_delete_undoes_all_of_it(plan: Driven) -> None:
    top = plan.task()
    plan.task(parent=top)
    before = whole(plan)
    plan.undo(plan.delete("task", top, ALICE).changes[0].seq, ALICE)
    assert whole(plan) == before


def test_a_task_comes_back_parents_before_children_and_links_last(plan: Driven) -> None:
    top = plan.task()
    child = plan.task(parent=top)
    link = plan.link(child, plan.task())
    delete = plan.delete("task", top, ALICE)
    restored = plan.undo(delete.changes[-1].seq, ALICE)
    assert [change.id for change in restored.changes] == [top, child, link]


def test_a_row_that_is_there_again_already_stays_where_it_is(plan: Driven) -> None:
    top, other = plan.task(), plan.task()
    child = plan.task(parent=top)
    delete = plan.delete("task", top, ALICE).changes[-1].seq
    plan.undo(delete, ALICE)
    plan.update("task", child, {"parent": other}, ALICE)
    plan.delete("task", top, ALICE)
    assert [change.id for change in plan.undo(delete, ALICE).changes] == [top]
    with pytest.raises(Conflict, match="there again"):
        plan.undo(delete, ALICE)


def test_an_undone_undo_is_the_change_again(plan: Driven) -> None:
    task = plan.task(colour="red")
    (change,) = plan.update("task", task, {"colour": "blue"}, ALICE).changes
    (undone,) = plan.undo(change.seq, ALICE).changes
    assert value(plan.undo(undone.seq, ALICE))["colour"] == "blue"


def test_what_others_did_to_other_fields_stays(plan: Driven) -> None:
    task = plan.task(a=1, b=1)
    (change,) = plan.update("task", task, {"a": 2}, ALICE).changes
    plan.update("task", task, {"b": 2}, BOB)
    item = value(plan.undo(change.seq, ALICE))
    assert (item["a"], item["b"]) == (1, 2)


def test_an_undone_new_end_of_a_link_is_the_end_before(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    link = plan.link(a, b)
    (change,) = plan.update("link", link, {"target": c}, ALICE).changes
    assert value(plan.undo(change.seq, ALICE))["target"] == b


def test_a_new_end_of_a_link_that_somebody_else_gave_it_since_is_not_undone(plan: Driven) -> None:
    a, b, c, d = plan.task(), plan.task(), plan.task(), plan.task()
    link = plan.link(a, b)
    (change,) = plan.update("link", link, {"target": c}, ALICE).changes
    plan.update("link", link, {"target": d}, BOB)
    with pytest.raises(Conflict, match="target"):
        plan.undo(change.seq, ALICE)


def test_what_somebody_else_changed_since_is_not_undone(plan: Driven) -> None:
    task = plan.task(a=1)
    (change,) = plan.update("task", task, {"a": 2}, ALICE).changes
    plan.update("task", task, {"a": 3}, BOB)
    with pytest.raises(Conflict, match="bob"):
        plan.undo(change.seq, ALICE)


@pytest.mark.parametrize("date", [{"duration": 9}, {"start_date": "2026-03-03"}])
def test_the_dates_are_undone_as_one(plan: Driven, date: dict[str, Any]) -> None:
    task = plan.task()
    (change,) = plan.update("task", task, {"end_date": "2026-03-09"}, ALICE).changes
    plan.update("task", task, date, BOB)
    with pytest.raises(Conflict, match="bob"):
        plan.undo(change.seq, ALICE)


def test_an_undone_move_puts_the_row_back(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    (change,) = plan.update("task", c, {"target": str(a)}, ALICE).changes
    plan.undo(change.seq, ALICE)
    assert plan.branch() == [a, b, c]


def test_a_row_whose_old_place_is_taken_comes_back_beside_it(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    delete = plan.delete("task", b, ALICE)
    new = plan.task()
    plan.undo(delete.changes[-1].seq, ALICE)
    assert sorted(plan.branch()) == sorted([a, b, new])
    assert plan.branch()[0] == a


def test_a_drop_after_an_undone_drop_onto_the_same_row_counts(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    (change,) = plan.update("task", c, {"target": str(a)}, ALICE).changes
    plan.undo(change.seq, ALICE)
    plan.update("task", c, {"target": str(a), "_rev": plan.item("task", c)["_rev"]}, ALICE)
    assert plan.branch() == [c, a, b]


def test_a_parent_that_is_gone_keeps_a_task_from_coming_back(plan: Driven) -> None:
    top = plan.task()
    child = plan.task(parent=top)
    delete = plan.delete("task", child, ALICE)
    plan.delete("task", top, ALICE)
    with pytest.raises(Conflict, match="not there"):
        plan.undo(delete.changes[-1].seq, ALICE)
    assert plan.ids("task") == []


def test_a_link_that_no_longer_fits_is_left_out_of_what_comes_back(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.link(a, b)
    delete = plan.delete("task", a, ALICE)
    plan.delete("task", b, ALICE)
    plan.undo(delete.changes[-1].seq, ALICE)
    assert (plan.ids("task"), plan.ids("link")) == ([a], [])


def test_a_delete_is_undone_once(plan: Driven) -> None:
    delete = plan.delete("task", plan.task(), ALICE)
    plan.undo(delete.changes[-1].seq, ALICE)
    with pytest.raises(Conflict, match="already"):
        plan.undo(delete.changes[-1].seq, ALICE)


def test_an_add_on_which_others_built_is_not_undone(plan: Driven) -> None:
    outcome = plan.insert("task", DATES, ALICE)
    plan.insert("task", {**DATES, "parent": outcome.id}, BOB)
    with pytest.raises(Conflict, match="bob"):
        plan.undo(outcome.changes[0].seq, ALICE)


def test_an_update_of_what_was_deleted_since_is_not_undone(plan: Driven) -> None:
    task = plan.task()
    (change,) = plan.update("task", task, {"a": 1}, ALICE).changes
    plan.delete("task", task, BOB)
    with pytest.raises(Conflict, match="deleted"):
        plan.undo(change.seq, ALICE)


def test_a_new_parent_is_not_undone_into_a_circle(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    plan.update("task", b, {"parent": a}, ALICE)
    (change,) = plan.update("task", b, {"parent": 0}, ALICE).changes
    plan.update("task", a, {"parent": b}, ALICE)
    with pytest.raises(Conflict, match="inside itself"):
        plan.undo(change.seq, ALICE)


def test_a_link_does_not_come_back_as_a_twin(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    link = plan.link(a, b, "0")
    (change,) = plan.update("link", link, {"type": "1"}, ALICE).changes
    plan.link(a, b, "0")
    with pytest.raises(Conflict, match="already"):
        plan.undo(change.seq, ALICE)


@pytest.mark.parametrize("seq", [0, 99, -1])
def test_a_change_that_never_was_is_not_undone(plan: Driven, seq: int) -> None:
    with pytest.raises(NotFound, match="journal"):
        plan.undo(seq, ALICE)


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["text", "duration", "parent", "target", "delete"]),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=6,
)


@given(ACTS)
def test_undoing_all_of_ones_changes_backwards_gives_the_plan_as_it_was(acts: list[Any]) -> None:
    plan = Driven()
    tasks = [plan.task() for _ in range(4)]
    plan.link(tasks[0], tasks[2])
    before, start = whole(plan), plan.store.journal.seq()
    for act, i, j in acts:
        value = {"target": f"next:{tasks[j]}", "parent": tasks[j]}.get(act, j)
        with contextlib.suppress(Conflict, NotFound):
            if act == "delete":
                plan.delete("task", tasks[i], ALICE)
            else:
                rev = plan.rev(tasks[i])
                plan.update("task", tasks[i], {act: value, "_rev": rev}, ALICE)
    for seq, *_ in reversed([line for line in plan.journal() if line[0] > start]):
        # The lines of one delete come back together.
        with contextlib.suppress(Conflict):
            plan.undo(seq, ALICE)
    assert whole(plan) == before
    plan.close()


# Large and deep plans: what a write costs, counted in statements and in rows looked at.


def flat(plan: Driven, count: int) -> int:
    """A branch of so many tasks."""
    top = plan.task()
    for _ in range(count - 1):
        plan.task(parent=top)
    return top


def chain(plan: Driven, count: int) -> int:
    top = below = plan.task()
    for _ in range(count - 1):
        below = plan.task(parent=below)
    return top


def comb(plan: Driven, count: int) -> int:
    top = below = plan.task()
    for _ in range(count // 2):
        plan.task(parent=below)
        below = plan.task(parent=below)
    return top


def linked(plan: Driven, count: int) -> int:
    """A task with links to all that follow it, which are linked in a row."""
    top = below = plan.task()
    for _ in range(count // 2):
        next = plan.task(parent=top)
        plan.link(below, next)
        below = next
    return top


SHAPES = pytest.mark.parametrize("shape", [flat, chain, comb, linked])


@SHAPES
@pytest.mark.parametrize("verb", ["delete", "undo"])
def test_a_branch_of_twice_the_rows_takes_twice_the_statements(
    plan: Driven, shape: Callable[[Driven, int], int], verb: str
) -> None:
    counts = []
    for size in (50, 100):
        top = shape(plan, size)
        if verb == "undo":
            root = plan.delete("task", top).changes[-1].seq
        statements = plan.statements()
        outcome = plan.delete("task", top) if verb == "delete" else plan.undo(root)
        assert len(outcome.changes) >= size
        counts.append(len(statements) / len(outcome.changes))
    assert counts[1] <= counts[0] * 1.05


@SHAPES
def test_a_deleted_branch_comes_back_whole(
    plan: Driven, shape: Callable[[Driven, int], int]
) -> None:
    top = shape(plan, 20)
    before = {kind: plan.ids(kind) for kind in ENTITIES}
    outcome = plan.delete("task", top)
    plan.undo(outcome.changes[0].seq)
    assert {kind: plan.ids(kind) for kind in ENTITIES} == before


def test_rows_moved_to_the_end_of_a_deep_branch_climb_it_once(plan: Driven) -> None:
    chain(plan, LOOKED_AT * 4)
    end = plan.ids("task")[-1]
    rows = [plan.task() for _ in range(20)]
    plan.store.begin(20 + 5)
    for row in rows:
        plan.update("task", row, {"parent": end})
        end = row
    assert plan.item("task", end)["parent"] == rows[-2]


def test_a_way_up_that_was_undone_is_climbed_again(plan: Driven) -> None:
    top, below = plan.task(), plan.task()
    plan.update("task", plan.task(parent=below), {"parent": top})
    with contextlib.suppress(ZeroDivisionError), plan.database.peewee.atomic("IMMEDIATE"):
        task = ENTITIES["task"]
        plan.store.update(task, below, task.read({"parent": top}, plan.calendar), ALICE)
        plan.store.update(
            task, plan.ids("task")[-1], task.read({"parent": below}, plan.calendar), ALICE
        )
        plan.database.undone += 1
        raise ZeroDivisionError
    plan.update("task", top, {"parent": below})
    assert plan.item("task", top)["parent"] == below


@pytest.mark.parametrize("rows", [1, 4])
def test_a_delete_of_more_rows_than_a_request_may_touch_is_refused(plan: Driven, rows: int) -> None:
    top = flat(plan, 5)
    plan.store.begin(rows)
    with pytest.raises(TooLarge, match=f"more than {rows} rows"):
        plan.delete("task", top)
    assert len(plan.ids("task")) == 5


def test_an_undo_of_more_rows_than_a_request_may_touch_is_refused(plan: Driven) -> None:
    root = plan.delete("task", flat(plan, 5)).changes[-1].seq
    plan.store.begin(4)
    with pytest.raises(TooLarge):
        plan.undo(root)
    assert plan.ids("task") == []
    plan.store.begin(5)
    assert len(plan.undo(root).changes) == 5


def test_writes_of_one_request_count_together(plan: Driven) -> None:
    plan.store.begin(2)
    id = plan.task()
    plan.update("task", id, {"text": "Fill"})
    with pytest.raises(TooLarge):
        plan.update("task", id, {"text": "Dig"})
    with pytest.raises(TooLarge):
        plan.task()


def test_following_many_links_counts_as_rows(plan: Driven) -> None:
    linked(plan, 2 * LOOKED_AT * 3)
    first, last = plan.ids("task")[1], plan.ids("task")[-1]
    plan.store.begin(2)
    with pytest.raises(TooLarge):
        plan.link(last, first)


def test_following_many_links_when_some_come_back_counts_as_rows(plan: Driven) -> None:
    ids = [plan.task() for _ in range(LOOKED_AT * 3)]
    pairs = list(itertools.pairwise([*ids, ids[0]]))
    for source, target in pairs[:-2] + pairs[-1:]:
        plan.link(source, target)
    root = plan.delete("task", ids[0]).changes[-1].seq
    plan.link(*pairs[-2])
    plan.store.begin(4)
    with pytest.raises(TooLarge):
        plan.undo(root)
    plan.store.begin(20)
    assert len(plan.undo(root).changes) == 2


def test_reading_many_changes_counts_as_rows(plan: Driven) -> None:
    id = plan.task()
    for n in range(LINES_READ * 3):
        plan.update("task", id, {"text": f"{n}"}, ALICE)
    plan.store.begin(2)
    with pytest.raises(TooLarge):
        plan.update("task", id, {"text": "Dig", "_rev": id}, BOB)


def test_a_page_that_lags_far_behind_an_item_must_reload(plan: Driven) -> None:
    id = plan.task()
    for n in range(MOST_LATER + 1):
        plan.update("task", id, {"text": f"{n}"}, ALICE)
    with pytest.raises(Conflict, match="too old"):
        plan.update("task", id, {"progress": 0.5, "_rev": id}, BOB)


def test_what_was_changed_very_often_since_is_not_undone(plan: Driven) -> None:
    id = plan.task()
    seq = plan.update("task", id, {"progress": 0.5}, ALICE).changes[0].seq
    for n in range(MOST_LATER + 1):
        plan.update("task", id, {"text": f"{n}"}, ALICE)
    with pytest.raises(Conflict, match="too often"):
        plan.undo(seq, ALICE)


def test_a_link_does_not_come_back_into_a_circle(plan: Driven) -> None:
    a, b = plan.task(), plan.task()
    gone = plan.delete("link", plan.link(a, b)).changes[0].seq
    plan.link(b, a)
    with pytest.raises(Conflict, match="circle"):
        plan.undo(gone)


def test_of_links_that_come_back_those_that_close_a_circle_now_stay_away(plan: Driven) -> None:
    a, b, c = plan.task(), plan.task(), plan.task()
    kept, closing = plan.link(c, b), plan.link(b, a)
    gone = plan.delete("task", b).changes[-1].seq
    plan.link(a, c)
    plan.undo(gone)
    # Links are deleted newest first, and come back in the opposite order.
    assert plan.ids("link")[0] in (kept, closing)
    assert len(plan.ids("link")) == 2


def test_links_between_two_tasks_are_found_by_both_ends(plan: Driven) -> None:
    statements = plan.statements()
    plan.link(plan.task(), plan.task())
    twins = next(each for each in statements if "source" in each and "target" in each)
    found = plan.database.peewee.execute_sql(f"EXPLAIN QUERY PLAN {twins}").fetchall()
    assert "source=? AND target=?" in str(found)


# Changes that belong together.


def batch(plan: Driven) -> tuple[int, int, int]:
    """A change of one task and a new one below another. Returns the tasks."""
    kept, top = plan.task(text="kept"), plan.task(text="top")
    results = plan.together(
        lambda: plan.update("task", kept, {"text": "Fill"}, ALICE),
        lambda: plan.insert("task", {**DATES, "parent": top}, ALICE),
        lambda: plan.delete("task", top, ALICE),
    )
    return kept, top, results[1].id


@pytest.mark.parametrize("member", [3, 4, 5, 6])
def test_an_undo_of_any_change_of_a_group_undoes_all(plan: Driven, member: int) -> None:
    kept, top, _ = batch(plan)
    undone = plan.undo(member, ALICE)
    assert plan.item("task", kept)["text"] == "kept"
    assert (plan.ids("task"), undone.left) == ([kept, top], ())


def test_an_undone_group_is_one_group_that_can_be_undone(plan: Driven) -> None:
    kept, _, _ = batch(plan)
    undone = plan.undo(3, BOB)
    assert len({change.group for change in undone.changes}) == 1
    assert plan.undo(undone.change or 0, ALICE).left == ()
    assert (plan.ids("task"), plan.item("task", kept)["text"]) == ([kept], "Fill")


def test_an_undone_delete_is_a_group_that_can_be_undone(plan: Driven) -> None:
    top = plan.task()
    plan.task(parent=top)
    undone = plan.undo(plan.delete("task", top).change or 0)
    plan.undo(undone.changes[-1].seq)
    assert plan.ids("task") == []


def test_a_group_is_undone_by_somebody_else_than_made_it(plan: Driven) -> None:
    id = plan.task(text="Dig")
    plan.together(
        lambda: plan.insert("task", {**DATES}, ALICE),
        lambda: plan.update("task", 2, {"text": "Fill"}, ALICE),
        *(partial(plan.update, "task", id, {"text": text}, ALICE) for text in "ab"),
    )
    assert plan.undo(2, BOB).left == ()
    assert (plan.ids("task"), plan.item("task", id)["text"]) == ([id], "Dig")


def test_what_others_changed_since_is_left_and_told(plan: Driven) -> None:
    first, second = plan.task(text="a"), plan.task(text="b")
    plan.together(
        lambda: plan.update("task", first, {"text": "A"}, ALICE),
        lambda: plan.update("task", second, {"text": "B"}, ALICE),
        lambda: plan.update("task", second, {"colour": "red"}, ALICE),
    )
    plan.update("task", second, {"colour": "blue"}, BOB)
    undone = plan.undo(3, ALICE)
    assert [(each.id, each.user) for each in undone.left] == [(second, "bob")]
    assert plan.item("task", first)["text"] == "a"
    # Left as it is, also where nobody else has been.
    assert plan.item("task", second)["text"] == "B"


def test_a_group_of_which_others_changed_all_is_not_undone(plan: Driven) -> None:
    ids = [plan.task(), plan.task()]
    plan.together(*(partial(plan.update, "task", id, {"text": "A"}, ALICE) for id in ids))
    for id in ids:
        plan.update("task", id, {"text": "B"}, BOB)
    with pytest.raises(Conflict, match="bob has changed this since: text"):
        plan.undo(3, ALICE)


def test_what_is_left_is_not_deleted_with_what_was_added_above_it(plan: Driven) -> None:
    old = plan.task()
    child = plan.task(parent=old)
    top = plan.seq() + 1
    plan.together(
        lambda: plan.insert("task", {**DATES}, ALICE),
        lambda: plan.update("task", child, {"parent": top}, ALICE),
        lambda: plan.insert("task", {**DATES, "text": "other"}, ALICE),
    )
    plan.delete("task", old, ALICE)
    undone = plan.undo(top, ALICE)
    assert {each.id for each in undone.left} == {child, top}
    assert plan.ids("task") == [child, top]


def test_a_group_of_more_rows_than_a_request_may_touch_is_not_undone(plan: Driven) -> None:
    ids = [plan.task() for _ in range(5)]
    plan.together(*(partial(plan.update, "task", id, {"text": "A"}) for id in ids))
    plan.store.begin(4)
    with pytest.raises(TooLarge):
        plan.undo(6)


# What an older version let in.

DAMAGE = [
    ({"hasOwnProperty": 1}, {}),
    ({"toString": None, "note": "kept"}, {"note": "kept"}),
    ({"__proto__": {}}, {}),
    ({"id": 99, "_rev": 5, "$x": 1}, {}),
    ({"<b>": 1, "a\n": 1, "x" * 101: 1}, {}),
    ({"custom": {"toString": 1}}, {}),
    ({"deadline": True}, {}),
    ({"row_height": 1e300}, {}),
    ({"progress": "half"}, {"progress": 0}),
    ({"text": {"a": 1}}, {"text": ""}),
    ({"open": "perhaps"}, {}),
    ({"start_date": 5}, {"start_date": "2026-03-02 00:00"}),
    ({"start_date": 5, "end_date": [], "duration": "x"}, {"duration": 1}),
]


def store_fields(plan: Driven, id: int, fields: dict[str, Any]) -> None:
    row = next(row for row in plan.store.rows(TASK) if row.id == id)
    state = {k: v for k, v in row.state.items() if k not in TASK.place} | fields
    plan.database.execute(
        "UPDATE task SET fields = ? WHERE id = ?", (orjson.dumps(state).decode(), id)
    )


@pytest.mark.parametrize("damage, left", DAMAGE, ids=str)
def test_what_a_page_could_not_draw_is_taken_out_of_a_row(
    plan: Driven, damage: dict[str, Any], left: dict[str, Any]
) -> None:
    id, whole = plan.task(), plan.task()
    before = plan.item("task", id)
    store_fields(plan, id, damage)
    damaged = plan.store.damaged()
    assert [row.id for _, row, _ in damaged] == [id]
    plan.store.mend(damaged)
    item = plan.item("task", id)
    assert {**item, **left} == item
    assert item.keys() - left.keys() <= before.keys()
    assert item["_rev"] == before["_rev"]
    assert plan.store.damaged() == []
    assert Plan.of(plan.store.read()).item(TASK, whole)


def test_a_sound_row_is_left_alone(plan: Driven) -> None:
    plan.insert("task", {**DATES, "custom": [{"a": "<"}], "deadline": "soon", "row_height": 40})
    plan.link(plan.task(), plan.task(unscheduled=True))
    plan.update("task", 1, {"target": "3", "parent": 0})
    assert plan.store.damaged() == []


@pytest.mark.parametrize("damage, left", DAMAGE[:9], ids=str)
def test_an_undo_brings_nothing_back_that_a_page_could_not_draw(
    plan: Driven, damage: dict[str, Any], left: dict[str, Any]
) -> None:
    id = plan.task()
    store_fields(plan, id, damage)
    (deleted,) = plan.delete("task", id).changes
    item = value(plan.undo(deleted.seq))
    assert {**item, **left} == item and not item.keys() & damage.keys() - left.keys() - {
        "id",
        "_rev",
    }


def test_rows_refused_for_a_circle_read_the_others_moves_once(plan: Driven) -> None:
    chain(plan, 40)
    ids = plan.ids("task")
    statements = plan.statements()
    for row in ids[:20]:
        with pytest.raises(Conflict, match="inside itself"):
            plan.update("task", row, {"parent": ids[-1]}, ALICE)
    assert len([each for each in statements if "LIKE" in each]) == 1
    assert len(statements) < 20 * 12


def test_climbing_what_was_deleted_counts_as_rows(plan: Driven) -> None:
    top = plan.task()
    end = plan.ids("task")
    chain(plan, LINES_READ * 4)
    below = plan.ids("task")[-1]
    plan.delete("task", plan.ids("task")[1])
    plan.store.begin(2)
    with pytest.raises(TooLarge):
        plan.insert("task", {**DATES, "parent": below}, ALICE)
    assert plan.ids("task") == end == [top]


def longest_key(plan: Driven) -> int:
    return max(len(row.state["sortorder"]) for row in plan.store.rows(ENTITIES["task"]))


def sortorders(plan: Driven) -> list[str]:
    return sorted(row.state["sortorder"] for row in plan.store.rows(ENTITIES["task"]))


@contextlib.contextmanager
def short_keys() -> Iterator[None]:
    """Neighbours make room wherever a key has a fraction."""
    with (
        mock.patch.object(fractional_index, "LONG", 2),
        mock.patch("gantt_tornado.store.items.WORTHWHILE", 0),
    ):
        yield


def made_room(plan: Driven) -> tuple[list[int], WriteResult]:
    """Three rows, and what another did that came behind the first."""
    ids = [plan.task() for _ in range(3)]
    with short_keys():
        return ids, plan.insert("task", {**DATES, "target": f"next:{ids[0]}"}, ALICE)


def made_room_at(plan: Driven, above: int, dropped: list[int]) -> None:
    """Drop rows directly below another in turn, until neighbours have made room."""
    for number in range(400):
        row = dropped[number % 2]
        plan.update("task", row, drop(plan, row, f"next:{above}"))


def drop(plan: Driven, id: int, target: str) -> dict[str, Any]:
    """By a page that has seen all."""
    return {"target": target, "_rev": plan.rev(id)}


def between_two(plan: Driven, drops: int, author: Author = NOBODY) -> list[int]:
    """Each is dropped directly below the first: the keys at its side grow longer."""
    ids = [plan.task() for _ in range(4)]
    for number in range(drops):
        row = ids[1 + number % 2]
        plan.update("task", row, drop(plan, row, f"next:{ids[0]}"), author)
    return ids


def test_keys_stay_short_however_often_rows_are_dropped_at_one_place(plan: Driven) -> None:
    ids = between_two(plan, 4000)
    assert plan.branch() == [ids[0], ids[2], ids[1], ids[3]]
    assert longest_key(plan) <= 33


def test_the_plan_has_the_order_that_is_stored_when_neighbours_made_room(plan: Driven) -> None:
    between_two(plan, 400)
    tasks = orjson.loads(b"".join(plan.plan.load()))["tasks"]
    assert [task["id"] for task in tasks] == plan.branch()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=60))
def test_an_order_is_that_of_a_list_when_neighbours_make_room(
    drops: list[tuple[int, int, bool]],
) -> None:
    plan = Driven()
    with short_keys():
        rows = [plan.task() for _ in range(10)]
        ids = list(rows)
        for moved, beside, below in drops:
            if moved == beside:
                continue
            row, other = rows[moved], rows[beside]
            plan.update("task", row, drop(plan, row, f"next:{other}" if below else f"{other}"))
            ids.remove(row)
            ids.insert(ids.index(other) + below, row)
    assert plan.branch() == ids
    assert [t["id"] for t in orjson.loads(b"".join(plan.plan.load()))["tasks"]] == ids
    plan.close()


def test_neighbours_that_made_room_are_in_nobodys_history(plan: Driven) -> None:
    ids, _ = made_room(plan)
    lines = [plan.store.journal.history(1 << 60, 99, id) for id in ids]
    assert [[each.action for each in line] for line in lines] == [["add"]] * 3
    assert [action for _, action, _, _ in plan.journal()] == ["add"] * 4


def test_neighbours_that_made_room_were_worked_on_by_nobody(plan: Driven) -> None:
    ids, _ = made_room(plan)
    assert plan.store.journal.authors_since(ids[1], ids[1]) == []
    plan.undo(ids[1], BOB)
    assert ids[1] not in plan.branch()


def test_room_that_was_made_stands_in_no_undos_way(plan: Driven) -> None:
    ids = [plan.task() for _ in range(4)]
    bob = Author("Bob")
    moved = plan.update("task", ids[3], {"target": f"{ids[0]}"}, bob).changes[-1].seq
    for number in range(400):
        row = ids[1 + number % 2]
        plan.update("task", row, drop(plan, row, f"next:{ids[0]}"))
    assert plan.plan.touched(ids[3]) > moved
    plan.undo(moved, bob)
    assert plan.branch() == [ids[0], ids[2], ids[1], ids[3]]


def test_a_deleted_row_comes_back_between_neighbours_that_made_room_since(plan: Driven) -> None:
    ids = between_two(plan, 2)
    gone = plan.delete("task", ids[1]).changes[-1].seq
    extra = plan.task()
    for number in range(400):
        row = (ids[3], extra)[number % 2]
        plan.update("task", row, drop(plan, row, f"next:{ids[2]}"))
    before = plan.branch()
    plan.undo(gone)
    assert [id for id in plan.branch() if id != ids[1]] == before
    assert plan.branch()[-1] == ids[1]


def test_undo_of_a_row_that_only_made_room_is_refused(plan: Driven) -> None:
    _, outcome = made_room(plan)
    before = plan.branch()
    with pytest.raises(Conflict, match="only made room"):
        plan.undo(outcome.changes[0].seq)
    assert plan.branch() == before


def test_a_row_that_left_for_another_branch_comes_back_between_the_same_neighbours(
    plan: Driven,
) -> None:
    ids = [plan.task() for _ in range(5)]
    moved = plan.update("task", ids[2], {"parent": ids[4]}, ALICE).changes[-1].seq
    made_room_at(plan, ids[0], [ids[1], plan.task()])
    plan.undo(moved, ALICE)
    assert [id for id in plan.branch() if id in ids and id != ids[1]] == [ids[0], *ids[2:]]


def test_rows_that_come_back_below_their_parent_stand_as_they_did(plan: Driven) -> None:
    top = plan.task()
    ids = [plan.task(parent=top) for _ in range(4)]
    first = plan.delete("task", top).changes[-1].seq
    plan.undo(first)
    made_room_at(plan, ids[0], ids[1:3])
    plan.delete("task", top)
    plan.undo(first)
    assert plan.branch(top) == ids


def test_a_delete_that_is_undone_asks_once_where_neighbours_made_room(plan: Driven) -> None:
    top = plan.task()
    for _ in range(9):
        plan.task(parent=top)
    gone = plan.delete("task", top).changes[-1].seq
    with mock.patch.object(plan.store.journal, "spacings", return_value=iter(())) as asked:
        plan.undo(gone)
    assert asked.call_count == 1


def test_neighbours_that_go_down_never_get_a_key_that_another_still_has(plan: Driven) -> None:
    first, *ids = [plan.task() for _ in range(5)]
    plan.delete("task", first)
    with short_keys():
        new = plan.task(target=f"next:{ids[2]}")
    assert plan.branch() == [*ids[:3], new, ids[3]]
    assert sortorders(plan) == ["a0", "a1", "a2", "a3", "a4"]


def test_neighbours_that_go_up_never_get_a_key_that_another_still_has(plan: Driven) -> None:
    ids, outcome = made_room(plan)
    assert plan.branch() == [ids[0], outcome.id, *ids[1:]]
    assert sortorders(plan) == ["a0", "a1", "a2", "a3"]


@pytest.mark.parametrize("kind", ["update", "delete", "undo"])
def test_a_request_that_is_sent_again_changes_nothing_more(plan: Driven, kind: str) -> None:
    task = plan.task()
    edit = TASK.read({"text": "Mine"}, plan.calendar)
    plan.update("task", task, {"text": "First"}, ALICE)

    def send() -> Any:
        if kind == "update":
            return plan.write(lambda: plan.store.update(TASK, task, edit, ALICE, "r"))
        if kind == "delete":
            return plan.write(lambda: plan.store.delete(TASK, task, ALICE, "r"))
        return plan.write(lambda: plan.store.undo(task + 1, ALICE, "r"))

    first = send()
    if kind == "delete":
        plan.undo(first.change, ALICE)
    else:
        plan.update("task", task, {"text": "Later"}, BOB)
    again = send()
    assert (again.change, again.changes) == (first.change, ())
    assert plan.plan.item(TASK, task) is not None
