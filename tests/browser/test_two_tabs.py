"""Two tabs in sync, on the project's page and on the README's snippet as it stands."""

from __future__ import annotations

import pytest

from .tabs import agree


@pytest.fixture(params=["page", "snippet"])
def kind(request):
    return request.param


def test_an_edit(server, tabs, kind):
    one, two = tabs
    one.edit("10", text="Concrete", progress=0.5)
    two.shows("10", "Concrete")
    agree(server, *tabs)


def test_dates(server, tabs):
    one, two = tabs
    one.run("probe.edit(10, { start_date: new Date(2026, 2, 1), end_date: new Date(2026, 2, 4) })")
    two.until("gantt.getTask(10).duration === 3 && gantt.getTask(10).start_date.getMonth() === 2")
    agree(server, *tabs)


def test_a_script_in_a_text_runs_nowhere_and_is_drawn_to_the_letter(server, tabs):
    text = '<b>R&D</b> a < b <img src=x onerror="window.ran = true">'
    server.put("/data/task/10", text=text)
    for tab in tabs:
        tab.shows("10", text.replace("<", "&lt;"))
        assert tab.row("10").locator(".gantt_tree_content").first.inner_text() == text
    agree(server, *tabs)
    assert not any(tab.run("'ran' in window") for tab in tabs)


def test_a_new_task(server, tabs):
    one, two = tabs
    id = one.add("Fence", parent="15")
    two.shows(id, "Fence")
    agree(server, *tabs)


def test_a_deleted_task_takes_its_subtree_and_links_with_it(server, tabs):
    one, two = tabs
    one.delete("7")
    two.lacks("7")
    agree(server, *tabs)
    assert not two.run("gantt.isTaskExists(10)")


def test_a_new_link(server, tabs):
    one, two = tabs
    one.link("2", "5")
    two.until("gantt.getLinks().some((link) => link.source == 2 && link.target == 5)")
    agree(server, *tabs)


def test_a_deleted_link(server, tabs):
    one, two = tabs
    link = one.run("gantt.getLinks()[0].id")
    one.run("gantt.deleteLink(it)", link)
    two.until("!gantt.isLinkExists(it)", link)
    agree(server, *tabs)


def test_a_task_under_another_parent(server, tabs, kind):
    one, two = tabs
    one.run("probe.reparent(10, 1, 2)")
    two.until("gantt.getParent(10) == 1")
    agree(server, *tabs, order=kind == "page")
    if kind == "snippet":
        two.reload()
        agree(server, *tabs)


def test_a_dragged_row(server, tabs, kind):
    one, two = tabs
    if kind == "snippet":
        one.run("(gantt.config.order_branch = true, gantt.init('gantt_here'))")
    one.drag_row("12", above="9")
    agree(server, *tabs, order=kind == "page")
    if kind == "snippet":
        two.reload()
        agree(server, *tabs)
    branch = two.branch("7")
    assert branch.index("12") == branch.index("9") - 1


def test_a_new_row_below_a_new_one_that_is_dragged_at_once(server, tabs, kind):
    one, two = tabs
    if kind == "snippet":
        one.excuse("409")  # as below
    one.run("""(() => {
        const add = (text, parent) =>
            gantt.addTask({ text, start_date: "2026-11-23 00:00", duration: 2 }, parent);
        probe.reparent(add("Lawn", add("Garden", 0)), 7, 1);
    })()""")
    two.until("gantt.getTaskBy('text', 'Lawn').length && gantt.getTaskBy('text', 'Garden').length")
    agree(server, *tabs, order=kind == "page")
    assert two.id("Lawn") in two.branch("7")


def test_a_task_its_child_and_a_link_between_new_ones_without_waiting(server, tabs, kind):
    one, two = tabs
    if kind == "snippet":
        one.excuse("409")  # it sends temporary ids, is refused, and sends again
    one.run("""(() => {
        const add = (text, parent) =>
            gantt.addTask({ text, start_date: "2026-11-23 00:00", duration: 2 }, parent);
        const garden = add("Garden", 0);
        const path = add("Path", garden);
        const lawn = add("Lawn", garden);
        gantt.addLink({ source: path, target: lawn, type: "0" });
        probe.edit(lawn, { text: "Meadow" });
    })()""")
    two.until("gantt.getTaskBy('text', 'Meadow').length && gantt.getTaskBy('text', 'Path').length")
    agree(server, *tabs, order=kind == "page")
    path, meadow = two.ids("Path", "Meadow")
    assert two.run("gantt.getParent(it)", path) == two.run("gantt.getParent(it)", meadow)
    assert two.run(
        "gantt.getLinks().some((l) => l.source == it[0] && l.target == it[1])", [path, meadow]
    )


def test_both_edit_different_fields_of_a_task_at_once(server, tabs):
    one, two = tabs
    one.edit("10", text="Concrete")
    two.edit("10", progress=0.9)
    agree(server, *tabs)
    task = next(task for task in server.get()["tasks"] if task["id"] == 10)
    assert (task["text"], task["progress"]) == ("Concrete", 0.9)


def test_an_edit_of_a_task_that_somebody_else_has_just_deleted(server, open_tabs, line, kind):
    slow = line()
    one, two = tabs = open_tabs(server.url, slow.url)
    two.excuse("404")
    slow.hold()
    one.delete("10")
    one.until("!probe.busy()")
    with two.page.expect_response("**/data/task/10"):
        two.edit("10", text="Too late")
    slow.release()
    two.lacks("10")
    agree(server, *tabs)
