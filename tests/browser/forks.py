"""Servers as forks of one process that has imported all of a server: that is most of a start.

That process takes one request after the other from its socket: to run a script with other
files for its stdout and stderr, or to wait until one has ended.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]


class Forks:
    """What the tests have of that process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.browser.forks", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )

    def start(
        self, command: list[str], environment: Mapping[str, str], stdout: int, stderr: int
    ) -> int:
        """Run a script with arguments; its process id."""
        request = json.dumps(["run", command, dict(environment)]) + "\n"
        socket.send_fds(self._socket, [request.encode()], [stdout, stderr])
        return int(self._socket.recv(64))

    def wait(self, pid: int, timeout: float) -> int:
        """Its exit status, once it has ended; negative for a signal, as subprocess has it.

        Raises:
            TimeoutError: it went on, and was killed.
        """
        self._socket.sendall(json.dumps(["wait", pid]).encode() + b"\n")
        self._socket.settimeout(timeout)
        try:
            return int(self._socket.recv(64))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            self._socket.settimeout(None)
            self._socket.recv(64)
            raise
        finally:
            self._socket.settimeout(None)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def forks() -> Forks:
    """Those of this process, until it ends."""
    found = Forks()
    atexit.register(found.close)
    return found


# In the process that is forked.


def serve(line: socket.socket) -> None:
    # Ctrl-C is for the tests, and closing the socket ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    importlib.import_module("gantt_tornado.cli")
    gc.collect()
    gc.freeze()
    while True:
        request, files, _, _ = socket.recv_fds(line, 1 << 16, 2)
        while request and not request.endswith(b"\n"):
            request += line.recv(1 << 16)
        if not request:
            return
        kind, *rest = json.loads(request)
        if kind == "wait":
            _, status = os.waitpid(*rest, 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = fork(line, *rest, *files)
            for each in files:
                os.close(each)
        line.sendall(str(answer).encode())


def fork(
    line: socket.socket, command: list[str], environment: dict[str, str], stdout: int, stderr: int
) -> int:
    if pid := os.fork():
        return pid
    line.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.close(stdout)
    os.close(stderr)
    gc.unfreeze()
    sys.argv = command
    runpy.run_path(command[0], run_name="__main__")
    raise SystemExit


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
