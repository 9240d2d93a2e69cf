"""What a page saw, played into the client again without a server, and cut down to its fault."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, Route, sync_playwright

FOLDER: Final = Path(__file__).parent
CLIENT: Final = FOLDER.parents[1] / "static/vendor/dhtmlxgantt.js"
PAGE: Final = (
    '<div id="gantt_here" style="width:900px; height:600px"></div><script src="/client.js">'
)

Case = dict[str, Any]


class Replay:
    """The client of a file, in a window of its own."""

    def __init__(self, browser: Browser, client: Path = CLIENT) -> None:
        self._page: Page = browser.new_context().new_page()
        for script in ("probe.js", "replay.js"):
            self._page.add_init_script(path=FOLDER / script)
        self._client = client
        self._page.route("**/*", self._serve)

    def _serve(self, route: Route) -> None:
        if route.request.url.endswith("/client.js"):
            route.fulfill(path=self._client)
        else:
            route.fulfill(content_type="text/html", body=f"<!doctype html>{PAGE}</script>")

    def fault(self, case: Case) -> str:
        """What is wrong in the end, "" for nothing."""
        self._page.goto("http://replay.test/")
        fault: str = self._page.evaluate("(it) => replay.play(it)", case)
        return fault

    def close(self) -> None:
        self._page.context.close()


def cut_down(case: Case, fault: Callable[[Case], str]) -> Case:
    """The same with as few steps as are needed for the same fault, by delta debugging."""
    wanted = fault(case)
    steps = case["steps"]
    size = len(steps) // 2
    while size:
        at = 0
        while at < len(steps):
            fewer = steps[:at] + steps[at + size :]
            if fault({**case, "steps": fewer}) == wanted:
                steps = fewer
            else:
                at += size
        size //= 2
    return {**case, "what": wanted, "steps": steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", type=Path, help="as the fuzz leaves it, one of each tab")
    parser.add_argument("--client", type=Path, default=CLIENT)
    args = parser.parse_args()
    # Here alone, for pytest makes the browser otherwise.
    from .conftest import ARGUMENTS, chromium

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=ARGUMENTS)
        case = json.loads(args.case.read_text())
        small = cut_down(case, Replay(browser, args.client).fault)
        print(json.dumps(small, indent=1))
        browser.close()


if __name__ == "__main__":
    main()
