"""The project's page in the hands of people: mouse, keyboard, refusals in plain words."""

from __future__ import annotations

import json

import pytest

from gantt_tornado.model.fractional_index import LONG

from .tabs import agree

DATES = {"start_date": "2026-11-23 00:00", "duration": 3}
READER = {"token": "token", "user": "vera", "role": "viewer"}


def notice(tab) -> str:
    """The text of the notice that comes."""
    box = tab.page.locator(".notice")
    box.wait_for()
    return box.inner_text()


def test_a_refused_link_is_explained_and_taken_back(server, tabs):
    one, _ = tabs
    one.excuse("409")
    one.link("12", "8")
    assert "circle" in notice(one)
    agree(server, *tabs)


@pytest.mark.parametrize("settings", [{"tokens": [READER]}])
def test_an_edit_without_the_right_to_it_is_explained_and_taken_back(server, tabs):
    one, _ = tabs
    one.excuse("403")
    one.edit("10", text="Mine")
    assert "not allowed" in notice(one)
    one.shows("10", "Foundation slab")
    agree(server, *tabs)


@pytest.mark.parametrize("settings", [{"max_body": 2048}])
def test_an_edit_that_is_too_large_is_explained_and_taken_back(server, tabs):
    one, _ = tabs
    one.excuse("413")
    one.edit("10", text="long " * 1000)
    assert "too large" in notice(one)
    one.shows("10", "Foundation slab")
    agree(server, *tabs)


@pytest.mark.parametrize("settings", [{"max_body": 2048}])
def test_a_refused_new_task_is_explained_and_taken_back(server, tabs):
    one, _ = tabs
    one.excuse("413")
    one.run("gantt.addTask({ text: 'x'.repeat(5000), start_date: new Date(), duration: 1 }, 7)")
    assert "too large" in notice(one)
    agree(server, *tabs)


def test_new_rows_that_go_with_a_row_that_another_deletes_are_not_sent_again(server, tabs):
    one, _ = tabs
    held = []
    one.page.route("**/data/task", lambda route: held.append(route), times=1)
    new = "{ text: 'new', start_date: new Date(), duration: 1 }"
    with one.page.expect_request("**/data/task"):
        one.run(f"probe.edit(gantt.addTask({new}, gantt.addTask({new}, 10)), {{ text: 'B' }})")
    server.delete("/data/task/10")
    one.lacks("10")
    held[0].continue_()
    agree(server, *tabs)


def test_a_task_is_added_in_the_form_with_the_keyboard_alone(server, tabs):
    one, two = tabs
    keys = one.page.keyboard
    one.page.locator("#add").focus()
    keys.press("Enter")
    one.page.locator(".gantt_cal_light").wait_for()
    keys.press("Control+A")
    keys.type("Fence")
    for _ in range(10):
        keys.press("Tab")
        if one.run("document.activeElement.matches('.gantt_save_btn_set, .gantt_save_btn')"):
            break
    keys.press("Enter")
    two.until("gantt.getTaskBy('text', 'Fence').length")
    agree(server, *tabs)


def test_a_row_is_moved_and_deleted_with_the_keyboard_alone(server, tabs):
    one, two = tabs
    keys = one.page.keyboard
    one.row("9").click()
    keys.press("Control+ArrowDown")
    two.until("gantt.getTaskIndex(9) === 2")
    agree(server, *tabs)
    keys.press("Delete")
    one.page.locator(".gantt_modal_box").wait_for()
    keys.press("Enter")
    two.lacks("9")
    agree(server, *tabs)


def test_a_dragged_bar(server, tabs):
    one, two = tabs
    before = one.plan()["tasks"]["11"]["start_date"]
    box = one.bar("11").bounding_box()
    mouse = one.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + 8)
    mouse.down()
    mouse.move(box["x"] + box["width"] / 2 + 60, box["y"] + 8, steps=5)
    mouse.up()
    two.until(f"probe.plan().tasks[11].start_date > {json.dumps(before)}")
    agree(server, *tabs)


def test_a_link_drawn_with_the_mouse(server, tabs):
    one, two = tabs
    mouse = one.page.mouse
    start, end = one.bar("8").bounding_box(), one.bar("11").bounding_box()
    mouse.move(start["x"] + start["width"] / 2, start["y"] + 12)
    grip = one.bar("8").locator("[data-bind-property=end_date] .gantt_link_point").bounding_box()
    mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2)
    mouse.down()
    mouse.move(end["x"] + 20, end["y"] + 12, steps=6)
    grip = one.bar("11").locator("[data-bind-property=start_date] .gantt_link_point").bounding_box()
    mouse.move(grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2, steps=2)
    mouse.up()
    two.until("gantt.getLinks().some((link) => link.source == 8 && link.target == 11)")
    agree(server, *tabs)


def test_rows_that_make_room_for_another_stand_where_they_stood(server, tabs):
    def innocent():
        return {
            task["id"]: task["_rev"] for task in server.get()["tasks"] if task["id"] in (11, 12)
        }

    before = innocent()
    rows = {task["id"]: task for task in server.get()["tasks"]}
    id = 9
    while len(rows[id]["sortorder"]) < LONG:
        id = 10 if id == 9 else 9
        sent = {name: rows[id][name] for name in ("_rev", "_mark")}
        rows[id] = server.put(f"/data/task/{id}", target="next:8", **sent)["item"]
    for _ in range(8):
        server.post("/data/task", text="Between", **DATES, parent=7, target="next:8")
    assert not before.items() & innocent().items()
    agree(server, *tabs)


def test_a_row_in_the_hand_is_not_disturbed_by_others(server, tabs):
    one, two = tabs
    one.grab_row("12", above="9")
    two.edit("12", text="Thatched roof")
    two.delete("9")
    two.until("!probe.busy()")
    one.page.mouse.up()
    one.shows("12", "Thatched roof")
    one.lacks("9")
    agree(server, *tabs)


@pytest.mark.parametrize("kind", ["snippet"])
def test_a_custom_action_reaches_the_pages_own_handler(server, tabs):
    one, _ = tabs
    one.run("(window.heard = [], remoteEvents.on('weather', (value) => heard.push(value)))")
    one.run("probe.listens()")
    server.post("/publish/weather", type="custom-action", wind=7)
    one.until("heard.length")
    assert one.run("heard") == [{"type": "custom-action", "wind": 7}]


def test_tabs_in_two_time_zones(server, open_tabs):
    (one,) = open_tabs(server.url, timezone_id="Europe/Berlin")
    (two,) = open_tabs(server.url, timezone_id="America/New_York")
    one.run(
        "probe.edit(10, { start_date: new Date(2026, 9, 20), end_date: new Date(2026, 10, 5) })"
    )
    two.until("gantt.getTask(10).duration === 16")
    two.run(
        "probe.edit(10, { start_date: new Date(2026, 9, 21), end_date: new Date(2026, 10, 6) })"
    )
    agree(server, one, two)
