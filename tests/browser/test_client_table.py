"""The table of docs/client.md: what each way to listen survives, cell by cell."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, Final

import pytest
from playwright.sync_api import TimeoutError as Late

from .conftest import ROOT
from .tabs import FAILED_REQUEST, PATIENCE, stored
from .test_unsaved_edits import COUNT, kept

#: The column of each kind of page.
COLUMNS: Final = {"snippet": 0, "since": 1, "plain": 2}


def table() -> dict[str, list[bool]]:
    """What the page says: row → a cell for each way."""
    page = (ROOT / "docs/client.md").read_text("utf-8")
    rows = re.findall(r"^\| (.+?) \| (yes|no) \| (yes|no) \| (yes|no) \|$", page, re.M)
    return {row: [cell == "yes" for cell in cells] for row, *cells in rows}


class Trial:
    """A page of some kind on a line that can be cut, and what became of it so far."""

    def __init__(self, server: Any, line: Any, open_tabs: Any) -> None:
        self.server = server
        self.line = line()
        (self.tab,) = open_tabs(self.line.url)
        self.tab.excuse(FAILED_REQUEST)
        self.tab.excuse("Invalid message format: {type: reload")
        self.found: dict[str, bool] = {}
        self._marks = 0

    def shown(self, id: int) -> str:
        text: str = self.tab.run("gantt.getTask(it).text", id)
        return text

    def stored(self, id: int) -> str:
        text: str = stored(self.server)["tasks"][str(id)]["text"]
        return text

    def caught_up(self) -> None:
        """Wait until the page draws what is done now: what it should be told it has been told."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            self._marks += 1
            mark = f"Mark {self._marks}"
            self.server.put("/data/task/13", text=mark)
            seen = "(it) => window.gantt?.isTaskExists(13) && gantt.getTask(13).text === it"
            try:
                self.tab.page.wait_for_function(seen, arg=mark, timeout=400)
            except Late:
                continue
            return
        raise AssertionError("the page does not draw what others do any more")

    def saved(self) -> None:
        self.tab.run("window.ganttLive?.flush()")

    def open_again(self) -> None:
        self.tab.page.goto("about:blank")
        self.line.mend()
        self.tab.page.goto(self.url, wait_until="commit")
        self.tab.ready()

    @property
    def url(self) -> str:
        return (
            self.line.url
            + {"snippet": "/snippet", "since": "/since", "plain": "/plain"}[self.tab.kind]
        )


def others_draw(trial: Trial) -> dict[str, bool]:
    trial.caught_up()
    return {"what others do is drawn": True}


def moves(trial: Trial) -> dict[str, bool]:
    trial.server.put("/data/task/12", target="8")
    trial.caught_up()
    return {"others' moves of rows": trial.tab.branch("7") == stored(trial.server)["order"]["7"]}


def open_form(trial: Trial) -> dict[str, bool]:
    trial.tab.run("gantt.showLightbox(10)")
    trial.server.put("/data/task/10", text="Theirs")
    trial.caught_up()
    is_spared = trial.shown(10) != "Theirs"
    trial.tab.run("gantt.hideLightbox()")
    trial.tab.shows("10", "Theirs")
    return {"a row that is open in the form is not drawn over": is_spared}


def refusal(trial: Trial) -> dict[str, bool]:
    trial.tab.excuse("status of 400")
    trial.tab.edit("10", text="Refused", **{"<b>": 1})
    trial.tab.until("gantt.getTask(10).text !== 'Refused'")
    is_told = trial.tab.run("document.body.innerText.includes('<b>')")
    return {"a refused edit is taken back": True, "… and the user is told why": is_told}


def lost_answer(trial: Trial) -> dict[str, bool]:
    sent = []

    def lose(route: Any) -> None:
        route.fetch()
        sent.append(route)
        trial.server.put("/data/task/9", text="Later")
        route.abort()

    trial.tab.page.on("request", lambda request: request.method == "PUT" and sent.append(request))
    trial.tab.page.route("**/data/task/9", lose, times=1)
    trial.tab.edit("9", text="Once")
    trial.tab.until("gantt.getTask(9).text === 'Later' || !window.ganttLive")
    trial.caught_up()
    trial.saved()
    is_again = len(sent) > 2 and trial.stored(9) == "Later"
    return {"an answer is lost: the edit is sent again, and once": is_again}


def cut_line(trial: Trial) -> dict[str, bool]:
    trial.line.cut()
    trial.server.put("/data/task/11", text="Missed")
    trial.tab.edit("8", text="Meanwhile")
    trial.tab.page.wait_for_timeout(100)
    trial.line.mend()
    trial.caught_up()
    trial.saved()
    return {
        "what others did while the line was cut": trial.shown(11) == "Missed",
        "an edit while the server is away is sent when it is back": trial.stored(8) == "Meanwhile",
    }


def crash(trial: Trial) -> dict[str, bool]:
    trial.line.cut()
    trial.tab.edit("17", text="Before the crash")
    if trial.tab.kind == "plain":
        trial.tab.run(COUNT)
        kept(trial.tab, 1)
    trial.open_again()
    trial.saved()
    is_sent = trial.stored(17) == "Before the crash"
    return {"the same after a reload or a crash of the browser": is_sent}


def restored(trial: Trial) -> dict[str, bool]:
    copy = trial.server.backup()
    trial.server.put("/data/task/18", text="Lost")
    trial.tab.shows("18", "Lost")
    trial.line.cut()
    trial.server.stop()
    trial.server.restore(copy)
    trial.server.start()
    trial.line.mend()
    trial.caught_up()
    return {"a restored backup: the page loads again": trial.shown(18) != "Lost"}


SCENES: Final[tuple[Callable[[Trial], dict[str, bool]], ...]] = (
    *(others_draw, moves, open_form, refusal, lost_answer, cut_line, crash, restored),
)


@pytest.mark.parametrize("kind", COLUMNS)
def test_each_cell_is_as_the_table_says(server, line, open_tabs, kind):
    trial = Trial(server, line, open_tabs)
    for scene in SCENES:
        trial.found |= scene(trial)
        if kind != "plain":
            # What could not be sent stays behind in the client.
            trial.open_again()
    said = {row: cells[COLUMNS[kind]] for row, cells in table().items()}
    assert trial.found == said


def test_the_table_has_a_row_for_each_scene():
    assert len(table()) == 10
