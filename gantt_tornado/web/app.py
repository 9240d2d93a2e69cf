"""The backend over HTTP: routes for an application of yours, or a whole application."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from tornado import routing, web

from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.web import requests
from gantt_tornado.web.delegate import EndpointRouter
from gantt_tornado.web.endpoints import WATCHED, Address, addresses
from gantt_tornado.web.handlers import BoundedHandler, EndpointHandler, NoSuchAddress
from gantt_tornado.web.socket import SocketHandler
from gantt_tornado.web.table import table_of

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

#: The page's Content-Security-Policy: nothing from other hosts, no inline script. The client
#: positions its bars with style attributes, and its icons are data URLs.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)

#: Application settings that apply to RequestHandlers only: with them there are no delegates.
OF_HANDLERS: Final = frozenset({"log_function", "compress_response", "gzip"})

#: A font that the client's style sheet would load from another host.
_FOREIGN_FONT: Final = re.compile(rb"""@font-face\s*\{[^}]*url\(\s*["']?(?:https?:)?//[^}]*\}""")


class FileHandler(BoundedHandler):
    """A public file: GET and HEAD need no token."""

    def __init__(self, *args: Any, backend: Backend, **more: Any) -> None:
        super().__init__(*args, **more)
        self.backend = backend
        self.body_timeout = backend.config.body_timeout

    def set_default_headers(self) -> None:
        for name, value in requests.headers(None, self.request).items():
            self.set_header(name, value)
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Referrer-Policy", "no-referrer")


class LiveHandler(FileHandler, web.StaticFileHandler):
    """The module ``gantt-live.js`` and its types, which a page of any listed origin may import."""

    def __init__(self, *args: Any, origins: frozenset[str], **more: Any) -> None:
        self._origins = origins
        super().__init__(*args, **more)

    def set_default_headers(self) -> None:
        super().set_default_headers()
        # Whatever the origin: a cache between would give one page's answer to another.
        self.set_header("Vary", "Origin")
        origin = self.request.headers.get("Origin", "")
        if origin in self._origins:
            self.set_header("Access-Control-Allow-Origin", origin)

    def get_content_type(self) -> str:
        # Of .ts the systems' tables say that it is a video, and of .js not always the same.
        return "text/javascript" if self.path.endswith(".js") else "text/plain"


class StyleHandler(FileHandler):
    """The client's style sheet, without the fonts that it would load from another host.

    Browsers wait for them even where no text uses them, and an intranet may not reach that host.
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
    """The page's URL without its trailing slash, where relative URLs would not work."""


@lru_cache(maxsize=1)
def without_foreign_fonts(file: Path, _modified: float) -> bytes:
    """A style sheet without the fonts of other hosts."""
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
    """
    rules: list[Any] = []
    for address in addresses(table_of(backend)):
        handler = SocketHandler if address.is_remote else EndpointHandler
        rules.append((prefix + address.pattern, handler, {"backend": backend, "address": address}))
    for path in (r"(?:/p/[^/]+)?/data/.*", r"/projects/.*"):
        nothing = {"backend": backend, "address": Address(path, {})}
        rules.append((prefix + path, NoSuchAddress, nothing))
    files = {"backend": backend}
    live = {"path": str(STATIC), "origins": frozenset(backend.config.origins), **files}
    rules.append((prefix + r"(?:/p/[^/]+)?/(gantt-live\.(?:js|d\.ts))", LiveHandler, live))
    if page or client:
        vendor = {"path": str(STATIC / "vendor"), **files}
        rules += [
            (prefix + r"(?:/p/[^/]+)?/dhtmlxgantt\.css", StyleHandler, files),
            (prefix + r"(?:/p/[^/]+)?/vendor/(.*)", PageHandler, vendor),
        ]
    if page:
        if prefix:
            rules.append((prefix, PageRedirect, {"url": prefix + "/", **files}))
        slash = {"url": prefix + "/p/{0}/", **files}
        rules.append((prefix + r"/p/([^/]+)", PageRedirect, slash))
        root = {"path": str(STATIC), "default_filename": "index.html", **files}
        rules.append((prefix + r"(?:/p/[^/]+)?/(.*)", PageHandler, root))
    return rules


def make_app(backend: Backend, **settings: Any) -> web.Application:
    """An application that serves the backend and the demo page at the root."""
    rules = routes(backend)
    if settings.keys().isdisjoint(OF_HANDLERS):
        rules.insert(0, routing.Rule(routing.AnyMatches(), EndpointRouter(backend)))
    return web.Application(rules, **settings)


def make_metrics_app(backend: Backend) -> web.Application:
    """An application that answers ``/metrics``, ``/healthz`` and ``/readyz`` without a token."""
    table = [replace(endpoint, is_open=True) for endpoint in WATCHED]
    return web.Application(
        [
            (address.pattern, EndpointHandler, {"backend": backend, "address": address})
            for address in addresses(table)
        ],
        default_handler_class=NoSuchAddress,
        default_handler_args={"backend": backend, "address": Address("", {})},
    )


def http_limits(config: Config) -> dict[str, Any]:
    """Arguments for ``tornado.httpserver.HTTPServer`` beside the application: limits of the
    time and the memory that a connection may take without a complete request.

    Bodies are limited by the endpoints' adapters.
    """
    return {
        "max_header_size": config.max_header,
        # Also for the headers of a request.
        "idle_connection_timeout": config.idle_timeout,
        "max_body_size": config.max_body,
        # Bytes read ahead: Tornado's 100 MB are for bodies that are not streamed.
        "max_buffer_size": (256 << 10) + 2 * max(config.max_frame, config.max_header),
    }
