"""Edits that the server has not got outlive the tab, and are sent once, by their own user."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import pytest
from playwright.sync_api import Error, Route

from .conftest import ARGUMENTS, chromium
from .tabs import FAILED_REQUEST, PROBE, Tab, stored
from .test_sign_in import EVE, sign_in

ADA = {"token": "adas", "user": "ada", "name": "Ada", "role": "editor"}
# Not the token that the page has itself.
ADMIN = {"token": "admins", "user": "demo", "role": "admin"}
PRODUCTION = {"tokens": [ADMIN, EVE, ADA], "anonymous": ""}
NEW = "{ text: 'New', start_date: new Date(2026, 10, 23), duration: 2 }"


def dropped(route: Route) -> None:
    """Leave a request without an answer. Its page may be left meanwhile, and it with that."""
    with contextlib.suppress(Error):
        route.abort()


@pytest.fixture
def away(server, tabs):
    """A tab of a server that was there and is away, beside another tab of the same browser that
    has been left."""
    for tab in tabs:
        tab.excuse(FAILED_REQUEST)
    tabs[1].page.goto("about:blank")
    server.kill()
    tabs[0].live("reconnecting")
    return tabs[0]


def kept(tab: Tab, count: int) -> None:
    """Wait until so many edits lie in the browser."""
    tab.until("(count(), window.kept === it)", count)


LIVE = "probe.until(() => window.ganttLive?.state === 'live')"
COUNT = """window.count = () => {
  const request = indexedDB.open("gantt-live");
  request.onsuccess = () => {
    const found = request.result.transaction("edits").objectStore("edits").count();
    found.onsuccess = () => { window.kept = found.result; request.result.close(); };
  };
}"""


def back(server, tab: Tab) -> None:
    """The page is loaded anew, and the server is there again."""
    tab.page.goto("about:blank")
    server.start()
    tab.page.goto(server.url, wait_until="commit")
    tab.ready()
    tab.run("ganttLive.flush()")


def test_all_that_was_done_meanwhile_is_sent_after_a_reload(server, away):
    away.run(COUNT)
    away.edit("10", text="First")
    away.edit("10", text="Second")
    away.edit("10", progress=0.75)
    away.run(f"(window.parent = gantt.addTask({NEW}, 7), gantt.addTask({NEW}, window.parent))")
    away.run("probe.edit(window.parent, { text: 'New, and named' })")
    away.run("gantt.addLink({ source: 10, target: window.parent, type: '0' })")
    away.run(f"gantt.deleteTask(gantt.addTask({NEW}, 7))")
    away.delete("12")
    kept(away, 8)
    back(server, away)
    plan = stored(server)
    assert (plan["tasks"]["10"]["text"], plan["tasks"]["10"]["progress"]) == ("Second", 0.75)
    (parent,) = [id for id, task in plan["tasks"].items() if task["text"] == "New, and named"]
    assert plan["tasks"][parent]["parent"] == "7"
    (below,) = [id for id, task in plan["tasks"].items() if task["text"] == "New"]
    assert plan["tasks"][below]["parent"] == parent
    assert ["10", parent, "0"] in plan["links"].values()
    assert "12" not in plan["tasks"]
    away.run(COUNT)
    kept(away, 0)


def test_it_is_merged_with_what_others_did_meanwhile(server, away):
    away.run(COUNT)
    away.edit("10", text="Mine")
    kept(away, 1)
    away.page.goto("about:blank")
    server.start()
    server.put("/data/task/10", progress=0.25)
    server.put("/data/task/11", text="Theirs")
    away.page.goto(server.url, wait_until="commit")
    away.ready()
    away.run("ganttLive.flush()")
    ten = stored(server)["tasks"]["10"]
    assert (ten["text"], ten["progress"]) == ("Mine", 0.25)


def test_what_the_server_has_got_already_overwrites_nothing(server, tabs):
    tab, other = tabs
    tab.excuse(FAILED_REQUEST)
    tab.run(COUNT)
    other.page.goto("about:blank")
    held = []

    def lose(route):
        held.append(route.fetch())
        server.put("/data/task/10", text="Later")
        dropped(route)

    tab.page.route("**/data/task/10", lose)
    tab.edit("10", text="Mine")
    tab.until("document.getElementById('state-text').textContent.includes('waiting')")
    kept(tab, 1)
    tab.page.unroute("**/data/task/10")
    tab.page.goto("about:blank")
    tab.page.goto(server.url, wait_until="commit")
    tab.ready()
    tab.run("ganttLive.flush()")
    assert stored(server)["tasks"]["10"]["text"] == "Later"
    assert len(held) == 1


def test_one_tab_at_a_time_sends_it(server, away):
    away.run(COUNT)
    away.edit("10", text="Once")
    kept(away, 1)
    away.page.goto("about:blank")
    server.start()
    context, held = away.page.context, []
    context.route("**/data/task/10", lambda route: held.append(route))
    pages = [away.page, context.new_page()]
    for page in pages:
        page.goto(server.url, wait_until="commit")
        page.evaluate(LIVE)
    # It knows that another is sending it, and waits for nothing.
    pages[1].evaluate("ganttLive.flush()")
    assert len(held) == 1
    held[0].continue_()
    context.unroute("**/data/task/10")
    pages[0].evaluate("ganttLive.flush()")
    pages[1].close()
    assert stored(server)["tasks"]["10"]["text"] == "Once"


def test_a_tab_that_lives_sends_its_own(server, tabs):
    tab, _ = tabs
    context, held = tab.page.context, []
    tab.run(COUNT)
    context.route("**/data/task/10", lambda route: held.append(route))
    tab.edit("10", text="Mine")
    kept(tab, 1)
    other = context.new_page()
    other.goto(server.url, wait_until="commit")
    other.evaluate(LIVE)
    other.evaluate("ganttLive.flush()")
    assert len(held) == 1
    held[0].continue_()
    context.unroute("**/data/task/10")
    tab.run("ganttLive.flush()")
    other.close()


def test_without_web_locks_it_is_sent_as_well(server, open_tabs):
    (tab,) = open_tabs(server.url, locale="en")
    tab.excuse(FAILED_REQUEST)
    tab.page.add_init_script("delete Navigator.prototype.locks")
    tab.reload()
    assert tab.run("navigator.locks === undefined")
    tab.run(COUNT)
    server.kill()
    tab.live("reconnecting")
    tab.edit("10", text="On plain http")
    kept(tab, 1)
    back(server, tab)
    assert stored(server)["tasks"]["10"]["text"] == "On plain http"


def test_where_the_browser_keeps_nothing_the_page_works_and_says_so(server, open_tabs):
    (tab,) = open_tabs(server.url, locale="en")
    assert tab.run("new Promise((tell) => ganttLive.on('state', ({ kept }) => kept && tell(kept)))")
    tab.page.add_init_script("IDBFactory.prototype.open = () => { throw Error('private'); }")
    tab.reload()
    tab.edit("10", text="Saved all the same")
    tab.run("ganttLive.flush()")
    assert stored(server)["tasks"]["10"]["text"] == "Saved all the same"
    assert (
        tab.run("new Promise((tell) => ganttLive.on('state', ({ kept }) => tell(kept)))") is False
    )


def test_rows_of_which_the_server_has_got_some_are_there_once(server, tabs):
    tab, _ = tabs
    tab.excuse(FAILED_REQUEST)
    tab.run(COUNT)
    posts = []

    def lose(route):
        """The first is answered, the answer to the second is lost, the third does not arrive."""
        posts.append(route)
        if len(posts) == 1:
            return route.continue_()
        if len(posts) == 2:
            route.fetch()
        return dropped(route)

    tab.page.route("**/data/task", lose)
    below, beside = (NEW.replace("New", name) for name in ("Below", "Beside"))
    top = f"window.top_ = gantt.addTask({NEW.replace('New', 'Top')}, 7)"
    tab.run(f"({top}, gantt.addTask({below}, top_), gantt.addTask({beside}, top_), 0)")
    tab.until("document.getElementById('state-text').textContent.includes('2 edits waiting')")
    tab.page.goto("about:blank")
    tab.page.unroute("**/data/task")
    tab.page.goto(server.url, wait_until="commit")
    tab.ready()
    tab.run("ganttLive.flush()")
    plan = stored(server)["tasks"]
    named = {name: [id for id in plan if plan[id]["text"] == name] for name in ("Top", "Below")}
    named["Beside"] = [id for id in plan if plan[id]["text"] == "Beside"]
    assert [len(ids) for ids in named.values()] == [1, 1, 1]
    assert {plan[named[name][0]]["parent"] for name in ("Below", "Beside")} == set(named["Top"])


def test_another_tab_takes_over_what_a_closed_one_has_left(server, away, tabs):
    other = away.page.context.new_page()
    away.run(COUNT)
    away.edit("10", text="Left behind")
    kept(away, 1)
    server.start()
    away.page.goto("about:blank")
    other.goto(server.url, wait_until="commit")
    other.evaluate(LIVE)
    other.evaluate("ganttLive.flush()")
    other.close()
    assert stored(server)["tasks"]["10"]["text"] == "Left behind"


def processes(folder: Path) -> list[int]:
    """The processes of the browser with this profile."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--user-data-dir=%b" % bytes(folder) in arguments:
            found.append(int(path.parent.name))
    return found


def test_a_browser_that_is_killed_loses_nothing(server, browser, tmp_path):
    profile = tmp_path / "profile"

    def start():
        context = browser.browser_type.launch_persistent_context(
            profile, executable_path=chromium(), args=ARGUMENTS
        )
        context.add_init_script(path=PROBE)
        tab = Tab(context.pages[0], "page", server.url).ready()
        tab.excuse(FAILED_REQUEST)
        return tab

    tab = start()
    tab.run(COUNT)
    server.kill()
    tab.live("reconnecting")
    tab.edit("10", text="Typed before the end")
    tab.run(f"gantt.addTask({NEW}, 7)")
    kept(tab, 2)
    for pid in processes(profile):
        os.kill(pid, signal.SIGKILL)
    server.start()
    tab = start()
    tab.run("ganttLive.flush()")
    plan = stored(server)["tasks"]
    assert plan["10"]["text"] == "Typed before the end"
    assert [task["parent"] for task in plan.values() if task["text"] == "New"] == ["7"]
    tab.page.context.close()


# Whose it is.


@pytest.fixture
def eve(server, open_tabs):
    """Eve's tab, of a server that is away, with an edit that it has not got."""
    server.token = "admins"
    (tab,) = open_tabs(server.url, waits=False)
    tab.excuse(FAILED_REQUEST)
    sign_in(tab, "eves")
    tab.ready()
    tab.run(COUNT)
    server.kill()
    tab.live("reconnecting")
    tab.edit("10", text="Eve's")
    kept(tab, 1)
    return tab


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_somebody_else_sends_nothing_of_it(server, eve):
    eve.run("sessionStorage.clear()")
    eve.page.goto("about:blank")
    server.start()
    eve.page.goto(server.url, wait_until="commit")
    sign_in(eve, "adas")
    eve.ready()
    eve.run("ganttLive.flush()")
    assert stored(server)["tasks"]["10"]["text"] == "Foundation slab"
    eve.run("sessionStorage.clear()")
    eve.page.reload()
    sign_in(eve, "eves")
    eve.ready()
    eve.run("ganttLive.flush()")
    assert stored(server)["tasks"]["10"]["text"] == "Eve's"
    users = [change["user"] for change in server.get("/data/history?item=10")["history"]]
    assert users[0] == "eve"


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_signing_out_asks_and_discards(server, eve):
    eve.page.locator("#sign-out").click()
    assert "1 of your edits has not reached the server" in eve.page.locator("#unsaved").inner_text()
    eve.page.locator("#unsaved-stay").click()
    eve.until("!document.getElementById('unsaved').open")
    eve.page.locator("#sign-out").click()
    eve.page.locator("#unsaved-discard").click()
    # The page cannot be loaded anew, for the server is still away.
    eve.page.wait_for_url("chrome-error://**")
    server.start()
    eve.page.goto(server.url, wait_until="commit")
    sign_in(eve, "eves")
    eve.ready()
    eve.run("ganttLive.flush()")
    assert stored(server)["tasks"]["10"]["text"] == "Foundation slab"


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_signing_out_asks_and_sends(server, eve):
    eve.page.locator("#sign-out").click()
    eve.page.locator("#unsaved-send").click()
    assert "Waiting" in eve.page.locator("#unsaved-wait").inner_text()
    server.start()
    eve.page.locator("#sign-in").wait_for()
    assert stored(server)["tasks"]["10"]["text"] == "Eve's"


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_another_user_in_place_of_one_whose_token_ended_sends_nothing_of_theirs(server, eve):
    server.start(
        tokens=json.dumps([ADMIN, ADA]),
    )
    sign_in(eve, "adas")
    eve.until("ganttLive.user?.name === 'ada' && ganttLive.state === 'live'")
    eve.until("gantt.getTask(10).text === 'Foundation slab'")
    assert eve.run("ganttLive.pending()") == []
    assert stored(server)["tasks"]["10"]["text"] == "Foundation slab"
    kept(eve, 1)
