"""Make the README's picture: two tabs side by side, light and dark, a moment after an edit.

python -m tests.browser.picture
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from .conftest import ARGUMENTS, ROOT, chromium
from .server import REAL, Server
from .tabs import Tab, agree, open_window

PICTURE = ROOT / "docs" / "two-tabs.png"
SIZE = {"width": 985, "height": 720}
SCALE = 0.8
GAP = 8
SHEET = """
<body style="margin: 0; display: flex; gap: {gap}px; padding: {gap}px; background: #9aa4b2">
{images}
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        server = Server(REAL, Path(folder))
        try:
            shots = two_tabs(browser, server)
            PICTURE.parent.mkdir(exist_ok=True)
            side_by_side(browser, shots)
        finally:
            server.stop()
            browser.close()
    print(f"{PICTURE}: {PICTURE.stat().st_size >> 10} KiB")


def two_tabs(browser: Browser, server: Server) -> list[bytes]:
    """The two tabs, after somebody has changed a task in the first."""
    tabs = []
    for colours in ("light", "dark"):
        window = open_window(
            browser, viewport=SIZE, device_scale_factor=SCALE, color_scheme=colours
        )
        tabs.append(Tab(window, "page", server.url).ready())
    one, two = tabs
    one.edit("10", text="Foundation slab, poured", progress=0.8)
    two.shows("10", "Foundation slab, poured")
    for tab in tabs:
        tab.run("gantt.selectTask(10)")
        tab.until("document.getElementById('people').textContent.includes('only you')")
    agree(server, *tabs)
    return [tab.page.screenshot() for tab in tabs]


def side_by_side(browser: Browser, shots: list[bytes]) -> None:
    width, height = round(SIZE["width"] * SCALE), round(SIZE["height"] * SCALE)
    viewport = {"width": len(shots) * (width + GAP) + GAP, "height": height + 2 * GAP}
    page = browser.new_page(viewport=viewport)
    images = [f'<img src="data:image/png;base64,{base64.b64encode(s).decode()}">' for s in shots]
    page.set_content(SHEET.format(gap=GAP, images="\n".join(images)))
    page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
