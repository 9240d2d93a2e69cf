"""One browser for all tests; for each a server on a fresh database, and tabs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from .elsewhere import Elsewhere
from .line import Line
from .server import REAL, WITH_SNIPPET, Server
from .tabs import Tab, open_window

ROOT = Path(__file__).parents[2]
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # No test reaches another host; one that is asked for is noted all the same.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def chromium() -> str:
    """The browser's path, "" where there is none."""
    return os.environ.get("GANTT_CHROMIUM") or shutil.which("chromium") or ""


# For this package only: while Playwright runs, no other loop can run on this thread.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if not chromium():
        told = "NO BROWSER WAS FOUND: install chromium, or name one in GANTT_CHROMIUM"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    if not (ROOT / "static/vendor/dhtmlxgantt.js").is_file():
        pytest.fail("static/vendor/ is empty: pip install -e . brings the client")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        yield browser
        browser.close()


# A window costs more than all that most tests do in it. A test leaves nothing behind in one: its
# server has a port, and so its pages have an origin, of their own.
@pytest.fixture(scope="package")
def windows() -> list[Page]:
    """The windows that the tests have opened so far."""
    return []


@pytest.fixture
def kind() -> str:
    """Which page a test opens: "page", the project's, or the README's "snippet" or "since"."""
    return "page"


@pytest.fixture
def settings() -> dict[str, object]:
    """What a test wants otherwise in the server's configuration."""
    return {}


@pytest.fixture
def server(
    browser: Browser, tmp_path: Path, kind: str, settings: dict[str, object]
) -> Iterator[Server]:
    server = Server(REAL if kind == "page" else WITH_SNIPPET, tmp_path, **settings)
    yield server
    server.stop()


@pytest.fixture
def open_tabs(
    browser: Browser, windows: list[Page], server: Server, kind: str
) -> Iterator[Callable[..., list[Tab]]]:
    """Opens tabs, one at each address given, and looks in the end that they behaved. With
    ``waits=False`` it does not wait until they listen.

    With options for a browser context, such as ``timezone_id``, in windows of their own.
    """
    opened: list[Tab] = []

    def open_tabs(*urls: str, waits: bool = True, **options: Any) -> list[Tab]:
        tabs = []
        for url in urls:
            while len(windows) <= len(opened):
                windows.append(open_window(browser))
            window = open_window(browser, **options) if options else windows[len(opened)]
            tabs.append(Tab(window, kind, url))
            opened.append(tabs[-1])
        return [tab.ready() for tab in tabs] if waits else tabs

    yield open_tabs
    for tab in opened:
        tab.leave()
        if tab.page not in windows:
            tab.page.context.close()
    assert not [fault for tab in opened for fault in tab.faults()]


@pytest.fixture
def tabs(open_tabs: Callable[..., list[Tab]], server: Server) -> list[Tab]:
    """Two tabs that listen."""
    return open_tabs(server.url, server.url)


@pytest.fixture
def line(server: Server) -> Iterator[Callable[..., Line]]:
    """Lays lines to the server: ``line(delay=0.06)``."""
    lines: list[Line] = []

    def lay(delay: float = 0, jitter: float = 0, seed: int = 0) -> Line:
        lines.append(Line(server.port, delay, jitter, seed))
        return lines[-1]

    yield lay
    for each in lines:
        each.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    """An origin beside the server's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    server = Elsewhere(folder)
    yield server
    server.close()
