"""Nothing is lost and no two tabs differ: slow lines, cut lines, killed servers, all at once."""

from __future__ import annotations

import json
import time

import pytest

from .tabs import FAILED_REQUEST, agree, stored

TASKS = ["10", "11", "12", "13", "16", "17", "18", "19"]
#: What each of three tabs edits, and how what it counted up is read from a task.
COUNTED = {
    "text": lambda task, before: task["text"].count(".") - before["text"].count("."),
    "progress": lambda task, before: round((task["progress"] - before["progress"]) * 1000),
    "dates": lambda task, before: days(task["start_date"]) - days(before["start_date"]),
}
#: A line with a round trip of 120 ms.
SLOW = 0.06


def days(date: str) -> int:
    return round(time.mktime(time.strptime(date, "%Y-%m-%d %H:%M")) / 86400)


def work(tabs, seconds: float) -> None:
    """Let each tab edit its own field of eight tasks, without waiting for the end."""
    for tab, field in zip(tabs, COUNTED, strict=True):
        tab.run(
            "window.working = probe.work(it.field, it.ids, it.seconds), 0",
            {"field": field, "ids": TASKS, "seconds": seconds},
        )


def lost(server, tabs, before) -> dict[str, int]:
    """Wait until all have finished and agree; how many edits of each field are not stored."""
    made = [tab.page.evaluate("working") for tab in tabs]
    agree(server, *tabs)
    after = stored(server)["tasks"]
    return {
        field: sum(made[id] - counted(after[id], before[id]) for id in TASKS)
        for (field, counted), made in zip(COUNTED.items(), made, strict=True)
    }


def three_slow_tabs(open_tabs, line):
    lines = [line(SLOW) for _ in COUNTED]
    return lines, open_tabs(*(each.url for each in lines))


@pytest.mark.long
def test_twenty_seconds_of_three_on_slow_lines_lose_nothing(server, open_tabs, line):
    _, tabs = three_slow_tabs(open_tabs, line)
    before = stored(server)["tasks"]
    work(tabs, 20)
    assert lost(server, tabs, before) == dict.fromkeys(COUNTED, 0)


def test_three_seconds_without_a_line_lose_nothing(server, open_tabs, line):
    lines, tabs = three_slow_tabs(open_tabs, line)
    for tab in tabs[:2]:
        tab.excuse(FAILED_REQUEST)
    before = stored(server)["tasks"]
    work(tabs, 7)
    tabs[2].page.wait_for_timeout(1000)
    for each in lines[:2]:
        each.cut()
    tabs[2].page.wait_for_timeout(3000)
    for each in lines[:2]:
        each.mend()
    assert lost(server, tabs, before) == dict.fromkeys(COUNTED, 0)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["since"])
def test_twenty_seconds_of_three_with_the_snippet_end_equal(
    server, open_tabs, line, record_property
):
    lines, tabs = three_slow_tabs(open_tabs, line)
    for tab in tabs:
        tab.excuse(FAILED_REQUEST)
    before = stored(server)["tasks"]
    work(tabs, 20)
    tabs[2].page.wait_for_timeout(5000)
    lines[0].cut(sockets_only=True)
    tabs[2].page.wait_for_timeout(3000)
    lines[0].mend()
    missing = lost(server, tabs, before)
    record_property("lost", missing)
    print("lost with the bare snippet:", missing)


@pytest.mark.parametrize("rate", [20, 40])
@pytest.mark.parametrize("kind", ["snippet"])
def test_a_stream_of_edits_is_seen_while_it_runs(server, tabs, rate):
    tabs[0].run("probe.watch('10')")
    started = time.monotonic()
    for number in range(100):
        server.put("/data/task/10", text=f"Slab {number}")
        time.sleep(max(0, started + (number + 1) / rate - time.monotonic()))
    ended = time.time() * 1000
    seen = [each["text"] for each in tabs[0].run("probe.seen") if each["at"] < ended]
    assert len(seen) > 10, seen
    agree(server, *tabs)


@pytest.mark.parametrize("kind", ["page", "since"])
def test_both_tabs_catch_up_with_a_server_that_was_away(server, open_tabs, line):
    lines = [line(), line()]
    tabs = open_tabs(*(each.url for each in lines))
    for tab in tabs:
        tab.excuse(FAILED_REQUEST)
        tab.run("window.loadedOnce = true")
    server.kill()
    # Else a tab could be back before the edits.
    for each in lines:
        each.cut()
    server.start()
    server.put("/data/task/10", text="While they were away")
    server.delete("/data/task/15")
    for each in lines:
        each.mend()
    for tab in tabs:
        tab.shows("10", "While they were away")
        tab.lacks("15")
    agree(server, *tabs)
    assert all(tab.run("window.loadedOnce") for tab in tabs)


def test_a_server_killed_in_the_midst_of_edits_loses_none(server, open_tabs):
    tabs = open_tabs(*[server.url] * 3)
    for tab in tabs:
        tab.excuse(FAILED_REQUEST)
        tab.run("window.loadedOnce = true")
    before = stored(server)["tasks"]
    work(tabs, 60)
    tabs[0].until("gantt.getTask(10).text.endsWith('.')")
    server.kill()
    server.start()
    for tab in tabs:
        tab.live()
        tab.run("probe.stop = true")
    assert lost(server, tabs, before) == dict.fromkeys(COUNTED, 0)
    assert all(tab.run("window.loadedOnce") for tab in tabs)


def test_the_page_says_that_the_server_is_away_and_what_waits(server, tabs):
    one, _ = tabs
    for tab in tabs:
        tab.excuse(FAILED_REQUEST)
    server.kill()
    one.live("reconnecting")
    one.edit("10", text="Written offline")
    one.until("document.getElementById('state-text').textContent.includes('1 edit waiting')")
    server.start()
    one.live()
    agree(server, *tabs)
    assert stored(server)["tasks"]["10"]["text"] == "Written offline"


def test_two_who_drag_rows_at_once_end_with_the_same_order(server, tabs):
    one, two = tabs
    one.grab_row("12", above="8")
    two.grab_row("11", above="8")
    one.page.mouse.up()
    two.page.mouse.up()
    agree(server, *tabs)
    assert set(one.branch("7")[:2]) == {"11", "12"}


def test_two_who_reorder_again_and_again_end_with_the_same_order(server, open_tabs, line):
    one, two = open_tabs(line(SLOW).url, line(SLOW).url)
    for turn in range(6):
        one.run(f"probe.reparent(12, 7, {turn % 4})")
        two.run(f"probe.reparent({10 + turn % 2}, {(1, 7)[turn % 2]}, {turn % 3})")
    agree(server, one, two)


def test_an_undone_deletion_brings_the_subtree_and_its_links_back(server, tabs):
    before = stored(server)
    tabs[0].delete("7")
    tabs[1].lacks("7")
    change = next(
        change
        for change in server.get("/data/history?item=7")["history"]
        if change["action"] == "delete"
    )
    server.post(f"/data/undo/{change['seq']}")
    for tab in tabs:
        tab.until("gantt.isTaskExists(10)")
    agree(server, *tabs)
    assert stored(server) == before


@pytest.mark.parametrize("kind", ["since"])
def test_a_page_that_returns_is_told_only_what_it_has_not_confirmed(server, open_tabs, line):
    cuttable = line()
    (tab,) = open_tabs(cuttable.url)
    tab.excuse(FAILED_REQUEST)
    for id in (8, 9, 10):
        server.put(f"/data/task/{id}", text="Confirmed")
    seq = server.get()["seq"]
    until_confirmed(server, seq, tab)
    cuttable.cut(sockets_only=True)
    server.put("/data/task/11", text="Missed")
    cuttable.mend()
    tab.shows("11", "Missed")
    replayed = [json.loads(frame) for frame in tab.sockets[-1]]
    tasks = {e["body"]["value"]["task"]["id"] for e in replayed if e["action"] == "event"}
    assert tasks == {11}
    agree(server, tab)


def until_confirmed(server, seq: int, tab) -> None:
    """Wait until the server knows that its only page has all up to ``seq``."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if any(page.get("tasks") == seq for page in server.get("/acks").values()):
            return
        tab.page.wait_for_timeout(50)
    raise AssertionError(f"the page has not confirmed {seq}: {server.get('/acks')}")


def test_rows_moved_into_each_other_at_once_end_equal(open_tabs, line, server):
    """The page keeps what it is told for later as long as it would close a circle."""
    tabs = open_tabs(line(delay=0.2).url, line(delay=0.2).url)
    first, second = (tabs[0].add(text) for text in ("one", "other"))
    agree(server, *tabs)
    tabs[0].run("probe.reparent(...it)", [first, second])
    tabs[1].run("probe.reparent(...it)", [second, first])
    agree(server, *tabs)
    parents = {tabs[0].plan()["tasks"][id]["parent"] for id in (first, second)}
    assert parents in ({"0", first}, {"0", second})
