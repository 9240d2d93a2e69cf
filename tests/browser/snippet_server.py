"""server.py with the README's snippet as a page beside the demo's, and some doors for tests.

    GET /snippet        the snippet as the README has it
    GET /since          the same with the ``since`` that docs/client.md recommends
    GET /stock          the same with its ``tab`` and ``Remote-Device`` too
    GET /plain          examples/plain.html, on this host
    GET /anything       what was posted there
    GET /calendar       the Scheduler, and the other pages of scheduler_pages.py
    GET /further        the page for assignments and baselines
    GET /team           the page of examples/team.py
    POST /publish/NAME  an event of the application's own
    GET /acks           how far each page is known to be

It asks the pages more often how far they are, because a test waits for their answers.
"""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

from tornado import web

import gantt_tornado.backend
from gantt_tornado import Backend, cli, routes
from tests.browser.elsewhere import plain
from tests.browser.further_page import FURTHER
from tests.browser.scheduler_pages import HEAD, PAGES

README = Path(__file__).parents[2] / "README.md"
CLIENT = README.parent / "docs" / "client.md"

LOAD = 'gantt.load("/data");'
LISTEN = """\
  const remoteEvents = new RemoteEvents("/api/v1", AUTH_TOKEN);
  remoteEvents.on(remoteUpdates);"""


def snippet() -> str:
    """The first block of HTML in the README."""
    block = re.search(r"```html\n(.*?)```", README.read_text("utf-8"), re.S)
    assert block, "the README has no snippet"
    return block[1]


def with_since(page: str) -> str:
    assert LOAD in page, "the README's snippet loads otherwise than expected here"
    assert LISTEN in page, "the README's snippet listens otherwise than expected here"
    block = re.search(r"```js\n(.*?)```", CLIENT.read_text("utf-8"), re.S)
    assert block and "since=" in block[1], "docs/client.md does not listen with since"
    return page.replace(LOAD, f"const loaded = {LOAD}").replace(LISTEN, block[1])


HEADERS = '"Remote-Token": AUTH_TOKEN'
SINCE = "/api/v1?since=${seq}&reload=1"


def with_tab(page: str) -> str:
    """A page with ``since`` that says which it is."""
    assert HEADERS in page, "the README's snippet writes otherwise than expected here"
    page = page.replace(HEADERS, f'{HEADERS}, "Remote-Device": TAB')
    assert SINCE in page, "docs/client.md listens otherwise than expected here"
    page = page.replace(SINCE, SINCE + "&tab=${TAB}")
    return page.replace("<script>\n", "<script>\n  const TAB = crypto.randomUUID();\n", 1)


class Snippet(web.RequestHandler):
    def initialize(self, body: str) -> None:
        self._body = body

    def get(self) -> None:
        # The empty icon, so that the browser asks for none.
        self.write(f'<!doctype html><link rel="icon" href="data:,">\n{self._body}')


class Anything(web.RequestHandler):
    """The page that was posted last."""

    def initialize(self, pages: list[str]) -> None:
        self._pages = pages

    def post(self) -> None:
        self._pages.append(json.loads(self.request.body)["page"])
        self.write({})

    def get(self) -> None:
        self.write(f'<!doctype html><link rel="icon" href="data:,">\n{self._pages[-1]}')


class SchedulerPage(web.RequestHandler):
    def get(self, name: str) -> None:
        self.write(f"{HEAD}{PAGES[name]}</script>")


class Publish(web.RequestHandler):
    def initialize(self, backend: Backend) -> None:
        self._backend = backend

    def post(self, name: str) -> None:
        self._backend.publish(name, json.loads(self.request.body))


class Positions(web.RequestHandler):
    def initialize(self, backend: Backend) -> None:
        self._backend = backend

    def get(self) -> None:
        pages = self._backend.default.positions._pages.items()
        arrived = {key.hex(): page.arrived.items() for key, page in pages}
        self.write({key: {name: str(at) for name, at in of} for key, of in arrived.items()})


def example(name: str) -> Any:
    """An example, which is in no package."""
    file = README.parent / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_app(backend: Backend) -> web.Application:
    page = snippet()
    team = example("team")
    return web.Application(
        [
            ("/snippet", Snippet, {"body": page}),
            ("/since", Snippet, {"body": with_since(page)}),
            ("/stock", Snippet, {"body": with_tab(with_since(page))}),
            ("/plain", Snippet, {"body": plain("")}),
            ("/anything", Anything, {"pages": []}),
            (r"(?:/p/[^/]+)?/(" + "|".join(PAGES) + ")", SchedulerPage),
            ("/further", Snippet, {"body": FURTHER}),
            ("/team", team.Page, {"body": team.PAGE, "kind": "text/html"}),
            ("/team.js", team.Page, {"body": team.SCRIPT, "kind": "text/javascript"}),
            ("/publish/(.+)", Publish, {"backend": backend}),
            ("/acks", Positions, {"backend": backend}),
            *routes(backend),
        ]
    )


if __name__ == "__main__":
    cli.make_app = make_app
    gantt_tornado.backend.ASK_EVERY = 0.2  # type: ignore[misc]
    raise SystemExit(cli.main())
