"""The backend behind HTTP: routes for an application of yours, or an application of ours."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final

from tornado import web

from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.web.handlers import (
    Bounded,
    DataHandler,
    EntityHandler,
    Handler,
    HistoryHandler,
    NoSuchRoute,
    UndoHandler,
)
from gantt_tornado.web.socket import LiveHandler
from gantt_tornado.web.updates import UpdateRouter

_PACKAGE: Final = Path(__file__).parents[1]
#: Beside the package in a source tree, inside it in a wheel.
STATIC: Final = next(
    (
        path
        for path in (_PACKAGE / "static", _PACKAGE.parent / "static")
        if (path / "index.html").is_file()
    ),
    _PACKAGE / "static",
)

#: What the page may do: nothing from elsewhere, no inline script. The client positions
#: its bars with style attributes, and its icons are data URLs.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


#: A font that the client's style sheet would have from another host.
_FOREIGN_FONT: Final = re.compile(rb"""@font-face\s*\{[^}]*url\(\s*["']?(?:https?:)?//[^}]*\}""")


class FileHandler(Bounded, web.RequestHandler):
    """A file that everybody may have."""

    roles: ClassVar = {"GET": None, "HEAD": None}

    def __init__(self, *args: Any, body_timeout: float = Bounded.body_timeout, **more: Any) -> None:
        super().__init__(*args, **more)
        self.body_timeout = body_timeout

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cache-Control", "no-cache")


class StyleHandler(FileHandler):
    """The client's style sheet, without the fonts that it would fetch from another host.

    Browsers fetch them before they know whether any text asks for them, and on an intranet
    nobody answers.
    """

    def get(self) -> None:
        file = STATIC / "vendor" / "dhtmlxgantt.css"
        try:
            rules = without_foreign_fonts(file, file.stat().st_mtime)
        except FileNotFoundError:
            raise web.HTTPError(404) from None
        self.set_header("Content-Type", "text/css; charset=UTF-8")
        self.finish(rules)

    head = get


class PageHandler(FileHandler, web.StaticFileHandler):
    """The demo page and the client library."""

    @classmethod
    def get_absolute_path(cls, root: str, path: str) -> str:
        if "\0" in path:
            raise web.HTTPError(404)
        return super().get_absolute_path(root, path)


class PageRedirect(FileHandler, web.RedirectHandler):
    """A mounted page without its last slash, where relative addresses would not hold."""

    roles: ClassVar = {"GET": None}


@lru_cache(maxsize=1)
def without_foreign_fonts(file: Path, _modified: float) -> bytes:
    """The rules of a style sheet that need no other host."""
    return _FOREIGN_FONT.sub(b"", file.read_bytes())


def routes(backend: Backend, prefix: str = "", page: bool = True, client: bool = True) -> list[Any]:
    """The rules to put into a ``tornado.web.Application``, under ``prefix``.

    Args:
        backend: must be started before the first request.
        prefix: ``"/gantt"`` or ``""``.
        page: whether the demo page is served too.
        client: whether the client's files are, which the demo page needs: ``vendor/`` has
            them as they were released, and ``dhtmlxgantt.css`` is its style sheet without
            the fonts of another host.

    Raises:
        ValueError: a handler has a verb and does not say who may use it.
    """
    ours = {"backend": backend}
    rules: list[Any] = [
        (prefix + r"/api/v1", LiveHandler, ours),
        (prefix + r"/data", DataHandler, ours),
        (prefix + r"/data/history", HistoryHandler, ours),
        (prefix + r"/data/undo/([^/]+)", UndoHandler, ours),
        (prefix + r"/data/([a-z]+)(?:/([^/]+))?", EntityHandler, ours),
        (prefix + r"/data/.*", NoSuchRoute, ours),
    ]
    files = {"body_timeout": backend.config.body_timeout}
    if page or client:
        vendor = {"path": str(STATIC / "vendor"), **files}
        rules += [
            (prefix + r"/dhtmlxgantt\.css", StyleHandler, files),
            (prefix + r"/vendor/(.*)", PageHandler, vendor),
        ]
    if page:
        if prefix:
            rules.append((prefix, PageRedirect, {"url": prefix + "/", **files}))
        root = {"path": str(STATIC), "default_filename": "index.html", **files}
        rules.append((prefix + r"/(.*)", PageHandler, root))
    for rule in rules:
        check_roles(rule[1])
    return rules


def make_app(backend: Backend, **settings: Any) -> web.Application:
    """An application that serves the backend and the demo page at the root."""
    rules = routes(backend)
    if "log_function" not in settings:
        # Such a function is promised a RequestHandler for every request.
        rules.insert(0, (r"/data/([a-z]+)/([^/]+)", UpdateRouter(backend)))
    return web.Application(rules, **settings)


def http_limits(config: Config) -> dict[str, Any]:
    """What to give to a ``tornado.httpserver.HTTPServer`` beside the application, so that
    nobody holds a connection, or much memory, without asking for anything.

    Bodies are bounded by our handlers.
    """
    return {
        "max_header_size": config.max_header,
        # Also how long the headers of a request may take.
        "idle_connection_timeout": config.idle_timeout,
        "max_body_size": config.max_body,
        # What is read ahead: Tornado's 100 MB would be for bodies that nobody streams.
        "max_buffer_size": (256 << 10) + 2 * max(config.max_frame, config.max_header),
    }


def check_roles(handler: type[web.RequestHandler]) -> None:
    """Refuse a handler with a verb that nobody said who may use.

    Raises:
        ValueError: it names the verb.
    """
    roles = getattr(handler, "roles", None)
    for verb in handler.SUPPORTED_METHODS:
        method = getattr(handler, verb.lower())
        unimplemented = method is getattr(web.RequestHandler, verb.lower())
        if unimplemented or method is Handler.options:
            continue
        if roles is None or verb not in roles:
            raise ValueError(f"{handler.__name__} does not say who may {verb}")
