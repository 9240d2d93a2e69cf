"""A server in a process of its own, pinned to the server's core."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from bench import machine
from gantt_tornado.live.resend import DELAY

ROOT = Path(__file__).parent.parent
#: Seconds that a server may take to stop.
PATIENCE = 20
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process:
    """Runs a command that prints ``…:PORT`` once it serves. Use it in a ``with``."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("GANTT_")}
        environment["GANTT_DEMO"] = "false"
        self._process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: machine.pin(machine.SERVER_CORE),
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(command)} did not start")
        self.port = int(line.rpartition(":")[2])

    @property
    def pid(self) -> int:
        return self._process.pid

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * _PAGE

    def busy(self) -> float:
        """Seconds of processor time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def ours(database: Path) -> Process:
    """The server as it is started in production, on a database."""
    url = f"sqlite:///{database}"
    server = Process(["server.py", "--port=0", f"--database={url}", "--log-level=warning"])
    # It has by then repeated what was changed last before it started.
    time.sleep(DELAY + 0.2)
    return server


def hub(directory: Path) -> Process:
    """:mod:`bench.hub`, on an empty plan."""
    return Process(["-m", "bench.hub", str(directory)])


def peer(name: str) -> Process:
    """One of :mod:`bench.peers`."""
    return Process(["-m", "bench.peers", name])
