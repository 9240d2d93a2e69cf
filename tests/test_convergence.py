"""After any interleaving, all who stay connected end equal to the store.

The real store, journal, plan, hub and resending, driven by models of the stock client with
its sharp edges (docs/protocol.md), on a clock that the test turns. Latency,
drops, reconnects and restarts come from hypothesis.
"""

import asyncio
import contextlib
import itertools
import json
import random
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from gantt_tornado import Backend, Config, GanttError
from gantt_tornado.errors import Conflict, NotFound
from gantt_tornado.model.change import Author
from gantt_tornado.model.marks import Position
from tests.support import Loop


class Socket:
    """One connection of a page; what is under way when it breaks is lost."""

    def __init__(self, page: "Page", since: int) -> None:
        self.page = page
        self.since = since
        self.broken = False
        self.carried: deque[list[bytes]] = deque()

    @property
    def tab(self) -> str:
        return self.page.device

    @property
    def user_name(self) -> str:
        return "demo"

    @property
    def reloads(self) -> bool:
        return False

    def known(self, channel: str) -> int:
        return self.since

    def ask(self, seq: int) -> None: ...

    def close(self, code: int | None = None, reason: str | None = None) -> None: ...

    def send(self, frames: bytes) -> None:
        arrives = max(self.page.loop.time() + self.page.latency(), self.page.last_arrival)
        self.page.last_arrival = arrives
        # Timers that are due at the same time have no order; what a line carries has.
        self.carried.append(payloads(frames))
        self.page.loop.call_at(arrives, self._arrive)

    def replay(self, slices: Iterator[bytes]) -> None:
        for frames in slices:
            self.send(frames)

    def _arrive(self) -> None:
        for text in self.carried.popleft():
            if not self.broken:
                self.page.hear(json.loads(text)["body"]["value"])


def payloads(frames: bytes) -> list[bytes]:
    found = []
    while frames:
        size, start = frames[1], 2
        if size == 126:
            size, start = int.from_bytes(frames[2:4], "big"), 4
        elif size == 127:
            size, start = int.from_bytes(frames[2:10], "big"), 10
        found.append(frames[start : start + size])
        frames = frames[start + size :]
    return found


class Page:
    """The stock client: rows, links, dataProcessor and the live-update handlers.

    ``device`` is sent as ``Remote-Device``, empty for the bare documented snippet.
    """

    def __init__(self, world: "World", name: str, device: str) -> None:
        self.world, self.name, self.device = world, name, device
        self.loop = world.loop
        self.socket: Socket | None = None
        self.tasks: dict[int, dict[str, Any]] = {}
        self.links: dict[int, dict[str, Any]] = {}
        self.in_progress: dict[str, dict[int, str]] = {"task": {}, "link": {}}
        self.mode = "task"
        self.queue: list[dict[str, Any]] = []
        self.timer: asyncio.TimerHandle | None = None
        self.last_arrival = 0.0
        #: (id, field) → the values that its user typed on this page, the last one last.
        self.typed: dict[tuple[int, str], list[Any]] = {}
        self.listless: set[int] = set()

    def latency(self) -> float:
        return self.world.random.choice((0.001, 0.02, 0.06, 0.12, 0.4))

    async def load(self) -> None:
        loaded = self.world.backend.load()
        self.tasks = {task["id"]: task for task in loaded["tasks"]}
        self.links = {link["id"]: link for link in loaded["links"]}
        self.since = self.world.backend.default.plan.number(Position.read(loaded["seq"]))
        self.connect()

    def connect(self) -> None:
        if self.world.backend is None or (self.socket and not self.socket.broken):
            return
        self.socket = Socket(self, self.since)
        self.world.backend.default.hub.subscribe(self.socket, "tasks")
        self.world.backend.default.hub.subscribe(self.socket, "links")

    def drop(self) -> None:
        if self.socket and not self.socket.broken:
            self.socket.broken = True
            if self.world.backend is not None:
                self.world.backend.default.hub.leave(self.socket)
            self.loop.call_later(2, self.connect)

    def is_below(self, id: int, above: int) -> bool:
        seen: set[int] = set()
        while id in self.tasks and id not in seen and id != above:
            seen.add(id)
            id = self.tasks[id]["parent"]
        return id == above

    # The user's hands.

    def edit(self, id: int, **fields: Any) -> None:
        self.tasks[id].update(fields)
        for field, value in fields.items():
            self.typed.setdefault((id, field), []).append(value)
            self.world.writers.setdefault((id, field), set()).add(self.name)
        self._updated("task", id)

    def delete(self, entity: str, id: int) -> None:
        self.mode = entity
        if entity == "task":
            self._drop_task(id)
        else:
            del self.links[id]
        if id in self.in_progress[entity]:
            # It is sent afterwards, even if the row has come back meanwhile.
            self.in_progress[entity][id] = "doomed"
        else:
            self._request(entity, id, "delete")

    def add(self, fields: dict[str, Any], entity: str = "task") -> None:
        self.loop.create_task(self._add(entity, fields))

    async def _add(self, entity: str, fields: dict[str, Any]) -> None:
        request = f"{self.name}:{next(self.world.numbers)}"
        answer = await self._ask(
            lambda b: b.insert(entity, fields, author=self._author, request=request)
        )
        if answer is None:
            return
        item = {**fields, "id": answer.id}
        store = self.tasks if entity == "task" else self.links
        # The client has the row under its temporary id and renames it.
        store.setdefault(answer.id, item)

    def _updated(self, entity: str, id: int) -> None:
        self.mode = entity
        if id not in self.in_progress[entity]:
            self._request(entity, id, "update")
        elif self.in_progress[entity][id] == "sent":
            self.in_progress[entity][id] = "wait"

    def _request(self, entity: str, id: int, action: str) -> None:
        self.in_progress[entity][id] = "sent"
        row = (self.tasks if entity == "task" else self.links).get(id, {})
        sent = {key: "" if value is None else value for key, value in row.items() if key != "id"}
        self.loop.create_task(self._deliver(entity, id, action, sent))

    async def _deliver(self, entity: str, id: int, action: str, sent: dict[str, Any]) -> None:
        if action == "delete":
            await self._ask(lambda b: b.delete(entity, id, author=self._author))
        else:
            if not self.device and "_rev" not in sent:
                # A new row of its own: by the contract all fields of this PUT apply.
                self.world.spoiled.add(id)
            if not await self._ask(lambda b: b.update(entity, id, sent, author=self._author)):
                # Refused, with all that the request held; the user is told.
                self.world.spoiled.add(id)
        self.mode = entity
        state = self.in_progress[entity].pop(id)
        if state != "sent" and action != "delete":
            there = id in (self.tasks if entity == "task" else self.links)
            self._request(entity, id, "update" if there and state == "wait" else "delete")

    async def _ask(self, call: Any) -> Any:
        """A request, sent again until it is answered, as the project's page does."""
        while True:
            await asyncio.sleep(self.latency())
            try:
                answer = await self.world.ask(call)
            except (NotFound, Conflict):
                answer = None
            except (ConnectionError, GanttError):
                await asyncio.sleep(1)
                continue
            await asyncio.sleep(self.latency())
            return answer

    @property
    def _author(self) -> Author:
        return Author("demo", self.device)

    # The client's handlers.

    def hear(self, value: dict[str, Any]) -> None:
        task, link = value.get("task"), value.get("link")
        busy = self.in_progress[self.mode]
        if (task and task["id"] in busy) or (link and link["id"] in busy):
            return
        self.queue.append(value)
        if self.timer:
            self.timer.cancel()
        self.timer = self.loop.call_later(0.05, self._process)

    def _process(self) -> None:
        queue, self.queue = self.queue, []
        for value in queue:
            verb, entity = value["type"].split("-")
            getattr(self, f"_{verb}_{entity}")(value[entity])

    def _add_task(self, item: dict[str, Any]) -> None:
        self.tasks.setdefault(item["id"], item)

    def _update_task(self, item: dict[str, Any]) -> None:
        if item["id"] not in self.tasks:
            return
        if item["id"] in self.in_progress["task"]:
            # The client draws what came before the edit over it, and sends that with the
            # next one: no server can tell it from an edit.
            self.world.spoiled.add(item["id"])
        self.tasks[item["id"]].update(item)
        self.listless.add(item["id"])

    def _delete_task(self, item: dict[str, Any]) -> None:
        if item["id"] in self.tasks:
            self._drop_task(item["id"])

    def _move_task(self, item: dict[str, Any]) -> None:
        """The place is in the item's sortorder already."""

    def _add_link(self, item: dict[str, Any]) -> None:
        self.links.setdefault(item["id"], item)

    def _update_link(self, item: dict[str, Any]) -> None:
        if item["id"] in self.links:
            self.links[item["id"]].update(item)

    def _delete_link(self, item: dict[str, Any]) -> None:
        self.links.pop(item["id"], None)

    def _drop_task(self, id: int) -> None:
        del self.tasks[id]
        if id in self.in_progress["task"]:
            # With an edit that is not sent yet, and which is lost if the row comes back.
            self.world.spoiled.add(id)
        for child in [task["id"] for task in self.tasks.values() if task["parent"] == id]:
            # Two rows that two users put below each other hang together in a circle here.
            if child in self.tasks:
                self._drop_task(child)
        if id not in self.listless:
            for link in list(self.links.values()):
                if id in (link["source"], link["target"]):
                    del self.links[link["id"]]


class World:
    """A server, its pages, and the clock."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.loop = Loop()
        # What a power cut would lose is not this test's affair, and syncs would be most of it.
        memory = Path("/dev/shm")
        self.directory = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        database = f"sqlite:///{Path(self.directory.name) / 'plan.db'}"
        self.config = Config(database=database)
        self.backend: Backend | None = None
        self.pages: list[Page] = []
        self.asking = 0
        self.numbers = itertools.count()
        #: (id, field) → the pages on which somebody typed it.
        self.writers: dict[tuple[int, str], set[str]] = {}
        #: Items whose unsent edit the client itself has overwritten, or that were undone.
        self.spoiled: set[int] = set()

    async def ask(self, call: Any) -> Any:
        """What the server answers; no answer where it went away meanwhile."""
        backend = self.backend
        if backend is None:
            raise ConnectionError
        self.asking += 1
        try:
            answer = await call(backend)
        finally:
            self.asking -= 1
        if self.backend is not backend:
            raise ConnectionError
        return answer

    def start(self) -> None:
        backend = Backend(self.config)
        self.loop.clock.busy = lambda: True
        self.loop.run_until_complete(backend.start())
        self.backend = backend
        # What is in the writer's hands takes no time on the test's clock.
        self.loop.clock.busy = lambda: self.asking > 0

    def restart(self) -> None:
        """What a crash leaves: the file. Sockets break, requests under way are refused."""
        backend, self.backend = self.backend, None
        for page in self.pages:
            page.drop()
        self.loop.clock.busy = lambda: True
        self.loop.run_until_complete(backend.close())
        self.start()

    def run(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    def close(self) -> None:
        self.loop.clock.busy = lambda: True
        self.loop.run_until_complete(self.backend.close())
        self.loop.close()
        self.directory.cleanup()


class Convergence(RuleBasedStateMachine):
    """Hypothesis invents what people, lines and servers do."""

    devices = True

    @initialize(seed=st.integers(0, 2**32))
    def open(self, seed: int) -> None:
        self.world = World(seed)
        self.world.start()
        dates = {"start_date": "2026-11-02", "duration": 3}
        ids = [self.inserted("task", text=f"t{n}", parent=0, **dates) for n in range(4)]
        self.inserted("task", text="child", parent=ids[0], **dates)
        self.inserted("link", source=ids[0], target=ids[1])
        self.inserted("link", source=ids[1], target=ids[2])
        for name in "ABC":
            page = Page(self.world, name, f"device-{name}" if self.devices else "")
            self.world.loop.run_until_complete(page.load())
            self.world.pages.append(page)

    def inserted(self, entity: str, **fields: Any) -> int:
        ask = self.world.ask(lambda backend: backend.insert(entity, fields))
        return self.world.loop.run_until_complete(ask).id

    def page(self, number: int) -> Page:
        return self.world.pages[number]

    def task(self, page: Page, number: int) -> int | None:
        ids = sorted(page.tasks)
        return ids[number % len(ids)] if ids else None

    pages = st.integers(0, 2)
    numbers = st.integers(0, 20)

    @rule(seconds=st.sampled_from((0.0, 0.003, 0.03, 0.08, 0.3, 1.1, 3.0)))
    def pass_time(self, seconds: float) -> None:
        self.world.run(seconds)

    @rule(
        page=pages,
        number=numbers,
        field=st.sampled_from(("text", "progress", "note")),
        value=st.integers(0, 9),
    )
    def edit(self, page: int, number: int, field: str, value: int) -> None:
        page = self.page(page)
        id = self.task(page, number)
        if id:
            typed = value / 10 if field == "progress" else f"{page.name}{value}"
            page.edit(id, **{field: typed})

    @rule(page=pages, number=numbers, days=st.integers(1, 9))
    def resize(self, page: int, number: int, days: int) -> None:
        page = self.page(page)
        id = self.task(page, number)
        if id:
            end = f"{page.tasks[id]['start_date'][:8]}{days + 10:02d} 00:00"
            page.edit(id, end_date=end, duration=days + 8)

    @rule(page=pages, number=numbers, other=numbers, below=st.booleans())
    def drag_row(self, page: int, number: int, other: int, below: bool) -> None:
        page = self.page(page)
        id, beside = self.task(page, number), self.task(page, other)
        if id and beside and not page.is_below(beside, id):
            target = f"next:{beside}" if below else str(beside)
            page.edit(id, parent=page.tasks[beside]["parent"], target=target)

    @rule(page=pages, parent=numbers)
    def add(self, page: int, parent: int) -> None:
        page = self.page(page)
        dates = {"start_date": "2026-11-09 00:00", "end_date": "2026-11-10 00:00", "duration": 1}
        fields = {"text": "new", "type": "task", "progress": 0, **dates}
        page.add({**fields, "parent": self.task(page, parent) or 0})

    @rule(page=pages, source=numbers, end=numbers)
    def link(self, page: int, source: int, end: int) -> None:
        page = self.page(page)
        ends = {"source": self.task(page, source) or 0, "target": self.task(page, end) or 0}
        page.add({**ends, "type": "0"}, "link")

    @rule(page=pages, number=numbers)
    def delete_task(self, page: int, number: int) -> None:
        page = self.page(page)
        id = self.task(page, number)
        if id and len(page.tasks) > 2:
            page.delete("task", id)

    @rule(page=pages, number=numbers)
    def delete_link(self, page: int, number: int) -> None:
        page = self.page(page)
        ids = sorted(page.links)
        if ids:
            page.delete("link", ids[number % len(ids)])

    @rule(back=st.integers(0, 6))
    def undo(self, back: int) -> None:
        async def undo(backend: Backend) -> None:
            for change in (await backend.undo(max(1, backend.default.plan.seq - back))).changes:
                self.world.spoiled.add(change.id)

        with contextlib.suppress(Conflict, NotFound):
            self.world.loop.run_until_complete(self.world.ask(undo))

    @rule(page=pages)
    def drop_socket(self, page: int) -> None:
        self.page(page).drop()

    @rule()
    def restart(self) -> None:
        self.world.restart()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.world.run(20)
            self.check()
        finally:
            self.world.close()

    def check(self) -> None:
        loaded = self.world.backend.load()
        stored = {
            "tasks": {task["id"]: task for task in loaded["tasks"]},
            "links": {link["id"]: link for link in loaded["links"]},
        }
        for page in self.world.pages:
            assert told(page.tasks) == told(stored["tasks"]), f"tasks of page {page.name}"
            assert told(page.links) == told(stored["links"]), f"links of page {page.name}"
            for (id, field), values in page.typed.items():
                alone = len(self.world.writers[id, field]) == 1
                kept = id in stored["tasks"] and id not in self.world.spoiled
                # Who puts a field back to what it was, before the echo of the change came,
                # sends what anybody else sends who never touched it.
                known = values[-1:] if self.devices else values
                if alone and kept and field in ("text", "progress", "note"):
                    assert stored["tasks"][id].get(field) in known, f"{field} of {id} was lost"


def shown(item: dict[str, Any]) -> dict[str, Any]:
    """What a user sees of an item; the rest are notes of client and server."""
    hidden = {"_rev", "_mark"} if "source" in item else {"_rev", "_mark", "target", "sortorder"}
    return {
        key: value for key, value in item.items() if key not in hidden and value not in (None, "")
    }


def told(items: dict[int, dict[str, Any]]) -> dict[int, dict[str, Any]]:
    return {id: shown(item) for id, item in items.items()}


class ConvergenceOfBareSnippets(Convergence):
    """The same for pages that send no ``Remote-Device``."""

    devices = False


RUNS = settings(
    max_examples=30,
    stateful_step_count=40,
    suppress_health_check=list(HealthCheck),
)
TestConvergence = Convergence.TestCase
TestConvergence.settings = RUNS
TestConvergenceOfBareSnippets = ConvergenceOfBareSnippets.TestCase
TestConvergenceOfBareSnippets.settings = RUNS
