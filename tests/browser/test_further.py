"""Assignments and baselines, in a page that sets up what docs/protocol.md says."""

from __future__ import annotations

import pytest

from .tabs import agree


@pytest.fixture
def kind():
    return "further"


@pytest.fixture
def two(line, open_tabs):
    """Two tabs on lines that reorder."""
    return open_tabs(*(line(0.03, 0.06, seed).url for seed in (1, 2)))


def test_what_one_assigns_and_plans_the_other_has(server, two):
    one, other = two
    one.run("void assignments.addItem({ id: gantt.uid(), task_id: 10, resource_id: 1, value: 4 })")
    other.until("assignments.count() === 1")
    id = other.run("assignments.getItems()[0].id")
    one.until("assignments.exists(it)", id)
    other.run("(assignments.getItem(it).value = 8, assignments.updateItem(it), 0)", id)
    one.until("assignments.getItem(it).value === 8", id)
    other.run(
        "void baselines.addItem({ id: gantt.uid(), task_id: 10, text: 'As planned', duration: 2,"
        " start_date: new Date(2026, 10, 23), end_date: new Date(2026, 10, 25) })"
    )
    one.until("baselines.count() === 1")
    planned = one.run("baselines.getItems()[0].id")
    loaded = server.get("/data?assignments=1")
    assert [(each["id"], each["value"]) for each in loaded["assignments"]] == [(id, 8)]
    assert [each["end_date"] for each in loaded["baselines"]] == ["2026-11-25 00:00"]
    # A task does not send them along, and takes them with it.
    one.edit("10", text="Concrete")
    agree(server, one, other, order=False)
    task = next(each for each in server.get()["tasks"] if each["id"] == 10)
    assert "undefined" not in task
    one.delete("10")
    for tab in two:
        tab.until("!assignments.exists(it[0]) && !baselines.exists(it[1])", [id, planned])
    agree(server, one, other, order=False)
    assert "assignments" not in server.get("/data?assignments=1")


def test_a_page_loads_what_there_is(server, open_tabs):
    server.post("/data/assignment", task_id=10, resource_id=1, value=4)
    server.post("/data/baseline", task_id=10, start_date="2026-11-23 00:00", duration=2)
    (tab,) = open_tabs(server.url)
    assert tab.run("[assignments.count(), baselines.count()]") == [1, 1]
