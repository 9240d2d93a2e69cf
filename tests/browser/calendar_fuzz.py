"""Three tabs with the Scheduler, on lines that reorder, under random hands."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser

from .line import Line, random_lines
from .scheduler import agree, serve, silent
from .server import WITH_SNIPPET, Server
from .tabs import Tab, open_window

FOLDER: Final = Path(__file__).parent
#: Tabs that work.
TABS: Final = 3
#: Milliseconds between two acts of one user.
PAUSE: Final = 230


class CalendarFuzz:
    """One run of a seed."""

    def __init__(
        self, browser: Browser, folder: Path, client: Path, seed: int, *, seconds: float
    ) -> None:
        self._browser = browser
        self._folder = folder
        self._client = client
        self._seed = seed
        self._seconds = seconds
        self._random = random.Random(seed)

    def run(self) -> None:
        """Raise an AssertionError where a tab differs or is dead in the end."""
        server = Server(WITH_SNIPPET, self._folder, demo=False)
        try:
            laid = random_lines(server.port, TABS, self._random, self._seed * 4)
            with laid as lines, self._tabs(lines, server) as (judge, *tabs):
                for number, tab in enumerate(tabs):
                    tab.run(
                        "window.working = calendarFuzz.work(it.seed, it.seconds, it.pause), 0",
                        {"seed": self._seed * 4 + number, "seconds": self._seconds, "pause": PAUSE},
                    )
                done = sum(tab.run("working") for tab in tabs)
                assert done > self._seconds, "nobody did anything"
                self._check(judge, tabs)
        finally:
            server.stop()

    @contextlib.contextmanager
    def _tabs(self, lines: list[Line], server: Server) -> Iterator[list[Tab]]:
        tabs: list[Tab] = []
        try:
            for number, url in enumerate([server.url, *(line.url for line in lines)]):
                window = open_window(self._browser)
                serve(window, self._client)
                for script in ("fuzz.js", "calendar_fuzz.js"):
                    window.add_init_script(path=FOLDER / script)
                kind = "calendar" if number else "judge"
                tabs.append(Tab(window, kind, url, f"tab {number}"))
            yield [tab.ready() for tab in tabs]
        finally:
            for tab in tabs:
                tab.page.context.close()

    def _check(self, judge: Tab, tabs: list[Tab]) -> None:
        """All show what is stored, and each still saves."""
        agree(judge, *tabs)
        dead = [tab.name for tab in tabs if silent(tab)]
        assert not dead, f"tabs save nothing any more: {dead}"
        for tab in tabs:
            tab.run(
                "scheduler.addEvent({ text: it, start_date: new Date(2027, 3, 20, 9),"
                " end_date: new Date(2027, 3, 20, 10) })",
                f"saved by {tab.name}",
            )
        agree(judge, *tabs)
        faults = [(tab.name, fault) for tab in tabs for fault in tab.faults()]
        assert not faults, faults
