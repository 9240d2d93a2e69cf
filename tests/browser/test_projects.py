"""Two projects in four tabs: each shows its own plan, and what others do in it."""

from __future__ import annotations

import pytest

from .tabs import FAILED_REQUEST


@pytest.fixture
def four(server, open_tabs):
    """Two tabs of the default project, two of another with the same rows."""
    server.post("/projects", name="house", title="The house", demo=True)
    house = f"{server.url}/p/house"
    return open_tabs(server.url, server.url, house, house)


def test_an_edit_is_seen_in_its_own_project_alone(server, four):
    root, other, house, beside = four
    house.edit("10", text="Roof of the house")
    beside.shows("10", "Roof of the house")
    root.edit("10", text="Concrete")
    other.shows("10", "Concrete")
    assert beside.run("gantt.getTask(10).text") == "Roof of the house"
    texts = [
        next(task["text"] for task in server.get(path)["tasks"] if task["id"] == 10)
        for path in ("/data", "/p/house/data")
    ]
    assert texts == ["Concrete", "Roof of the house"]


def test_a_page_of_a_project_catches_up_over_a_restart(server, four):
    *_, house, beside = four
    house.edit("10", text="Before")
    beside.shows("10", "Before")
    server.kill()
    server.start()
    server.put("/p/house/data/task/10", text="After")
    for tab in (house, beside):
        tab.shows("10", "After")
    id = house.add("Chimney", parent="15")
    beside.shows(id, "Chimney")
    for tab in four:
        tab.excuse(FAILED_REQUEST)


def test_an_archived_project_keeps_what_it_has(server, four):
    *_, house, beside = four
    server.put("/projects/house", archived=True)
    house.edit("10", text="Never")
    house.until("gantt.getTask(10).text !== 'Never'")
    assert beside.run("gantt.getTask(10).text") != "Never"
    for tab in four:
        tab.excuse("409")
