"""The module gantt-live on pages that are not the project's: its events, errors, undo and end."""

from __future__ import annotations

import json
import re

import pytest

from .conftest import ROOT
from .elsewhere import plain
from .tabs import FAILED_REQUEST, Tab, agree, stored

HOUSE = "/p/house"
EVE = {"token": "eves", "user": "eve", "name": "Eve Lee", "role": "editor"}
#: An empty page of the server with the client in it, and a second chart.
TWO_CHARTS = """<link rel="stylesheet" href="/dhtmlxgantt.css">
<script src="/vendor/dhtmlxgantt.js"></script>
<div id="one" style="height:300px"></div><div id="two" style="height:300px"></div>
<script type="module">
  import { connect } from "/gantt-live.js";
  window.connect = connect;
  gantt.config.date_format = "%Y-%m-%d %H:%i";
  gantt.init("one");
</script>"""


@pytest.fixture
def kind():
    return "plain"


@pytest.fixture
def settings(elsewhere):
    demo = {"token": "token", "user": "demo", "role": "admin"}
    return {"origins": [elsewhere.url], "tokens": [demo, EVE]}


@pytest.fixture
def tab(open_tabs, server):
    """One page, whose errors and what is left by an undo are kept in ``told``."""
    (tab,) = open_tabs(server.url)
    tab.run("(window.told = [], ganttLive.on('error', ({ message }) => told.push(message)))")
    tab.run("ganttLive.on('left', (left) => told.push(...left.map(({ message }) => message)))")
    return tab


def bare(tab: Tab, server) -> None:
    """Leave the page for one on which nothing is connected yet."""
    show(tab, server, TWO_CHARTS)
    tab.until("window.connect && gantt.$root")


def show(tab: Tab, server, page: str) -> None:
    server.post("/anything", page=page)
    tab.page.goto(f"{server.url}/anything")


def test_a_page_of_another_origin_loads_hears_and_saves(server, elsewhere, open_tabs):
    elsewhere.put("plain", plain(server.url))
    there, here = open_tabs(elsewhere.url, server.url)
    there.edit("10", text="From elsewhere")
    here.shows("10", "From elsewhere")
    here.edit("11", text="From here")
    there.shows("11", "From here")
    id = there.add("New")
    here.shows(id, "New")
    there.delete("12")
    here.lacks("12")
    there.excuse("409")
    there.link("11", "8")
    there.until("document.getElementById('message').textContent.includes('circle')")
    there.run("ganttLive.undo()")
    here.until("gantt.isTaskExists(12)")
    agree(server, there, here)


def test_two_charts_on_one_page(server, tab):
    server.post("/projects", name="house", title="The house", demo=True)
    bare(tab, server)
    tab.run("""(async () => {
      window.other = Gantt.getGanttInstance();
      other.config.date_format = "%Y-%m-%d %H:%i";
      other.init("two");
      window.lives = [await connect(gantt, { url: "/", token: "token" }),
                      await connect(other, { url: "/p/house", token: "token" })];
      await probe.until(() => lives.every(({ state }) => state === "live"));
    })()""")
    tab.edit("10", text="The first")
    tab.run("(other.getTask(10).text = 'The second', other.updateTask(10))")
    tab.run("Promise.all(lives.map((live) => live.flush()))")
    texts = [
        next(task["text"] for task in server.get(f"{path}/data")["tasks"] if task["id"] == 10)
        for path in ("", HOUSE)
    ]
    assert texts == ["The first", "The second"]
    server.put(f"{HOUSE}/data/task/11", text="Only there")
    tab.until("other.getTask(11).text === 'Only there'")
    assert tab.run("gantt.getTask(11).text") != "Only there"
    tab.run("lives[0].close()")
    server.put(f"{HOUSE}/data/task/11", text="Still")
    tab.until("other.getTask(11).text === 'Still'")


#: Counts what a page holds that goes on by itself: listeners, timers, sockets, handlers.
COUNTING = """(() => {
  const held = (window.held = { listeners: 0, timers: new Set(), sockets: 0 });
  const { addEventListener: listen, removeEventListener: ignore } = window;
  window.addEventListener = (event, handler, options) => {
    held.listeners++;
    options?.signal?.addEventListener("abort", () => held.listeners--);
    listen.call(window, event, handler, options);
  };
  const { setTimeout: start, clearTimeout: end } = window;
  window.setTimeout = (work, ...rest) => {
    // The chart and the test have their own.
    if (!Error().stack.includes("gantt-live.js")) return start(work, ...rest);
    const id = start(() => (held.timers.delete(id), work()), ...rest);
    held.timers.add(id);
    return id;
  };
  window.clearTimeout = (id) => (held.timers.delete(id), end(id));
  const Socket = WebSocket;
  window.WebSocket = class extends Socket {
    constructor(url) {
      super(url);
      held.sockets++;
      this.addEventListener("close", () => held.sockets--);
    }
  };
  held.handlers = () => Object.keys(gantt._events ?? {}).length;
  window.globals = Object.keys(window).sort().join();
})()"""


def test_close_leaves_nothing_behind(server, tab):
    bare(tab, server)
    events = ("onRowDragStart", "onRowDragEnd", "onAfterTaskDrag", "onAfterTaskDelete")
    handled = f"{json.dumps(events)}.map((name) => gantt.checkEvent(name))"
    before = tab.run(handled)
    tab.run(COUNTING)
    tab.run("connect(gantt, { url: '/', token: 'token' }).then((live) => { window.live = live; })")
    tab.until("live.state === 'live' && held.sockets === 1 && held.listeners > 0")
    tab.edit("10", text="Saved")
    tab.run("live.flush()")
    tab.run("live.close()")
    assert tab.run("live.state") == "closed" and tab.run("gantt._dp === undefined")
    assert tab.run(handled) == before
    tab.until("held.sockets === 0 && held.listeners === 0 && held.timers.size === 0")
    tab.run("""(async () => {
      const held = async () => (await navigator.locks.query()).held.length;
      while (await held()) await new Promise((done) => setTimeout(done, 20));
    })()""")
    tab.edit("10", text="Never")
    tab.run("gantt.addTask({ text: 'Never', start_date: new Date(), duration: 1 })")
    tab.run("connect(gantt, { url: '/', token: 'token' }).then((live) => { window.live = live; })")
    tab.until("live.state === 'live' && gantt.getTask(10).text === 'Saved'")
    assert stored(server)["tasks"]["10"]["text"] == "Saved"
    assert "Never" not in json.dumps(server.get())


def test_it_makes_no_globals(server, tab):
    bare(tab, server)
    tab.run("(window.live = 0, window.before = 0, before = Object.keys(window).sort().join())")
    tab.run("connect(gantt, { url: '/', token: 'token' }).then((it) => { live = it; })")
    tab.until("live.state === 'live'")
    assert tab.run("Object.keys(window).sort().join() === before")


def test_a_chart_is_connected_once(tab):
    again = "connect(gantt).then(() => '', ({ message }) => message)"
    refused = tab.run(f"import('/gantt-live.js').then(({{ connect }}) => {again})")
    assert "dataProcessor" in refused


@pytest.mark.parametrize(
    "options, status", [("token: 'wrong'", 403), ("url: '/p/nowhere', token: 'token'", 404)]
)
def test_a_plan_that_is_refused_is_an_error(server, tab, options, status):
    tab.excuse(FAILED_REQUEST)
    bare(tab, server)
    error = tab.run(
        f"connect(gantt, {{ url: '/', {options} }}).then(() => null, ({{ message, status }}) => "
        "({ message, status, free: gantt._dp === undefined }))"
    )
    assert error["status"] == status and error["free"]
    assert error["message"].startswith("The plan could not be loaded. ")


def test_who_gives_the_token_is_asked_again_when_it_is_refused(server, tab):
    tab.excuse(FAILED_REQUEST)
    bare(tab, server)
    asked = tab.run("""(async () => {
      const asked = [];
      const token = async (refusal) => {
        asked.push(refusal?.status ?? null);
        return refusal ? "token" : "wrong";
      };
      window.live = await connect(gantt, { url: "/", token });
      return asked;
    })()""")
    assert asked == [None, 403]
    tab.until("live.state === 'live' && live.user.name === 'demo'")


def test_a_signal_ends_it_before_the_plan_is_there(server, tab):
    bare(tab, server)
    name = tab.run("""(async () => {
      const giveUp = new AbortController();
      const connected = connect(gantt, { url: "/", token: "token", signal: giveUp.signal });
      giveUp.abort();
      return connected.then(() => "", ({ name }) => name);
    })()""")
    assert name == "AbortError" and tab.run("gantt._dp === undefined")


def test_a_handler_that_fails_harms_no_other(server, tab):
    tab.excuse("my mistake")
    tab.run("ganttLive.on('news', () => { throw Error('my mistake'); })")
    tab.run("(window.heard = [], ganttLive.on('news', (value) => heard.push(value)))")
    tab.run("ganttLive.call('no.method').catch(() => {})")  # answered behind the subscription
    server.post("/publish/news", number=7)
    tab.until("heard.length")
    assert tab.run("heard") == [{"number": 7}]
    tab.edit("10", text="All is well")
    tab.run("ganttLive.flush()")
    assert stored(server)["tasks"]["10"]["text"] == "All is well"


def test_a_remote_call_says_what_failed(tab):
    assert "no such method" in tab.run(
        "ganttLive.call('no.method').catch(({ message }) => message)"
    )


def test_presence_is_passed_on(server, open_tabs, tab):
    tab.run("(window.seen = [], ganttLive.on('presence', (value) => seen.push(value)))")
    open_tabs(server.url)
    # Two tabs of one person.
    tab.until(
        "seen.some(({ type, count, people }) => type === 'presence' && count === 1 && people)"
    )


def test_the_servers_words_in_the_pages_language(server, tab):
    tab.excuse("409")
    bare(tab, server)
    tab.run("""(async () => {
      const errors = { "This link would close a circle: *": "Ein Kreis ({1})", forbidden: "Nein" };
      const on = { error: ({ message }) => (window.said = message) };
      const options = { url: "/", token: "token", language: "de", texts: { errors }, on };
      window.live = await connect(gantt, options);
      await probe.until(() => live.state === "live");
    })()""")
    assert tab.run("gantt.locale.labels.new_task") == "Neue Aufgabe"
    assert "Mai" in tab.run("gantt.locale.date.month_full")
    tab.link("12", "8")
    tab.until("window.said")
    assert tab.run("said").startswith("Ein Kreis (the task where it begins")


def test_the_clients_own_form_shows_and_takes_letters(server, tab):
    server.put("/data/task/10", text="a &lt; b")
    tab.shows("10", "a &lt; b")
    tab.run("gantt.showLightbox(10)")
    field = tab.page.locator(".gantt_cal_light textarea")
    assert field.input_value() == "a < b"
    field.fill("<img src=x onerror=alert(1)> & co")
    tab.page.locator(".gantt_save_btn_set").click()
    tab.run("ganttLive.flush()")
    assert tab.page.locator(".gantt_row img").count() == 0
    tab.shows("10", "&lt;img src=x onerror=alert(1)> & co")


def test_the_history_has_times_and_letters(server, tab):
    tab.edit("10", text="a &lt; b")
    tab.run("ganttLive.flush()")
    change = tab.run(
        "ganttLive.history({ item: 10, limit: 1 }).then(([{ at, ...rest }]) => "
        "({ ...rest, isDate: at instanceof Date && Math.abs(Date.now() - at) < 60000 }))"
    )
    assert change["fields"]["text"][1] == "a < b" and change["isDate"]


# Undo and redo.


def texts(server, *ids):
    tasks = stored(server)["tasks"]
    return [tasks[id]["text"] for id in ids]


def test_own_edits_are_taken_back_and_done_again(server, tab):
    before = stored(server)
    tab.edit("10", text="First")
    tab.run("ganttLive.flush()")
    tab.delete("7")
    tab.run("ganttLive.flush()")
    assert tab.run("ganttLive.undo().then(({ done }) => done)") is True
    assert tab.run("ganttLive.undo().then(({ done }) => done)") is True
    agree(server, tab)
    assert stored(server) == before
    assert tab.run("ganttLive.undo().then(({ done }) => done)") is False
    tab.run("ganttLive.redo()")
    assert texts(server, "10") == ["First"]
    tab.run("ganttLive.redo()")
    assert "7" not in stored(server)["tasks"]
    agree(server, tab)


def test_what_was_done_in_one_go_is_taken_back_in_one_go(server, tab):
    before = texts(server, "10", "11")
    tab.run(
        "gantt.batchUpdate(() => { probe.edit(10, { text: 'a' }); probe.edit(11, { text: 'b' }); })"
    )
    tab.run("ganttLive.flush()")
    tab.edit("12", text="c")
    tab.run("ganttLive.flush()")
    tab.run("ganttLive.undo()")
    assert texts(server, "10", "11") == ["a", "b"]
    tab.run("ganttLive.undo()")
    assert texts(server, "10", "11") == before
    tab.run("ganttLive.redo()")
    assert texts(server, "10", "11") == ["a", "b"]


def test_an_undo_waits_for_the_edit_that_it_takes_back(server, tab):
    before = texts(server, "10")
    tab.run("(probe.edit(10, { text: 'Just now' }), ganttLive.undo())")
    assert texts(server, "10") == before


def test_a_new_edit_ends_what_could_be_done_again(server, tab):
    tab.edit("10", text="First")
    tab.run("ganttLive.undo()")
    tab.edit("10", text="Second")
    tab.run("ganttLive.flush()")
    assert tab.run("ganttLive.redo().then(({ done }) => done)") is False
    assert texts(server, "10") == ["Second"]


def test_what_others_have_changed_since_is_left_and_told(server, tab):
    tab.excuse("409")
    tab.run(
        "gantt.batchUpdate(() => { probe.edit(10, { text: 'a' }); probe.edit(11, { text: 'b' }); })"
    )
    tab.run("ganttLive.flush()")
    server.token = "eves"
    server.put("/data/task/10", text="Theirs")
    undone = tab.run("ganttLive.undo()")
    assert undone["done"] is True
    assert [left["message"] for left in undone["left"]] == tab.run("told")
    assert tab.run("told") == ["eve has changed this since: text."]
    assert texts(server, "10", "11") == ["Theirs", "Walls and ceilings"]


def test_an_undo_whose_answer_is_lost_is_done_once(server, tab):
    tab.excuse(FAILED_REQUEST)
    tab.edit("10", text="Mine")
    tab.run("ganttLive.flush()")
    lost = []

    def lose(route):
        route.fetch()
        lost.append(route)
        server.put("/data/task/10", text="Mine")
        route.abort()

    tab.page.route("**/data/undo/*", lose, times=1)
    assert tab.run("ganttLive.undo().then(({ done }) => done)") is True
    assert lost and texts(server, "10") == ["Mine"]


# docs/client.md.


def snippets() -> list[str]:
    page = (ROOT / "docs/client.md").read_text("utf-8")
    return re.findall(r"^```html\n(.*?)^```", page, re.S | re.M)


def test_the_snippets_of_the_documentation_do_what_they_say(server, tab):
    tab.excuse("409")
    server.post("/projects", name="house", title="The house", demo=True)
    whole, german = snippets()
    alone = whole.partition('<script type="module">')[0]
    init = '<script>gantt.config.date_format = "%Y-%m-%d %H:%i"; gantt.init("chart");</script>'
    for page, path in ((whole, HOUSE), (alone + init + german, "")):
        page = page.replace("const live =", "const live = window.live =")
        show(tab, server, page)
        tab.until("window.live?.state === 'live'")
        server.put(f"{path}/data/task/10", text=f"In {path}")
        tab.until("gantt.getTask(10).text === it", f"In {path}")
    said = tab.run(
        "new Promise((resolve) => { live.on('error', ({ message }) => resolve(message)); "
        "gantt.addLink({ source: 10, target: 10, type: '0' }); })"
    )
    assert said == "Ein Vorgang kann nicht von sich selbst abhängen."
