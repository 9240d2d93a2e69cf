"""The server under test: a process of its own, and a REST client of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

from .forks import forks

ROOT = Path(__file__).parents[2]
#: The command as people start it, and the same with the README's snippet as a page.
REAL = ROOT / "server.py"
WITH_SNIPPET = Path(__file__).with_name("snippet_server.py")


class Server:
    """A server process on a database of its own; it can be killed and started again."""

    def __init__(self, script: Path, folder: Path, **settings: object) -> None:
        self._command = [str(script), f"--database=sqlite:///{folder}/plan.db"]
        ours = {
            f"GANTT_{key.upper()}": value if isinstance(value, str) else json.dumps(value)
            for key, value in settings.items()
        }
        self._env = os.environ | ours | {"PYTHONPATH": str(ROOT)}
        self._log = folder / "server.log"
        self._database = folder / "plan.db"
        self.port = 0
        #: Whose requests :meth:`get` and the like make.
        self.token = "token"
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, **settings: object) -> None:
        """Start, on the port of the first time, with other settings where some are given."""
        ours = {f"GANTT_{key.upper()}": str(value) for key, value in settings.items()}
        command = [*self._command, f"--port={self.port}"]
        end, stdout = os.pipe()
        with self._log.open("a") as log:
            self._pid = forks().start(command, self._env | ours, stdout, log.fileno())
        os.close(stdout)
        with open(end) as told:
            line = told.readline()
        if not line:
            self._reap()
            raise AssertionError(f"the server did not start:\n{self.log()}")
        self.port = int(line.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self._pid, signal.SIGKILL)
        self._reap()

    def stop(self) -> None:
        """SIGTERM, and what a good server has then left behind: status 0, a clean log."""
        os.kill(self._pid, signal.SIGTERM)
        status = self._reap()
        log = self.log()
        assert status == 0, f"the server ended with {status}:\n{log}"
        assert " ERROR " not in log and "Traceback" not in log, log

    def backup(self) -> Path:
        """A copy of the database, made while it is served."""
        copy = self._database.with_name("copy.db")
        with (
            closing(sqlite3.connect(self._database)) as served,
            closing(sqlite3.connect(copy)) as new,
        ):
            served.backup(new)
        return copy

    def restore(self, copy: Path | None) -> None:
        """Put a copy in the place of the database, of a server that has ended; None leaves no
        database there."""
        for path in self._database.parent.glob("plan.db*"):
            if copy is None or path.suffix != ".position":
                path.unlink()
        if copy is not None:
            shutil.copy(copy, self._database)

    def log(self) -> str:
        return self._log.read_text()

    def get(self, path: str = "/data") -> Any:
        return self._request("GET", path)

    def post(self, path: str, **fields: object) -> Any:
        return self._request("POST", path, fields)

    def put(self, path: str, **fields: object) -> Any:
        return self._request("PUT", path, fields)

    def delete(self, path: str) -> Any:
        return self._request("DELETE", path)

    def _request(self, method: str, path: str, fields: dict[str, object] | None = None) -> Any:
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if fields is None else json.dumps(fields).encode(),
            headers={"Remote-Token": self.token, "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            body = response.read()
        return json.loads(body) if body else None

    def _reap(self) -> int:
        return forks().wait(self._pid, 10)
