from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from gantt_tornado.errors import Conflict, NotFound
from gantt_tornado.live.plan import Plan
from gantt_tornado.model.change import Author, Change
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.journal_age import DAY
from gantt_tornado.store import journal as journal_module
from gantt_tornado.store.journal import AT_ONCE, MOST_LATER, PRUNED_AT_ONCE, SHARE, Journal
from gantt_tornado.store.projects import Projects
from tests.support import ALICE, BOB, DATES, Driven, replay, value


@pytest.fixture
def plan() -> Iterator[Driven]:
    plan = Driven()
    yield plan
    plan.close()


def history(
    plan: Driven, before: int = 1 << 60, limit: int = 99, item: int | None = None
) -> list[Change]:
    return plan.store.journal.history(before, limit, item)


# History.


def test_the_history_is_newest_first(plan: Driven) -> None:
    for _ in range(3):
        plan.task()
    assert [change.seq for change in history(plan)] == [3, 2, 1]


def test_the_history_can_be_read_page_by_page(plan: Driven) -> None:
    for _ in range(5):
        plan.task()
    assert [change.seq for change in history(plan, limit=2)] == [5, 4]
    assert [change.seq for change in history(plan, before=4, limit=2)] == [3, 2]


def test_large_changes_come_in_pages_of_a_bounded_size(
    plan: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LARGEST_PAGE", 10_000)
    id = plan.task()
    for n in range(9):
        plan.update("task", id, {"text": f"{n}" * 2000})
    pages = [history(plan)]
    while pages[-1]:
        pages.append(history(plan, before=pages[-1][-1].seq))
    assert [change.seq for page in pages for change in page] == list(range(10, 0, -1))
    # Each holds the old text and the new one.
    assert max(len(page) for page in pages) == 2


def test_a_change_that_is_larger_than_a_page_has_its_own(
    plan: Driven, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "LARGEST_PAGE", 1)
    id = plan.task()
    plan.update("task", id, {"text": "Fill"})
    assert [len(history(plan)), len(history(plan, before=id + 1))] == [1, 1]


def test_the_history_of_one_item_is_its_own(plan: Driven) -> None:
    task = plan.task()
    plan.task()
    plan.update("task", task, {"text": "Fill"})
    assert [change.seq for change in history(plan, item=task)] == [3, 1]


def test_the_history_of_nothing_is_empty(plan: Driven) -> None:
    assert history(plan) == history(plan, item=99) == history(plan, before=0) == []


def test_a_line_is_read_back_as_it_was_written(plan: Driven) -> None:
    task = plan.insert("task", {**DATES, "colour": {"deep": [1, None]}}, ALICE)
    (line,) = history(plan)
    (change,) = task.changes
    assert (line.author, line.at, line.fields, line.action, line.entity) == (
        change.author,
        change.at,
        change.fields,
        change.action,
        change.entity,
    )


def test_time_does_not_run_backwards_in_it(plan: Driven) -> None:
    for _ in range(5):
        plan.task()
    times = [change.at for change in history(plan)]
    assert times == sorted(times, reverse=True)


def test_what_a_delete_took_with_it_names_the_delete(plan: Driven) -> None:
    top = plan.task()
    plan.task(parent=top)
    changes = plan.delete("task", top).changes
    assert {change.cause_seq for change in changes} == {changes[-1].seq}
    taken = plan.store.journal.taken_with(changes[-1].seq)
    assert [line.id for line in taken] == [changes[0].id]


@pytest.mark.parametrize("count", [1, AT_ONCE, 2 * AT_ONCE + 1])
def test_what_a_delete_took_is_read_whole_in_parts(plan: Driven, count: int) -> None:
    top = plan.task()
    below = [plan.task(parent=top) for _ in range(count)]
    root = plan.delete("task", top).changes[-1].seq
    statements = plan.statements()
    taken = [line.id for line in plan.store.journal.taken_with(root)]
    assert (sorted(taken), plan.store.journal.taken(root)) == (below, count)
    assert len(statements) == count // AT_ONCE + 2


def test_no_more_changes_of_an_item_are_read_than_a_merge_can_use(plan: Driven) -> None:
    id = plan.task()
    for n in range(MOST_LATER + 5):
        plan.update("task", id, {"text": f"{n}"})
    later = plan.store.journal.later(id, id)
    assert len(later) == MOST_LATER
    assert later[-1].previous > id


def test_a_change_that_is_not_there_is_none(plan: Driven) -> None:
    assert plan.store.journal.line(1) is None


def test_changes_of_another_project_are_not_told(plan: Driven) -> None:
    plan.task()
    assert Projects(plan.database).create("other").id == 2
    assert Journal(plan.database, 2).history(1 << 60, 9, None) == []
    assert Journal(plan.database, 2).line(1) is None


@pytest.mark.parametrize(
    "other, expected",
    [
        (Author("alice", "page-a"), False),
        (Author("alice", "page-b"), True),
        (Author("alice"), False),
        (Author("bob", "page-a"), True),
        (Author("bob"), True),
    ],
)
def test_whether_two_changes_are_of_different_hands(other: Author, expected: bool) -> None:
    assert ALICE.is_other_than(other) is other.is_other_than(ALICE) is expected


# Upkeep.


def seqs(plan: Driven) -> list[int]:
    return [line[0] for line in plan.journal()]


def test_the_journal_is_kept_by_count(plan: Driven) -> None:
    for _ in range(5):
        plan.task()
    assert plan.prune(2) == 3
    assert (seqs(plan), plan.store.journal.horizon()) == ([4, 5], 3)


def written(plan: Driven, *days: float) -> None:
    """Changes of these days."""
    with plan.database.peewee.atomic():
        for number, day in enumerate(days, 1):
            plan.task()
            plan.database.peewee.execute_sql(
                "UPDATE change SET at = ? WHERE seq = ?", (int(day * DAY), number)
            )


def test_the_journal_is_kept_by_age(plan: Driven) -> None:
    written(plan, 1, 2, 3)
    ages = [plan.prune(100, clock=int(3.5 * DAY), longest=DAY) for _ in range(4)]
    assert (ages, seqs(plan)) == ([1, 1, 0, 0], [3])


def test_by_age_only_a_share_goes_at_a_time(plan: Driven) -> None:
    written(plan, *[1] * (3 * SHARE), 30)
    assert plan.prune(100_000, clock=100 * DAY, longest=1) == 3


def test_a_clock_that_jumped_leaves_the_journal_alone(plan: Driven) -> None:
    written(plan, 1, 2, 3, 43)
    assert plan.prune(100, clock=43 * DAY, longest=30 * DAY) == 0


def test_times_are_learnt_in_slices(plan: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "LEARNT_AT_ONCE", 2)
    written(plan, 1, 2, 3)
    assert [plan.store.journal.learn() for _ in range(3)] == [True, False, False]


def test_what_is_neither_old_nor_too_much_is_kept(plan: Driven) -> None:
    plan.task()
    assert (plan.prune(100), seqs(plan)) == (0, [1])


def test_all_of_it_can_be_forgotten(plan: Driven) -> None:
    plan.task()
    plan.prune(0)
    assert (seqs(plan), plan.store.journal.horizon(), plan.plan.horizon) == ([], 1, 1)


def test_no_write_waits_long_for_it(plan: Driven) -> None:
    with plan.database.peewee.atomic():
        for _ in range(PRUNED_AT_ONCE + 10):
            plan.task()
    assert plan.prune(0) == PRUNED_AT_ONCE
    assert plan.prune(0) == 10
    assert plan.prune(0) == 0


@pytest.mark.parametrize("keep, kept", [(5, [1, 2, 3, 4, 5]), (4, [5]), (0, [])])
def test_a_group_is_forgotten_as_a_whole(plan: Driven, keep: int, kept: list[int]) -> None:
    plan.together(*[plan.task] * 4)
    plan.task()
    plan.prune(keep)
    assert seqs(plan) == kept


def test_the_last_group_of_all_is_forgotten_as_a_whole(plan: Driven) -> None:
    plan.task()
    plan.together(*[plan.task] * 3)
    plan.prune(1)
    assert seqs(plan) == [2, 3, 4]
    plan.prune(1)
    assert seqs(plan) == []


@pytest.mark.parametrize("count", [1, AT_ONCE, 2 * AT_ONCE + 1])
def test_a_group_is_read_whole_in_parts(plan: Driven, count: int) -> None:
    plan.task()
    plan.together(*[plan.task] * count)
    group = plan.store.journal.group(2)
    assert [line.seq for line in group] == list(range(count + 1, 1, -1))


def test_a_group_is_found_by_its_index(plan: Driven) -> None:
    statements = plan.statements()
    list(plan.store.journal.group(2))
    (step,) = plan.database.peewee.execute_sql(f"EXPLAIN QUERY PLAN {statements[-1]}").fetchall()
    assert "change_group" in str(step)


def test_numbers_go_on_after_all_was_forgotten(plan: Driven) -> None:
    task = plan.task()
    plan.prune(0)
    assert plan.task() == task + 1


def test_a_change_that_was_forgotten_is_not_undone(plan: Driven) -> None:
    plan.task()
    plan.prune(0)
    with pytest.raises(Exception, match="not in the journal"):
        plan.undo(1, ALICE)


def test_an_item_outlives_its_journal(plan: Driven) -> None:
    task = plan.task()
    plan.prune(0)
    assert value(plan.update("task", task, {"text": "Fill"}))["text"] == "Fill"


def test_a_page_older_than_the_journal_cannot_save_over_others(plan: Driven) -> None:
    sent = value(plan.insert("task", {**DATES, "a": 1}))
    plan.update("task", sent["id"], {"a": 2}, ALICE)
    plan.prune(0)
    with pytest.raises(Conflict, match="reload"):
        plan.update("task", sent["id"], {**sent, "text": "Fill"}, BOB)


def test_an_item_older_than_the_journal_is_merged_all_the_same(plan: Driven) -> None:
    sent = value(plan.insert("task", {**DATES, "a": 1, "b": 1}))
    plan.prune(0)
    plan.task()
    plan.prune(0)
    plan.update("task", sent["id"], {**sent, "a": 2}, ALICE)
    item = value(plan.update("task", sent["id"], {**sent, "b": 2}, BOB))
    assert (item["a"], item["b"]) == (2, 2)


# The latest.


def latest(plan: Driven, span: int = 1000) -> list[int]:
    return [id for _, id in plan.store.journal.latest(span)]


@pytest.fixture
def clock(plan: Driven, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    now = {"ms": 1_000_000}
    monkeypatch.setattr(plan.store, "_now", lambda: now["ms"])
    return now


def test_an_empty_journal_has_no_latest(plan: Driven) -> None:
    assert latest(plan) == []


def test_the_latest_are_the_items_of_the_last_changes(plan: Driven, clock: dict[str, int]) -> None:
    plan.task()
    clock["ms"] += 1001
    a, b = plan.task(), plan.task()
    plan.update("task", a, {"text": "Fill"})
    assert sorted(latest(plan)) == [a, b]


def test_the_latest_count_from_the_last_change_and_not_from_now(
    plan: Driven, clock: dict[str, int]
) -> None:
    task = plan.task()
    clock["ms"] += 10**9
    assert latest(plan) == [task]


def test_what_is_gone_is_among_the_latest(plan: Driven) -> None:
    task = plan.task()
    plan.delete("task", task)
    assert latest(plan) == [task]


# Lines that are not what we wrote.


DAMAGE = [
    {"fields": "{"},
    {"fields": "[1]"},
    {"fields": '{"text": 7}'},
    {"fields": '{"text": [1]}'},
    {"fields": ""},
    {"entity": "milestone"},
    {"fields": '{"sortorder": [1, 2], "parent": [0, 0]}'},
    {"fields": '{"parent": ["x", {}], "sortorder": ["a0", "a1"]}'},
    {"fields": '{"text": [1, %s]}' % ("[" * 252 + "]" * 252)},
    {"fields": b"\xff"},
    {"fields": b'{"text": ["\xff", ""]}'},
]
#: Elsewhere than in the fields: as another program, or a disk, may leave it.
NO_CHANGE = [
    {"action": "x"},
    {"at": "noon"},
    {"at": 1 << 62},
    {"at": -1},
    {"user": b"\xff"},
    {"client_id": b"\xff"},
    {"entity": b"\xff"},
    {"action": b"\xff"},
    {"dropped": "{"},
    {"dropped": "[1]"},
    {"dropped": b"\xff"},
]


def damage_line(plan: Driven, seq: int, damage: dict[str, Any]) -> None:
    for column, damaged in damage.items():
        # A text that is no UTF-8, as a disk leaves it.
        kind = "CAST(? AS TEXT)" if isinstance(damaged, bytes) else "?"
        plan.database.peewee.execute_sql(
            f'UPDATE change SET "{column}" = {kind} WHERE seq = ?', (damaged, seq)
        )


@pytest.mark.parametrize(
    "damage", [*DAMAGE, *NO_CHANGE, {"item_id": "x"}, {"cause_seq": "x"}], ids=str
)
def test_a_damaged_line_hides_no_other(
    plan: Driven, damage: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        plan.task()
    damage_line(plan, 2, damage)
    assert [change.seq for change in history(plan)] == [3, 1]
    assert "change 2 cannot be read" in caplog.text


@pytest.mark.parametrize("damage", [*DAMAGE, *NO_CHANGE], ids=str)
def test_what_a_damaged_line_says_cannot_be_undone(plan: Driven, damage: dict[str, str]) -> None:
    damage_line(plan, plan.task(), damage)
    with pytest.raises(NotFound):
        plan.undo(1)


@pytest.mark.parametrize("damage", [*DAMAGE, *NO_CHANGE, {"fields": "{}"}], ids=str)
def test_a_delete_is_undone_without_the_lines_that_are_damaged(
    plan: Driven, damage: dict[str, str]
) -> None:
    top = plan.task()
    children = [plan.task(parent=top), plan.task(parent=top)]
    changes = plan.delete("task", top).changes
    damage_line(plan, changes[0].seq, damage)
    plan.undo(changes[-1].seq)
    assert sorted(plan.ids("task")) == sorted({top, *children} - {changes[0].id})


@pytest.mark.parametrize(
    "damage",
    [
        *DAMAGE[:5],
        *DAMAGE[-2:],
        {"user": b"\xff"},
        {"previous": "x"},
        {"base_rev": "x"},
        {"at": "x"},
    ],
    ids=str,
)
@pytest.mark.parametrize("line", [2, 3])
def test_what_was_changed_before_a_damaged_line_counts_as_forgotten(
    plan: Driven, damage: dict[str, str], line: int
) -> None:
    task = plan.task()
    for text in "ab":
        plan.update("task", task, {"text": text})
    damage_line(plan, line, damage)
    with pytest.raises(Conflict, match="reload"):
        plan.update("task", task, {"progress": 1, "_rev": 1})


@pytest.mark.parametrize("damage", [*DAMAGE, *NO_CHANGE, {"item_id": "x"}], ids=str)
def test_a_plan_with_a_damaged_line_is_read(plan: Driven, damage: dict[str, str]) -> None:
    task = plan.task()
    damage_line(plan, task, damage)
    assert Plan.of(plan.store.read()).item(ENTITIES["task"], task) is not None
    assert plan.store.journal.latest(1000) is not None


@pytest.mark.parametrize(
    "damage",
    [
        {"fields": '{"parent": [{}, null], "sortorder": ["a0", null]}'},
        {"fields": "{"},
        {"action": "update", "fields": '{"text": ["Dig", "Fill"]}'},
    ],
    ids=str,
)
def test_a_task_under_one_that_was_deleted_by_a_damaged_line_comes_to_the_top(
    plan: Driven, damage: dict[str, str]
) -> None:
    top = plan.task(parent=plan.task())
    plan.update("task", top, {"parent": 0})
    (deleted,) = plan.delete("task", top).changes
    damage_line(plan, deleted.seq, damage)
    assert plan.item("task", plan.task(parent=top))["parent"] == 0


@pytest.mark.parametrize("damage", [{"user": b"\xff"}, {"client_id": b"\xff"}], ids=str)
def test_an_author_that_cannot_be_read_is_another(plan: Driven, damage: dict[str, Any]) -> None:
    task = plan.task()
    seq = plan.update("task", task, {"text": "a"}).changes[0].seq
    damage_line(plan, seq, damage)
    assert any(each.user or each.client_id for each in plan.store.journal.authors_since(task, 1))


@pytest.mark.parametrize("damage", [{"action": "x"}, {"action": "update"}, {"action": b"\xff"}])
def test_what_a_damaged_line_does_not_say_was_deleted_is_told_as_gone(
    plan: Driven, damage: dict[str, Any]
) -> None:
    task = plan.task()
    damage_line(plan, plan.delete("task", task).changes[0].seq, damage)
    (gone,) = replay(Plan.of(plan.store.read()), "tasks", 0)
    assert orjson.loads(gone)["type"] == "delete-task"
