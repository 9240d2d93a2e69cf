"""Pages of another origin: a small HTTP server on a thread of its own."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

PLAIN: Final = Path(__file__).parents[2] / "examples/plain.html"
SERVER: Final = "http://localhost:8888"


def plain(server: str) -> str:
    """examples/plain.html for a server at this URL, "" for the page's own; the tests find what it
    connects as ``ganttLive``, as on the demo page."""
    page = PLAIN.read_text("utf-8")
    assert SERVER in page, "the example names its server otherwise than expected here"
    page = page.replace(f'"{SERVER}"', f'"{server or "/"}"').replace(SERVER, server)
    return page.replace("const live = await", "const live = window.ganttLive = await", 1)


class Elsewhere:
    """Serves the files of a folder under an origin of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def put(self, name: str, page: str) -> None:
        (self.folder / name).write_text(page, "utf-8")

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map: Final = {**SimpleHTTPRequestHandler.extensions_map, "": "text/html"}

    def log_message(self, *_: Any) -> None:
        """Nothing."""
