"""Stock tabs and pages of the project's own, on lines that reorder, under random hands."""

from __future__ import annotations

import contextlib
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, Route

from .elsewhere import Elsewhere, plain
from .line import Line, random_lines
from .server import WITH_SNIPPET, Server
from .tabs import FAILED_REQUEST, Tab, agree, open_window

FOLDER: Final = Path(__file__).parent
#: Seconds that the users work, unless said otherwise.
WORK: Final = 14.0
#: Milliseconds between two acts of one user; four do some 240 in all.
PAUSE: Final = 230
#: Who works: the stock client alone but for the demo page, or beside pages with gantt-live, of
#: which one lies on another origin.
STOCK: Final = ("stock", "stock", "stock", "page")
LIVE: Final = ("stock", "stock", "page", "plain", "elsewhere")


class Fuzz:
    """One run of a seed. ``cut`` has lines cut meanwhile.

    A stock tab does not send again what it could not send, so of its lines only the sockets
    are cut; of the others', all.
    """

    def __init__(
        self,
        browser: Browser,
        folder: Path,
        seed: int,
        *,
        cut: bool,
        client: Path | None = None,
        seconds: float = WORK,
        kinds: Sequence[str] = STOCK,
    ) -> None:
        self._browser = browser
        self._folder = folder
        self._random = random.Random(seed)
        self._seed = seed
        self._cut = cut
        self._client = client
        self._seconds = seconds
        self._kinds = kinds
        self.operations = 0

    def run(self) -> None:
        """Raise an AssertionError where a tab differs or is dead in the end; what each tab saw
        is then in the folder."""
        pages = self._folder / "elsewhere"
        pages.mkdir()
        elsewhere = Elsewhere(pages)
        server = Server(WITH_SNIPPET, self._folder, origins=[elsewhere.url])
        try:
            laid = random_lines(server.port, len(self._kinds), self._random, self._seed * 4)
            with laid as lines, self._tabs(lines, elsewhere) as tabs:
                try:
                    self._work(tabs, lines)
                    self._check(server, tabs)
                except Exception as error:
                    self._keep(tabs, error)
                    raise
        finally:
            server.stop()
            elsewhere.close()

    @contextlib.contextmanager
    def _tabs(self, lines: list[Line], elsewhere: Elsewhere) -> Iterator[list[Tab]]:
        tabs: list[Tab] = []
        try:
            for kind, line in zip(self._kinds, lines, strict=True):
                # The demo page lets no script of a text run, and the users' acts are texts.
                window = open_window(self._browser, bypass_csp=True)
                for script in ("recorder.js", "fuzz.js"):
                    window.add_init_script(path=FOLDER / script)
                if self._client:
                    window.route("**/vendor/dhtmlxgantt.js", self._serve_client)
                tabs.append(self._open(window, kind, line, elsewhere, f"tab {len(tabs)}"))
                if self._cut:
                    tabs[-1].excuse(FAILED_REQUEST)
                # Whoever adds below a row that is not saved yet is refused, and sends it again.
                tabs[-1].excuse(r"status of 409")
                # The answer to a new row that was deleted meanwhile, by its user or with the row
                # above it by others. It does no harm: the row is told as what became of it.
                tabs[-1].excuse(r"Cannot set properties of undefined \(setting 'id'\)")
            for tab in tabs:
                tab.ready()
            yield tabs
        finally:
            for tab in tabs:
                tab.page.context.close()

    def _open(self, window: Page, kind: str, line: Line, elsewhere: Elsewhere, name: str) -> Tab:
        if kind != "elsewhere":
            return Tab(window, kind, line.url, name)
        elsewhere.put("plain", plain(line.url))
        return Tab(window, "plain", elsewhere.url, name)

    def _serve_client(self, route: Route) -> None:
        route.fulfill(path=self._client)

    def _work(self, tabs: list[Tab], lines: list[Line]) -> None:
        for number, tab in enumerate(tabs):
            tab.run(
                "window.working = fuzz.work(it.seed, it.seconds, it.pause), 0",
                {"seed": self._seed * 4 + number, "seconds": self._seconds, "pause": PAUSE},
            )
        end = time.monotonic() + self._seconds
        pause = tabs[0].page.wait_for_timeout
        for _ in range(3 if self._cut else 0):
            number = self._random.randrange(len(tabs))
            pause(self._seconds * self._random.uniform(35, 180))
            lines[number].cut(sockets_only=tabs[number].kind == "stock")
            pause(self._seconds * self._random.uniform(7, 107))
            lines[number].mend()
        pause(1000 * max(end - time.monotonic(), 0))
        self.operations = sum(tab.run("working") for tab in tabs)

    def _keep(self, tabs: list[Tab], error: Exception) -> None:
        for number, tab in enumerate(tabs):
            case: dict[str, Any] = tab.run("recorder.case(it)", f"seed {self._seed}: {error}")
            path = self._folder / f"seed-{self._seed}-tab-{number}.json"
            path.write_text(json.dumps(case, indent=1))

    def _check(self, server: Server, tabs: list[Tab]) -> None:
        """All show what is stored, no stock tab is dead, and each still saves."""
        stock = [tab for tab in tabs if tab.kind == "stock"]
        self._settle(server, tabs)
        modes = [tab.run("dp.updateMode") for tab in stock]
        assert "off" not in modes, f"a tab saves nothing any more: {modes}"
        for number, tab in enumerate(tabs):
            id = tab.run("String(gantt.getTaskByTime()[0].id)")
            tab.edit(id, text=f"Saved by {number}")
            tab.until("!probe.busy()")
            self._settle(server, tabs)
            texts = [task["text"] for task in server.get()["tasks"] if str(task["id"]) == id]
            assert texts == [f"Saved by {number}"], f"tab {number} does not save: {texts}"
        faults = [(number, fault) for number, tab in enumerate(tabs) for fault in tab.faults()]
        assert not faults, faults

    def _settle(self, server: Server, tabs: list[Tab]) -> None:
        # With the older client the tabs agree on the dates of phases, but not with what is worked
        # out for the store here.
        phases = self._client is None
        agree(server, *[tab for tab in tabs if tab.kind == "stock"], order=False, phases=phases)
        agree(server, *[tab for tab in tabs if tab.kind != "stock"], phases=phases)
