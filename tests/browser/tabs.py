"""A tab of the browser, and whether what it shows is what the server has."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Browser, ConsoleMessage, Error, Page, Request, WebSocket

from .server import Server

PROBE: Final = Path(__file__).with_name("probe.js")
#: Seconds after which what was waited for counts as missing.
PATIENCE: Final = 20.0

#: Where each kind of page is served: the project's, the README's snippet, and the example
#: without a build step, which may lie on another host too.
PATHS: Final = {
    **{"page": "/", "snippet": "/snippet", "since": "/since", "stock": "/stock"},
    "plain": "/plain",
    "further": "/further",
    # Those with the Scheduler in them, see scheduler.py.
    **{name: f"/{name}" for name in ("scheduler", "calendar", "no-series", "judge", "team")},
}
#: When each listens. The project's page asks for what it missed, the bare snippet cannot.
LISTENS: Final = {
    "page": "probe.until(() => window.ganttLive?.state === 'live')",
    "plain": "probe.until(() => window.ganttLive?.state === 'live')",
    "snippet": "probe.listens()",
    "since": "probe.until(() => remoteEvents).then(probe.listens)",
    "stock": "probe.until(() => remoteEvents).then(probe.listens)",
    "further": "probe.until(() => remoteEvents).then(probe.listens)",
    "scheduler": "probe.listens()",
    "no-series": "probe.listens()",
    "calendar": "probe.until(() => remoteEvents).then(probe.listens)",
    "team": "probe.until(() => remoteEvents).then(probe.listens)",
    "judge": "probe.until(() => window.loaded)",
}
#: What is compared of a task, beside its parent.
FIELDS: Final = ("text", "type", "start_date", "end_date", "duration", "progress")
NO_DATES: Final = dict.fromkeys(("start_date", "end_date", "duration"))
#: What Chromium itself says of a request that failed.
FAILED_REQUEST: Final = r"Failed to load resource|WebSocket connection to .* failed"


def open_window(browser: Browser, **options: Any) -> Page:
    """A window with a context of its own, as on a computer of its own.

    Two tabs of one context would share a window, and the one behind is not drawn.
    """
    context = browser.new_context(**options)
    context.set_default_timeout(PATIENCE * 1000)
    context.add_init_script(path=PROBE)
    return context.new_page()


class Tab:
    """A page of the given kind in a window, until it is left."""

    def __init__(self, window: Page, kind: str, url: str, name: str = "the tab") -> None:
        self.page = window
        self.kind = kind
        self.name = name
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.sockets: list[list[str]] = []  # the frames received, socket by socket
        self._excused: list[str] = []
        self._listeners: dict[str, Callable[[Any], None]] = {
            "console": self._on_console,
            "pageerror": self._on_pageerror,
            "request": self._on_request,
            "websocket": self._on_socket,
        }
        for event, listener in self._listeners.items():
            self.page.on(event, listener)  # type: ignore[call-overload]
        self.page.goto(url + PATHS[kind], wait_until="commit")

    def ready(self) -> Tab:
        """Wait until it has loaded and listens."""
        self.page.wait_for_load_state()
        self.run(LISTENS[self.kind])
        return self

    def leave(self) -> None:
        """Close the page and its sockets, and keep the window."""
        self.page.goto("about:blank")
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)

    def reload(self) -> None:
        self.page.reload()
        self.ready()

    def run(self, script: str, argument: Any = None) -> Any:
        """What a script says in the page; a promise is awaited."""
        # A page that never comes to rest would hang the test: evaluate() has no limit of its own.
        self.page.wait_for_function("true", polling=100)
        # And a promise that is never kept would.
        limit = (
            "new Promise((_, fail) => setTimeout("
            f"() => fail(Error('not within {PATIENCE:g} s')), {PATIENCE * 1000:g}))"
        )
        return self.page.evaluate(f"(it) => Promise.race([{script}, {limit}])", argument)

    def until(self, condition: str, argument: Any = None) -> None:
        """Wait until a condition holds in the page."""
        try:
            self.run(f"probe.until(() => {condition})", argument)
        except Exception as error:
            raise AssertionError(f"waited in vain for {condition} ({argument}): {error}") from None

    # What people do.

    def edit(self, id: str, **fields: Any) -> None:
        self.run("probe.edit(it.id, it.fields)", {"id": id, "fields": fields})

    def add(self, text: str, parent: str = "0") -> str:
        """Add a row, wait until it is stored, return its id."""
        day = "2026-11-23 00:00"
        fields = {"text": text, "start_date": day, "duration": 3}
        self.run("gantt.addTask(it.fields, it.parent)", {"fields": fields, "parent": parent})
        self.until("!probe.busy() && gantt.getTaskBy('text', it).length", text)
        return self.id(text)

    def delete(self, id: str) -> None:
        self.run("gantt.deleteTask(it)", id)

    def link(self, source: str, target: str) -> None:
        self.run("gantt.addLink({ source: it[0], target: it[1], type: '0' })", [source, target])

    def drag_row(self, id: str, above: str) -> None:
        """Drag a row with the mouse to the place above another of the same branch."""
        self.grab_row(id, above)
        self.page.mouse.up()

    def grab_row(self, id: str, above: str) -> None:
        """The same, and do not let go."""
        source = self.row(id).bounding_box()
        target = self.row(above).bounding_box()
        assert source and target
        x = source["x"] + 90
        mouse = self.page.mouse
        mouse.move(x, source["y"] + source["height"] / 2)
        mouse.down()
        mouse.move(x, source["y"] + source["height"] / 2 + 8, steps=2)
        mouse.move(x, target["y"] + 6, steps=6)
        mouse.move(x, target["y"] + 4, steps=2)

    # What they see.

    def row(self, id: str) -> Any:
        return self.page.locator(f'.gantt_row[data-task-id="{id}"]')

    def bar(self, id: str) -> Any:
        return self.page.locator(f'.gantt_task_line[data-task-id="{id}"]')

    def id(self, text: str) -> str:
        return str(self.run("probe.id(it)", text))

    def ids(self, *texts: str) -> Iterator[str]:
        return map(self.id, texts)

    def branch(self, parent: str = "0") -> list[str]:
        return [str(id) for id in self.run("gantt.getChildren(it)", parent)]

    def plan(self) -> dict[str, Any]:
        plan: dict[str, Any] = self.run("probe.plan()")
        return plan

    def shows(self, id: str, text: str) -> None:
        """Wait until a row shows a text."""
        self.until("gantt.isTaskExists(it[0]) && gantt.getTask(it[0]).text === it[1]", [id, text])

    def lacks(self, id: str) -> None:
        """Wait until a row is gone."""
        self.until("!gantt.isTaskExists(it)", id)

    def live(self, state: str = "live") -> None:
        """Wait until the state line of the project's page says so."""
        self.until("ganttLive.state === it", state)

    # Behaving.

    def excuse(self, pattern: str) -> None:
        """Expect such an error in the console."""
        self._excused.append(pattern)

    def faults(self) -> list[str]:
        """What no page should do: errors in the console, requests to other hosts."""
        errors = [e for e in self.errors if not any(re.search(p, e) for p in self._excused)]
        return errors + [f"a request to {host}" for host in sorted(self.hosts - {"127.0.0.1"})]

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def _on_pageerror(self, error: Error) -> None:
        self.errors.append(str(error))

    def _on_request(self, request: Request) -> None:
        if (host := urlsplit(request.url).hostname) is not None:
            self.hosts.add(host)

    def _on_socket(self, socket: WebSocket) -> None:
        frames: list[str] = []
        self.sockets.append(frames)
        self.hosts.add(urlsplit(socket.url).hostname or "")
        socket.on("framereceived", lambda frame: frames.append(str(frame)))


def stored(server: Server) -> dict[str, Any]:
    """The plan as the server has it, in the form of :meth:`Tab.plan`."""
    data = server.get()
    tasks: dict[str, Any] = {}
    order: dict[str, list[str]] = {}
    for task in data["tasks"]:
        id, parent = str(task["id"]), str(task["parent"])
        tasks[id] = {field: task[field] for field in FIELDS} | {"parent": parent}
        order.setdefault(parent, []).append(id)
    for task in data["tasks"]:
        if task["type"] == "project":
            _span(str(task["id"]), tasks, order)
    links = {
        str(link["id"]): [str(link[field]) for field in ("source", "target", "type")]
        for link in data["links"]
    }
    return {"tasks": tasks, "order": order, "links": links}


def _span(id: str, tasks: dict[str, Any], order: dict[str, list[str]]) -> None:
    """Make a phase as long as what it holds, as the client does without telling the server."""
    spans = list(_spans(id, tasks, order))
    if spans:
        start, end = min(span[0] for span in spans), max(span[1] for span in spans)
        days = (datetime.fromisoformat(end) - datetime.fromisoformat(start)).days
        tasks[id] |= {"start_date": start, "end_date": end, "duration": days}


def _spans(
    id: str, tasks: dict[str, Any], order: dict[str, list[str]]
) -> Iterator[tuple[str, str]]:
    """The dates of all that a row holds, however deep; a phase counts only where it is empty."""
    for child in order.get(id, ()):
        if tasks[child]["type"] != "project" or child not in order:
            yield tasks[child]["start_date"], tasks[child]["end_date"]
        yield from _spans(child, tasks, order)


def differences(
    tab: Tab, plan: dict[str, Any], order: bool = True, phases: bool = True
) -> list[str]:
    """Where a tab shows something else than the plan."""
    shown = tab.plan()
    found = []
    for part in ("tasks", "links", *(["order"] if order else [])):
        for id in sorted(shown[part].keys() | plan[part].keys()):
            here, there = shown[part].get(id), plan[part].get(id)
            if part == "tasks" and here and there and _is_drawn_anywhere(id, plan, phases):
                here, there = ({**each, **NO_DATES} for each in (here, there))
            if here != there:
                found.append(f"{part} {id}: {tab.name} has {here}, the server {there}")
    return found


def _is_drawn_anywhere(id: str, plan: dict[str, Any], phases: bool) -> bool:
    # Where its children are gone, each client draws a phase where it likes.
    return plan["tasks"][id]["type"] == "project" and (id not in plan["order"] or not phases)


def agree(server: Server, *tabs: Tab, order: bool = True, phases: bool = True) -> None:
    """Wait until every tab has nothing more to send and shows what the server has.

    The stock client cannot reorder rows from a distance; ``order=False`` leaves that out, and
    ``phases=False`` the dates of phases, which are drawn and never sent.
    """
    end = time.monotonic() + PATIENCE
    while True:
        busy = [tab for tab in tabs if tab.run("probe.busy()")]
        plan = stored(server)
        found = [difference for tab in tabs for difference in differences(tab, plan, order, phases)]
        if not busy and not found:
            return
        if time.monotonic() > end:
            still = [f"{len(busy)} tabs have not sent all"] if busy else []
            raise AssertionError("the tabs differ from the server:\n" + "\n".join(still + found))
        tabs[0].page.wait_for_timeout(50)
